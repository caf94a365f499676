"""The step that brings the parts to the person's directory."""

from __future__ import annotations

from tasks.state import FlowState
from tasks.step import step


@step
def collect(state: FlowState) -> None:
    """Publish the verified parts, `_SUCCESS` last, unless the output is to stay in the store."""
    state.run.publish()
