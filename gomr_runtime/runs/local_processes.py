"""The runtime of local processes: a master and N workers of this machine."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from gomr_runtime.errors import UsageError
from gomr_runtime.model import layout
from gomr_runtime.model.summary import Summary
from gomr_runtime.runs.claims import logs
from gomr_runtime.runs.handle import started
from gomr_runtime.runs.lifecycle import Hold, Lifecycle, claim_folder, claim_objects
from gomr_runtime.runs.local import LocalRun
from gomr_runtime.runs.prepare import Prepared
from gomr_runtime.runs.progress import Reporter
from gomr_runtime.runs.resume import reopen
from gomr_runtime.storage.base import Store
from gomr_runtime.storage.open_store import open_store, probe_create_only
from gomr_runtime.system.lifeline import hide_from_user_code


class LocalProcesses:
    """Starts a run on processes of this machine. python: of workers and master."""

    def __init__(self, store: str, python: str = sys.executable) -> None:
        """store: a directory or an `s3://` address."""
        self.python = python
        self._url = store

    def open_store(self) -> Store:
        store = open_store(self._url)
        probe_create_only(store)
        return store

    def claim(self, prepared: Prepared, store: Callable[[], Store]) -> Hold:
        if self._in_folder:
            return claim_folder(prepared)
        return claim_objects(store(), prepared)

    def claims_output(self, prepared: Prepared) -> bool:
        return True

    def start(self, store: Store, prepared: Prepared) -> LocalRun:
        job = prepared.job
        if prepared.options.resume:
            job = reopen(store, job, rerun=prepared.options.rerun)
        run = LocalRun(
            job,
            prepared.worker.program,
            self._url,
            python=self.python,
            log_folder=logs(Path(self._url), job.run) if self._in_folder else None,
        )
        hide_from_user_code()
        return started(run)

    @property
    def _in_folder(self) -> bool:
        return "://" not in self._url


def run_local(prepared: Prepared, progress: Reporter) -> Summary:
    """Run the job to its end and publish its output, for `python worker.py --workers N`.

    Raises:
        GomrError: what ended the run; its data is then kept in the store.
    """
    if "://" in prepared.store:
        raise UsageError("python worker.py keeps a run's data in a directory: use flows.gomr")
    run = Lifecycle(prepared, LocalProcesses(prepared.store), progress)
    try:
        return prepared.complete or run.run()
    finally:
        if run.is_kept and Path(prepared.store, layout.job(prepared.job.run)).exists():
            again = f"go on with the same command and --resume {prepared.job.run}"
            progress.log("info", again)
        progress.close()
