"""The step that starts the master and the workers."""

from __future__ import annotations

from tasks.state import FlowState
from tasks.step import step


@step
def deploy(state: FlowState) -> None:
    """Start the run's processes here, which end with this one, or its pods, which do not; neither
    where another process looks after the run."""
    state.run.start()
    state.pass_on_cancel()
