"""Which running tasks deserve a backup attempt, so that one slow machine does not hold up a run."""

from __future__ import annotations

from collections.abc import Iterable
from heapq import heappush, heappushpop

from gomr_runtime.scheduler.state import Attempt, SchedulerConfig


class RunningMedian:
    """The (upper) median of the durations added so far, in O(log n) an addition."""

    def __init__(self) -> None:
        self._low: list[float] = []  # negated: a heap of the lower half
        self._high: list[float] = []

    def add(self, seconds: float) -> None:
        if len(self._high) > len(self._low):
            heappush(self._low, -heappushpop(self._high, seconds))
        else:
            heappush(self._high, -heappushpop(self._low, -seconds))

    @property
    def value(self) -> float | None:
        return self._high[0] if self._high else None


def worth_watching(config: SchedulerConfig, tasks: int, committed: int, idle_slots: int) -> bool:
    """Whether the phase is near enough to its end for backups to be considered."""
    if not config.backups or idle_slots == 0:
        return False
    return committed >= config.backup_after * tasks or tasks - committed < idle_slots


def stragglers(
    config: SchedulerConfig, now: float, median: float | None, running: Iterable[Attempt]
) -> tuple[list[Attempt], int]:
    """The slow ones among the `running` attempts of a phase, the least advanced first, and how
    many backups may be started: `backup_share` of the attempts, less the backups among them."""
    if median is None:
        return [], 0
    limit = max(config.backup_floor, config.backup_slowdown * median)
    slow: list[Attempt] = []
    originals = backups = 0
    for attempt in running:
        if attempt.backup:
            backups += 1
            continue
        originals += 1
        if now - attempt.started >= limit:
            slow.append(attempt)
    slow.sort(key=lambda attempt: (attempt.fraction, attempt.started, attempt.id.task.index))
    return slow, max(1, int(config.backup_share * originals)) - backups
