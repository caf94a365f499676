"""Which of the troubles of a run end it. Pure: what is seen and when, in; what to do, out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tasks.cluster.trouble import Object, Trouble, kind_of, role_of, works

MEMORY_DEATHS = 4  # as many attempts as a task has


@dataclass(frozen=True, slots=True)
class Verdict:
    """new: troubles that were not told yet. fatal: the one that ends the run. look_again: in so
    many seconds one may have lasted too long; None when that takes a change first."""

    new: tuple[Trouble, ...]
    fatal: Trouble | None
    look_again: float | None


class Judge:
    """Remembers what was told and since when a trouble lasts. `now` is any clock in seconds."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._told: set[str] = set()
        self._memory_deaths: set[str] = set()

    def judge(self, pods: Iterable[Object], troubles: Sequence[Trouble], now: float) -> Verdict:
        """`troubles`: all there are at this moment."""
        working = {role_of(pod) for pod in pods if works(pod)}
        keys = {trouble.key for trouble in troubles}
        self._since = {key: at for key, at in self._since.items() if key in keys}
        for key in keys:
            self._since.setdefault(key, now)
        new = tuple(trouble for trouble in troubles if trouble.key not in self._told)
        self._told.update(keys)
        self._memory_deaths.update(t.key for t in troubles if kind_of(t) == "memory")
        waits = []
        for trouble in troubles:
            left = self._left(trouble, working, now)
            if left is not None and left <= 0:
                return Verdict(new, trouble, None)
            if left is not None:
                waits.append(left)
        return Verdict(new, None, min(waits, default=None))

    def _left(self, trouble: Trouble, working: set[str], now: float) -> float | None:
        """Seconds until the trouble ends the run; None while it does not."""
        if kind_of(trouble) == "memory" and len(self._memory_deaths) >= MEMORY_DEATHS:
            return 0.0
        if trouble.patience is None or trouble.role in working:
            return None
        return self._since[trouble.key] + trouble.patience - now
