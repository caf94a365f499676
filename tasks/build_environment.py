"""The step that makes the Python environment a worker file asks for by its header."""

from __future__ import annotations

from gomr_runtime.user_code.environment import python_for
from tasks.reporting.console import tell
from tasks.state import LocalState
from tasks.step import step


@step
def build_environment(state: LocalState) -> None:
    """Find the Python for the workers; one with the packages of the header is built once."""
    wanted = state.prepared.worker.dependencies
    if wanted:
        tell(f"environment with {', '.join(wanted)}")
    state.runtime.python = python_for(state.prepared.worker)
