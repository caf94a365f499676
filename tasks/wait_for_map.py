"""The step that waits for the map tasks."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from tasks.progress import follow
from tasks.session import Session


@task(name="wait_for_map", task_run_name="wait for map", cache_policy=NO_CACHE)
def wait_for_map(session: Session) -> None:
    """Tell how the map goes until all of it is committed; raises the error the run ended with."""
    assert session.processes is not None
    session.summary = follow(session.processes, "map", later={"reduce", "promote"})
