"""The step that waits for the reduce tasks and the end of the run."""

from __future__ import annotations

from tasks.reporting.progress import follow
from tasks.session import Session
from tasks.step import step


@step
def wait_for_reduce(session: Session) -> None:
    """Tell how the reduce goes until the run ends; raises the error it ended with.

    A map-only run may have ended before.
    """
    if session.summary is None:
        assert session.processes is not None
        session.summary = follow(session.processes, "reduce", later=set())
