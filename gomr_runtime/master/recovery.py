"""The start of a master: it becomes the newest of its run and learns what the store knows.

There is no other truth than the store, so that the first master of a run and the one after a crash
start alike. Both functions block on the store: `server` calls them in threads, the simulation in
its processes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gomr_runtime.errors import GomrError
from gomr_runtime.master.core.core import Core
from gomr_runtime.master.core.inputs import PlanMade
from gomr_runtime.master.core.plan import Manifest, Plan
from gomr_runtime.master.journal import Journal
from gomr_runtime.model.errors_of import error_of
from gomr_runtime.model.job import JobSpec
from gomr_runtime.model.summary import Summary


@dataclass(frozen=True, slots=True)
class Succession:
    """A master that has its epoch. elapsed: seconds since the run's first master started."""

    job: JobSpec
    epoch: int
    elapsed: float

    def core(self, now: float, nonce: Callable[[], str]) -> Core:
        """The master's core, which knows nothing of the run yet.

        Args:
            now: seconds on the master's monotonic clock.
            nonce: gives what never comes twice.
        """
        return Core(self.job, self.epoch, now, self.elapsed, nonce)


@dataclass(frozen=True, slots=True)
class RunOver:
    """The run has ended, and all that its end left to do is done."""

    summary: Summary
    error: GomrError | None


@dataclass(frozen=True, slots=True)
class RunPlanned:
    """The run goes on: its plan, and what earlier masters have committed."""

    plan: Plan
    commits: tuple[Manifest, ...] = ()

    def event(self, now: float) -> PlanMade:
        """What the core is told of it."""
        return PlanMade(now, self.plan, self.commits)


def take_over(journal: Journal) -> Succession:
    """Become the newest master of the run.

    Raises:
        GomrError: there is no such run, or the store cannot be relied on.
    """
    job = journal.read_job()
    epoch = journal.take_epoch()
    return Succession(job, epoch, journal.elapsed(job.first_epoch))


def replay(journal: Journal, job: JobSpec) -> RunOver | RunPlanned | None:
    """Read how far the run is, once this master has its epoch: nobody else writes any more.

    Returns:
        What the store knows; None for a run that nobody has planned yet.

    Raises:
        GomrError: what is stored is damaged, or the store cannot be relied on.
    """
    summary = journal.read_summary()
    if summary is not None:
        return RunOver(summary, error_of(summary))
    plan = journal.read_plan(job.files)
    if plan is None:
        return None
    return RunPlanned(plan, tuple(journal.read_commits()))
