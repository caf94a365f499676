"""How a run ends: what is summed up and what becomes the output."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from gomr_runtime.errors import Cancelled, GomrError, StorageError
from gomr_runtime.master.core.books import Books
from gomr_runtime.master.core.plan import Plan
from gomr_runtime.model.job import JobSpec
from gomr_runtime.model.layout import promoted
from gomr_runtime.model.summary import Part, Summary


@dataclass(frozen=True, slots=True)
class Effort:
    """What the run took; times in seconds."""

    attempts: int
    lost_workers: int
    workers: int
    seconds: float
    phases: dict[str, float]


def summarise(
    job: JobSpec,
    error: GomrError | None,
    plan: Plan | None,
    books: Books,
    parts: tuple[Part, ...],
    effort: Effort,
) -> Summary:
    """The summary of a run that ended with `error`, or well and with `parts`."""
    totals = books.totals()
    cancelled = isinstance(error, Cancelled)
    map_only = plan.description.map_only if plan else False
    return Summary(
        run=job.run,
        state="succeeded" if error is None else "cancelled" if cancelled else "failed",
        exit_code=error.exit_code if error else 0,
        message=str(error) if error else "",
        detail=error.detail if error else "",
        failure=error.failure if error else None,
        parts=parts if error is None else (),
        set_aside=promoted(job.run, books.set_aside()) if error is None else (),
        ledger=totals.ledger,
        counters=totals.counters,
        bad_records=totals.bad_records,
        workers=effort.workers,
        mappers=len(plan.splits) if plan else 0,
        reducers=0 if map_only else job.reducers,
        attempts=effort.attempts,
        lost_workers=effort.lost_workers,
        seconds=effort.seconds,
        cpu_seconds=totals.cpu_seconds,
        peak_rss=totals.peak_rss,
        phases=effort.phases,
        profile={
            kind: {**seconds, "wait": _idle(effort, kind, sum(seconds.values()))}
            for kind, seconds in totals.profile.items()
        },
    )


def _idle(effort: Effort, kind: str, busy: float) -> float:
    """Seconds that the workers spent in that phase without a task whose result counts."""
    return max(0.0, effort.workers * effort.phases.get(kind, 0.0) - busy)


def with_advice(error: GomrError) -> GomrError:
    """What to do about a store that failed, said to whoever reads how the run ended."""
    if not isinstance(error, StorageError):
        return error
    return StorageError(f"{error}; check the store, then resume the run", detail=error.detail)


def durations(phases: list[tuple[str, float]], end: float) -> dict[str, float]:
    """Seconds in each phase, from the moments at which they began."""
    moments = [*phases, ("", end)]
    return {name: after - begun for (name, begun), (_, after) in pairwise(moments)}
