"""The step that waits for the map tasks."""

from __future__ import annotations

from tasks.reporting.progress import follow
from tasks.session import Session
from tasks.step import step


@step
def wait_for_map(session: Session) -> None:
    """Tell how the map goes until all of it is committed; raises the error the run ended with."""
    if session.summary is not None:
        return  # a run that is resumed and was complete
    assert session.processes is not None
    session.summary = follow(session.processes, "map", later={"reduce", "promote"})
