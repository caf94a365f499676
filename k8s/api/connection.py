"""A cluster for the rest of the program: blocking calls over one thread with an event loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from gomr_runtime.errors import EnvironmentFailed, GomrError
from k8s.api.contexts import Context, contexts_of, in_cluster_namespace, read_contexts

if TYPE_CHECKING:
    from k8s.api.client import Api, Object

T = TypeVar("T")

CONNECT_SECONDS = 10.0
PROBE_SECONDS = 3.0  # for a cluster that may well not run, in `--runtime auto`
STOP_SECONDS = 5.0
IN_CLUSTER = "in-cluster"


class Cluster:
    """One namespace of one cluster. Close it, or use `with`.

    name: for people. local: it is on this machine. inside: this process is in one of its pods.
    """

    def __init__(self, api: Api, loop: LoopThread, name: str, *, local: bool, inside: bool) -> None:
        self.api = api
        self.name = name
        self.namespace = api.namespace
        self.local = local
        self.inside = inside
        self._loop = loop

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every connection; safe to repeat."""
        if self._loop.running:
            self.run(_cancel_others())
            self.run(self.api.access.close())
            self._loop.stop()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Its result; what it waits for has deadlines of its own."""
        return self._loop.run(coroutine)

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        """Let it run beside everything else; cancel the future to end it."""
        return self._loop.spawn(coroutine)

    def get(self, kind: str, name: str) -> Object | None:
        return self.run(self.api.get(kind, name))

    def select(self, kind: str, selector: str = "", fields: str = "") -> list[Object]:
        return self.run(self.api.select(kind, selector, fields))

    def create(self, wanted: Object) -> Object | None:
        return self.run(self.api.create(wanted))

    def delete(self, kind: str, name: str, *, now: bool = False) -> bool:
        return self.run(self.api.delete(kind, name, now=now))


class LoopThread:
    """A daemon thread that runs an event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="kubernetes", daemon=True)
        self._thread.start()

    @property
    def running(self) -> bool:
        return self._thread.is_alive() and not self._loop.is_closed()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        future = self.spawn(coroutine)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # of Ctrl-C, say
            raise

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> concurrent.futures.Future[T]:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def stop(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(STOP_SECONDS)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(_cancel_others())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()


async def _cancel_others() -> None:
    """End what still runs in this loop, such as watches and forwarded connections."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def connect(
    context: str = "",
    namespace: str = "",
    *,
    kubeconfig: Mapping[str, Any] | None = None,
    timeout: float = CONNECT_SECONDS,
) -> Cluster:
    """The cluster of the named or current context; in a pod without a kubeconfig, its own.

    kubeconfig: its content, where it does not come from a file (a Prefect block). Raises
    EnvironmentFailed in plain words, within `timeout` seconds.
    """
    contexts = read_contexts() if kubeconfig is None else contexts_of(kubeconfig)
    inside = "" if contexts.known or context else in_cluster_namespace()
    picked = Context(IN_CLUSTER, inside, "") if inside else contexts.pick(context)
    return _open(picked, namespace or picked.namespace, kubeconfig, bool(inside), timeout)


def why_unreachable(context: str) -> str:
    """ "" when the context's cluster answers, else why it does not."""
    try:
        connect(context, timeout=PROBE_SECONDS).close()
    except EnvironmentFailed as error:
        return str(error)
    return ""


def _open(
    context: Context,
    namespace: str,
    kubeconfig: Mapping[str, Any] | None,
    inside: bool,
    timeout: float,
) -> Cluster:
    from k8s.api.access import Access
    from k8s.api.client import Api
    from k8s.api.refusals import unusable

    loop = LoopThread()

    async def open_api() -> Api:
        async with asyncio.timeout(timeout):
            name = "" if inside else context.name
            api = Api(await Access.open(name, namespace, kubeconfig), context.name, namespace)
            await api.check()
            return api

    try:
        api = loop.run(open_api())
    except (GomrError, ValueError, KeyError, TypeError, OSError, RuntimeError) as error:
        loop.stop()
        raise unusable(error, context.name, context.server, timeout) from None
    except BaseException:
        loop.stop()
        raise
    return Cluster(api, loop, context.name, local=context.local, inside=inside)
