"""How long an operation goes on trying a store that does not answer."""

from __future__ import annotations


class Outage:
    """Since when nobody here got an answer; times are in seconds on one monotonic clock.

    An operation has `budget` seconds. One that begins while the store is down has what is left
    since it went down: a run waits once for a store that stays away, not once for each operation.
    Safe from any thread: `_since` is one word, and a lost update only moves a deadline a little.
    """

    def __init__(self, budget: float) -> None:
        self._budget = budget
        self._since: float | None = None

    def answered(self) -> None:
        self._since = None

    def unanswered(self, tried: float) -> None:
        """A try that began at `tried` got no answer, or one that asks to come again."""
        if self._since is None or tried < self._since:
            self._since = tried

    def deadline(self, began: float) -> float:
        """When an operation that began at `began` gives up."""
        since = self._since
        return self._budget + (began if since is None else min(began, since))
