"""Cancel in the Prefect UI, made to work for runs that no worker looks after."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import httpx
from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectException

from gomr_runtime.errors import GomrError

POLL_SECONDS = 3.0
REASON = "cancelled in Prefect"


@contextmanager
def cancelled_by_prefect(cancel: Callable[[str], None]) -> Iterator[None]:
    """While the block runs, look every few seconds whether this flow run is to be cancelled, and
    call `cancel` once if so."""
    done = threading.Event()
    flow_run = runtime.flow_run.id
    watcher = threading.Thread(
        target=_watch, args=(flow_run, cancel, done), name="prefect-cancel", daemon=True
    )
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join(POLL_SECONDS)


def _watch(flow_run: str, cancel: Callable[[str], None], done: threading.Event) -> None:
    with get_client(sync_client=True) as client:
        while not done.wait(POLL_SECONDS):
            try:
                state = client.read_flow_run(flow_run).state  # type: ignore[arg-type]
            except (httpx.HTTPError, PrefectException):
                continue  # a server that is away cannot cancel
            if state and (state.is_cancelling() or state.is_cancelled()):
                with suppress(GomrError):  # a master that is starting again hears it next time
                    cancel(REASON)
                    return
