"""The step that opens the run's store and makes sure that commits can rest on it."""

from __future__ import annotations

from tasks.state import FlowState
from tasks.step import step


@step
def start_store(state: FlowState) -> None:
    """Claim the run id in the store, which is started in the cluster if need be; raises
    RunConflict when it is taken."""
    state.run.claim()
