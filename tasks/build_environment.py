"""The step that makes the Python environment a worker file asks for by its header."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from gomr_runtime.environment import python_for
from tasks.console import tell
from tasks.session import Session


@task(name="build_environment", task_run_name="build environment", cache_policy=NO_CACHE)
def build_environment(session: Session) -> None:
    """Find the Python for the workers; one with the packages of the header is built once."""
    wanted = session.prepared.worker.dependencies
    if wanted:
        tell(f"environment with {', '.join(wanted)}")
    session.python = python_for(session.prepared.worker)
