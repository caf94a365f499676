"""The step that starts the master and the workers."""

from __future__ import annotations

from pathlib import Path

from gomr_runtime.runs.claims import logs
from gomr_runtime.runs.local import LocalRun
from gomr_runtime.system.lifeline import hide_from_user_code
from tasks.session import Session
from tasks.step import step


@step
def deploy(session: Session) -> None:
    """Start the run's processes here, which end with this one, or its pods, which do not."""
    if session.target is not None:
        from tasks.start_pods import start_pods  # not for a run of this machine

        session.processes = start_pods(session)
    elif session.processes is None:  # else another process looks after them
        session.processes = start_processes(session)
    session.pass_on_cancel()


def start_processes(session: Session) -> LocalRun:
    prepared = session.prepared
    processes = LocalRun(
        prepared.job,
        prepared.worker.program,
        prepared.store,
        python=session.python,
        log_folder=logs(Path(prepared.store), prepared.job.run) if session.claim else None,
    )
    hide_from_user_code()
    session.processes = processes  # to be ended even if it does not start
    processes.start()
    return processes
