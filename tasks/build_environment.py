"""The step that makes the Python environment a worker file asks for by its header."""

from __future__ import annotations

from gomr_runtime.user_code.environment import python_for
from tasks.reporting.console import tell
from tasks.session import Session
from tasks.step import step


@step
def build_environment(session: Session) -> None:
    """Find the Python for the workers; one with the packages of the header is built once."""
    wanted = session.prepared.worker.dependencies
    if wanted:
        tell(f"environment with {', '.join(wanted)}")
    session.python = python_for(session.prepared.worker)
