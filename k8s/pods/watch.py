"""Watching the pods of a run: tells what is wrong, ends what cannot go on, gives up pods of nodes
that are gone."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gomr_runtime.errors import BY_EXIT_CODE, EnvironmentFailed, GomrError, NotPermitted
from k8s.api.client import Api, Object
from k8s.manifest_objects import of_run
from k8s.pods.evidence import LOG_LINES, EvidenceReader
from k8s.pods.judgement import Judge
from k8s.pods.state import grace_of, how_ended, is_going, is_lost, is_ready, role_of
from k8s.pods.trouble import (
    Evidence,
    Trouble,
    master_gives_up,
    no_store,
    refused_pods,
    trouble_of,
    wants_events,
)

GRACE_SLACK = 10.0  # seconds beyond its grace period after which a pod is given up
TICK = 1.0
QUIET_TICK = 5.0


@dataclass(frozen=True, slots=True)
class Told:
    """Something is wrong that does not end the run."""

    trouble: Trouble


@dataclass(frozen=True, slots=True)
class MasterEnded:
    """The run's Job is over, or is gone; no master will come any more. log: the end of what the
    last one said."""

    reason: str
    log: str


Happening = Told | MasterEnded | GomrError


class PodWatch:
    """Follows one run in the loop of `api` and calls `tell`, there, with what happens.

    After MasterEnded or an error it is over.
    """

    def __init__(
        self, api: Api, run: str, tell: Callable[[Happening], None], store: str = ""
    ) -> None:
        """store: label selector of the pods of the run's store, "" when it is elsewhere."""
        self._api = api
        self._watched = {kind: (kind, of_run(run)) for kind in ("Pod", "Job", "Deployment")}
        if store:
            self._watched["store"] = ("Pod", store)
        self._tell = tell
        self._judge = Judge()
        self._reader = EvidenceReader(api)
        self._seen: dict[str, list[Object]] = {}
        self._changed = asyncio.Event()
        self._going_since: dict[str, float] = {}
        self._given_up: set[str] = set()
        self._lost: dict[str, Object] = {}  # by node: a pod that went with it, not yet told

    async def run(self) -> None:
        """Until the run's Job is over, a trouble ends it, or it is cancelled."""
        tasks: list[asyncio.Task[None]] = []
        try:
            # One by one: a right that is missing shows before any watch.
            for name, (kind, selector) in self._watched.items():
                self._seen[name] = await self._api.select(kind, selector)
            tasks += [asyncio.create_task(self._follow(name)) for name in self._watched]
            tasks.append(asyncio.create_task(self._look()))
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except GomrError as error:
            self._tell(error)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, name: str) -> None:
        async for found in self._api.follow(*self._watched[name]):
            self._seen[name] = found
            if name == "Pod":  # one without grace period says it for an instant, then it is gone
                self._lost |= {pod["spec"]["nodeName"]: pod for pod in found if is_lost(pod)}
            self._changed.set()

    async def _look(self) -> None:
        wait = QUIET_TICK
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            self._changed.clear()
            if ended := await self._ended():
                self._tell(ended)
                return
            await self._give_up_lost()
            troubles = await self._troubles()
            verdict = self._judge.judge(self._seen["Pod"], troubles, time.monotonic())
            for trouble in verdict.new:
                if trouble is not verdict.fatal:
                    self._tell(Told(await self._reader.explained(trouble)))
            if verdict.fatal is not None:
                self._tell(error_of(await self._reader.explained(verdict.fatal)))
                return
            wait = TICK if troubles or self._unfinished() else QUIET_TICK

    def _unfinished(self) -> bool:
        """Whether time alone may bring something to light."""
        unclear = any(wants_events(pod) or is_going(pod) for pod in self._seen["Pod"])
        return unclear or not all(self._seen.values())

    async def _ended(self) -> MasterEnded | None:
        if not self._seen["Job"]:
            return MasterEnded("its objects were deleted", "")
        if (said := how_ended(self._seen["Job"][0])) is None:
            return None
        return MasterEnded(f"its master ended: {said}", await self._master_log())

    async def _master_log(self) -> str:
        masters = [pod for pod in self._seen["Pod"] if role_of(pod) == "master"]
        if not masters:
            return ""
        last = max(masters, key=lambda pod: pod["metadata"]["creationTimestamp"])
        with contextlib.suppress(EnvironmentFailed):
            return await self._api.log(last["metadata"]["name"], LOG_LINES)
        return ""

    async def _troubles(self) -> list[Trouble]:
        """All there are now, each once."""
        found = [trouble_of(await self._reader.of(pod)) for pod in self._seen["Pod"]]
        found += [trouble_of(Evidence(pod)) for pod in self._lost.values()]
        self._lost.clear()
        for job in self._seen["Job"]:
            status = job.get("status", {})
            if not status.get("active") and not status.get("failed"):
                # A Job says in events alone why it cannot make a pod.
                found.append(refused_pods(job, await self._reader.events(job)))
        found += [refused_pods(deployment, ()) for deployment in self._seen["Deployment"]]
        if "store" in self._seen and not any(map(is_ready, self._seen["store"])):
            why = [trouble_of(await self._reader.of(pod)) for pod in self._seen["store"]]
            found.append(no_store([trouble for trouble in why if trouble is not None]))
        there = each_once(trouble for trouble in found if trouble is not None)
        return master_gives_up(self._seen["Pod"], there)

    async def _give_up_lost(self) -> None:
        """Delete pods that no node will ever report as ended."""
        now = time.monotonic()
        for pod in self._seen["Pod"]:
            uid = pod["metadata"]["uid"]
            if not is_going(pod) or uid in self._given_up:
                continue
            since = self._going_since.setdefault(uid, now)
            if is_lost(pod) or now - since > grace_of(pod) + GRACE_SLACK:
                try:
                    await give_up(self._api, pod)
                except NotPermitted:
                    self._given_up.add(uid)
                except EnvironmentFailed:
                    continue  # the API server is away; the pod will wait
                else:
                    self._given_up.add(uid)


def each_once(troubles: Iterable[Trouble]) -> list[Trouble]:
    """Of those with the same key the one that ends the run soonest."""
    chosen: dict[str, Trouble] = {}
    for trouble in troubles:
        known = chosen.get(trouble.key)
        if known is None or _urgency(trouble) < _urgency(known):
            chosen[trouble.key] = trouble
    return list(chosen.values())


def _urgency(trouble: Trouble) -> float:
    return math.inf if trouble.patience is None else trouble.patience


async def give_up(api: Api, pod: Object) -> None:
    """Delete a pod whose node does not answer."""
    await api.delete("Pod", pod["metadata"]["name"], now=True)


def error_of(trouble: Trouble) -> GomrError:
    kind = BY_EXIT_CODE.get(trouble.exit_code, EnvironmentFailed)
    return kind(trouble.message, detail=trouble.detail)
