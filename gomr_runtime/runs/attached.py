"""Following a run of this machine that another process looks after."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gomr_runtime.errors import EnvironmentFailed, GomrError, RunConflict
from gomr_runtime.model.summary import Summary
from gomr_runtime.rpc.client import RunClient
from gomr_runtime.runs.local_folder import CLIENT_TOKEN
from gomr_runtime.runs.resume import published
from gomr_runtime.runs.watched_run import WatchedRun
from gomr_runtime.storage.open_store import open_store
from gomr_runtime.storage.stored_run import stored_summary
from gomr_runtime.system.own_files import check_own_folder, read_own

if TYPE_CHECKING:
    from gomr_runtime._pb import run_pb2 as pb

MOST_TOKEN = 4096  # bytes
PATIENCE = 10.0  # seconds without a master before it is taken for ended


class AttachedRun(WatchedRun[GomrError]):
    """A run that goes on without this handle, too: closing it ends nothing."""

    def __init__(self, run: str, folder: Path, store_url: str, output: Path) -> None:
        """folder: the launcher's. output: where it brings the parts. RunConflict when the run is
        in progress but cannot be followed."""
        super().__init__()
        self._run = run
        self._store_url = store_url
        self._output = output
        try:
            check_own_folder(folder)
            token = read_own(folder / CLIENT_TOKEN, MOST_TOKEN).decode("ascii")
        except (OSError, ValueError):
            raise RunConflict(
                f"run {run} is in progress, but it is just starting or ending, or somebody else's: "
                "try again"
            ) from None
        self._client = client = RunClient(f"unix:{folder}/master", token, run, patience=PATIENCE)
        client.forward(self._happenings.put)

    def close(self) -> None:
        """Stop following."""
        if self._client is not None:
            self._client.close()

    def _message_of(self, happening: pb.WatchEvent | GomrError) -> pb.WatchEvent | None:
        if isinstance(happening, EnvironmentFailed):  # its last message may have gone by
            self.summary = self._unheard_summary()
            return None
        if isinstance(happening, GomrError):
            raise happening
        return happening

    def _unheard_summary(self) -> Summary:
        """How the run ended, from its data or from its output."""
        ended = stored_summary(open_store(self._store_url), self._run)
        if ended := ended or published(self._output, self._run):
            return ended
        raise EnvironmentFailed(
            f"run {self._run}: the process that looked after it ended before the run did; "
            f"go on with it by --resume {self._run}"
        )
