"""Which of the troubles of a run end it. Pure: what is seen and when, in; what to do, out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from k8s.pods.state import Object, role_of, works
from k8s.pods.trouble import Trouble, kind_of

MEMORY_DEATHS = 4  # as many attempts as a task has


@dataclass(frozen=True, slots=True)
class Verdict:
    """new: troubles that are to be told now. fatal: the one that ends the run."""

    new: tuple[Trouble, ...]
    fatal: Trouble | None


class Judge:
    """Remembers what was told and since when a trouble lasts unrelieved. `now` is in seconds."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._idle_since: dict[str, float] = {}  # by role, while no pod of it works
        self._told: set[str] = set()
        self._memory_deaths: set[str] = set()

    def judge(self, pods: Iterable[Object], troubles: Sequence[Trouble], now: float) -> Verdict:
        """`troubles`: all there are at this moment."""
        working = {role_of(pod) for pod in pods if works(pod)}
        keys = {trouble.key for trouble in troubles}
        idle = {trouble.role for trouble in troubles} - working
        self._idle_since = {role: self._idle_since.get(role, now) for role in idle}
        self._since = {key: at for key, at in self._since.items() if key in keys}
        for key in keys:
            self._since.setdefault(key, now)
        new = tuple(trouble for trouble in troubles if self._is_to_be_told(trouble, now))
        self._told.update(trouble.key for trouble in new)
        self._memory_deaths.update(t.key for t in troubles if kind_of(t) == "memory")
        fatal = next((trouble for trouble in troubles if self._ends(trouble, working, now)), None)
        return Verdict(new, fatal)

    def _is_to_be_told(self, trouble: Trouble, now: float) -> bool:
        if trouble.key in self._told:
            return False
        return now - self._since[trouble.key] >= trouble.tell_after

    def _ends(self, trouble: Trouble, working: set[str], now: float) -> bool:
        """Whether the run cannot go on with it."""
        if kind_of(trouble) == "memory" and len(self._memory_deaths) >= MEMORY_DEATHS:
            return True
        if trouble.patience is None or trouble.role in working:
            return False
        # What an earlier pod suffered is no trouble while another one works in its place.
        since = max(self._since[trouble.key], self._idle_since[trouble.role])
        return now - since >= trouble.patience
