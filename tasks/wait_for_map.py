"""The step that waits for the map tasks."""

from __future__ import annotations

from tasks.reporting.progress import follow
from tasks.state import FlowState
from tasks.step import step


@step
def wait_for_map(state: FlowState) -> None:
    """Tell how the map goes until all of it is committed; raises the error the run ended with."""
    if state.run.handle.summary is None:  # else it is resumed, and was complete
        follow(state.run.handle, "map", later={"reduce", "promote"})
