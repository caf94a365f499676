"""The step that waits for the reduce tasks and the end of the run."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.progress import follow
from tasks.session import Session


@task(name="wait_for_reduce", task_run_name="wait for reduce", cache_policy=NO_CACHE)
def wait_for_reduce(session: Session) -> None:
    """Tell how the reduce goes until the run ends; raises the error it ended with.

    A map-only run may have ended before.
    """
    assert session.processes is not None
    if session.summary is None:
        session.summary = follow(session.processes, "reduce", later=set())
