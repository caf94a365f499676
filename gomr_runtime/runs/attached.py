"""Following a run of this machine that another process looks after."""

from __future__ import annotations

import queue
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gomr_runtime.errors import EnvironmentFailed, GomrError, RunConflict
from gomr_runtime.model.errors_of import error_of
from gomr_runtime.model.job import Summary
from gomr_runtime.rpc.client import RunClient, summary_of
from gomr_runtime.runs.local import OnEvent
from gomr_runtime.runs.local_folder import CLIENT_TOKEN
from gomr_runtime.runs.resume import published
from gomr_runtime.storage.open_store import open_store
from gomr_runtime.storage.stored_run import read_summary
from gomr_runtime.system.own_files import check_own_folder, read_own

if TYPE_CHECKING:
    from gomr_runtime._pb import run_pb2 as pb

MOST_TOKEN = 4096  # bytes
PATIENCE = 10.0  # seconds without a master before it is taken for ended


class AttachedRun:
    """Has the shape of `LocalRun`; closing it ends nothing."""

    def __init__(self, run: str, folder: Path, store_url: str, output: Path) -> None:
        """folder: the launcher's. output: where it brings the parts. RunConflict when the run is
        in progress but cannot be followed."""
        self.summary: Summary | None = None
        self._run = run
        self._store_url = store_url
        self._output = output
        self._happenings: queue.SimpleQueue[pb.WatchEvent | GomrError] = queue.SimpleQueue()
        try:
            check_own_folder(folder)
            token = read_own(folder / CLIENT_TOKEN, MOST_TOKEN).decode("ascii")
        except (OSError, ValueError):
            raise RunConflict(
                f"run {run} is in progress, but it is just starting or ending, or somebody else's: "
                "try again"
            ) from None
        self._client = RunClient(f"unix:{folder}/master", token, run, patience=PATIENCE)
        self._client.forward(self._happenings.put)

    def watch(self, on_event: OnEvent | None = None) -> Summary:
        """As `LocalRun.watch`."""
        while self.summary is None:
            happening = self._happenings.get()
            if isinstance(happening, EnvironmentFailed):  # its last event may have gone by
                self.summary = self._left_behind()
                break
            if isinstance(happening, GomrError):
                raise happening
            self._tell(happening, on_event)
        if self.summary is None:
            raise EnvironmentFailed(
                f"run {self._run}: the process that looked after it ended before the run did; "
                f"go on with it by --resume {self._run}"
            )
        if error := error_of(self.summary):
            raise error
        return self.summary

    def cancel(self, reason: str) -> None:
        """Ask for the end of the run, for whoever looks after it as well."""
        self._client.cancel(reason)

    def close(self) -> None:
        """Stop following."""
        self._client.close()

    def _tell(self, event: pb.WatchEvent, on_event: OnEvent | None) -> None:
        if event.WhichOneof("body") == "summary":
            self.summary = summary_of(event.summary)
        if on_event is not None:
            on_event(event)

    def _left_behind(self) -> Summary | None:
        """How the run ended, from its data or from its output."""
        with suppress(KeyError):
            return read_summary(open_store(self._store_url), self._run)
        return published(self._output, self._run)
