"""The step that starts the master and the workers."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from gomr_runtime.local import LocalRun
from gomr_runtime.runs import logs
from tasks.session import Session


@task(name="deploy", task_run_name="deploy master and workers", cache_policy=NO_CACHE)
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
