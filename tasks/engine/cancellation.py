"""Cancel in the Prefect UI, made to work for runs that no worker looks after."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from uuid import UUID

from prefect import runtime

from gomr_runtime.errors import GomrError
from tasks.engine.api import FAILURES, asking, settings_for_asking

POLL_SECONDS = 3.0
REASON = "cancelled in Prefect"


@contextmanager
def cancelled_by_prefect(cancel: Callable[[str], None]) -> Iterator[None]:
    """While the block runs, look every few seconds whether this flow run is to be cancelled, and
    call `cancel` once if so. The end of the block waits for no answer."""
    watch = _Watch(UUID(runtime.flow_run.id), cancel)
    watch.start()
    try:
        yield
    finally:
        watch.end()


class _Watch(threading.Thread):
    def __init__(self, flow_run: UUID, cancel: Callable[[str], None]) -> None:
        super().__init__(name="prefect-cancel", daemon=True)
        self._flow_run = flow_run
        self._cancel = cancel
        self._settings = settings_for_asking()
        self._over = threading.Event()
        self._cancelling = threading.Lock()

    def end(self) -> None:
        with self._cancelling:
            self._over.set()

    def run(self) -> None:
        with asking(self._settings) as client:
            while not self._over.wait(POLL_SECONDS):
                try:
                    state = client.read_flow_run(self._flow_run).state
                except FAILURES:
                    continue  # a server that is away cannot cancel
                if state and (state.is_cancelling() or state.is_cancelled()) and self._told():
                    return

    def _told(self) -> bool:
        """Whether nothing is left to do; a master that is starting again hears it next time."""
        with self._cancelling:
            if self._over.is_set():
                return True
            with suppress(GomrError):
                self._cancel(REASON)
                return True
        return False
