"""The step that waits for the reduce tasks and the end of the run."""

from __future__ import annotations

from tasks.reporting.progress import follow
from tasks.state import FlowState
from tasks.step import step


@step
def wait_for_reduce(state: FlowState) -> None:
    """Tell how the reduce goes until the run ends; raises the error it ended with.

    A map-only run may have ended before.
    """
    if state.run.handle.summary is None:
        follow(state.run.handle, "reduce", later=set())
