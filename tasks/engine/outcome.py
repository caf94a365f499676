"""What a run came to, kept apart from what Prefect makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from gomr_runtime.model.summary import Summary


class Outcome:
    """How the job of one flow run ended; neither is set while it has not."""

    def __init__(self) -> None:
        self.summary: Summary | None = None
        self.error: Exception | None = None

    @property
    def known(self) -> bool:
        return self.summary is not None or self.error is not None


_outcome: ContextVar[Outcome | None] = ContextVar("outcome", default=None)


@contextmanager
def outcome_of_run() -> Iterator[Outcome]:
    """Gets set by the flow run that is made within the block."""
    outcome = Outcome()
    token = _outcome.set(outcome)
    try:
        yield outcome
    finally:
        _outcome.reset(token)


def came_to(end: Summary | Exception) -> None:
    """Remember how the job ended, for the block that it runs in, if there is one."""
    outcome = _outcome.get()
    if outcome is None:
        return
    if isinstance(end, Exception):
        outcome.error = end
    else:
        outcome.summary = end
