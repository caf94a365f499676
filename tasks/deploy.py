"""The step that starts the master and the workers."""

from __future__ import annotations

from pathlib import Path

from gomr_runtime.local import LocalRun
from gomr_runtime.runs import logs
from tasks.session import Session
from tasks.step import step


@step
def deploy(session: Session) -> None:
    """Start the run's processes; they look after themselves and end with this process."""
    prepared = session.prepared
    session.processes = LocalRun(
        prepared.job,
        prepared.worker.path,
        prepared.store,
        python=session.python,
        log_folder=logs(Path(prepared.store), prepared.job.run) if session.claim else None,
    )
    session.processes.start()
    session.pass_on_cancel()
