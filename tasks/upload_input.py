"""The step that brings the inputs of this machine to the cluster."""

from __future__ import annotations

import threading

from gomr_runtime.model.quantities import format_size
from gomr_runtime.runs.progress import Transfer
from k8s.store.uploads import Upload, upload
from tasks.reporting.console import console, tell
from tasks.state import ClusterState
from tasks.step import step


@step
def upload_input(state: ClusterState) -> None:
    """Put the inputs into the store by content; what is there already is not sent again."""
    job = state.prepared.job
    told = _Told(state, sum(file.size for file in job.files))
    done = upload(state.runtime.store, job.run, job.files, told.sent)
    state.run.use_files(done.files)
    tell(describe(done))


def describe(done: Upload) -> str:
    """`uploaded 3 files (1.2 MB), 7 were there`."""
    files = f"{done.sent:,} file" + ("" if done.sent == 1 else "s")
    there = f", {done.found:,} were there" if done.found else ""
    return f"uploaded {files} ({format_size(done.sent_bytes)}){there}"


class _Told:
    """Bytes sent so far, from several threads; ends the upload once the run is cancelled."""

    def __init__(self, state: ClusterState, total: int) -> None:
        self._run = state
        self._total = total
        self._done = 0
        self._lock = threading.Lock()

    def sent(self, count: int) -> None:
        self._run.check_cancelled()
        with self._lock:
            self._done += count
            state = Transfer(self._done, self._total)
            console().update(state)
