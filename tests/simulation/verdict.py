"""Whether a run may end as it did, and by when it must."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from gomr_runtime.errors import (
    Cancelled,
    CorruptBlock,
    DeadlineExceeded,
    EnvironmentFailed,
    GomrError,
    JobFailed,
    StorageError,
)
from gomr_runtime.model.ids import TaskId
from tests.simulation.oracle import Violation
from tests.simulation.swarm import LEASE, MAX_ATTEMPTS, MAX_LOST, Plan

if TYPE_CHECKING:
    from tests.simulation.simulated.world import World

CHARGED = ("user", "crash", "memory", "data", "timeout", "corrupt")


def latest_end(plan: Plan) -> float:
    """When a run must be over, in seconds: healed, leases passed, then every task by the one
    worker that is left, which may be the slow one; maps that must run again, the most often."""
    tasks = plan.maps + plan.reduces + 1
    alone = plan.workers == 1 or plan.sick or plan.fail  # or the others are quarantined
    slow_tasks = tasks if alone else 3
    once = 8 * tasks + 4 * plan.slow * slow_tasks
    once += (LEASE + 25) * MAX_LOST if plan.deadly is not None else 0
    damaged = plan.rot or plan.journal_rot or plan.rotten is not None
    return plan.heal + 120 + 6 * LEASE + once * (MAX_ATTEMPTS if damaged else 1)


def check_verdict(world: World) -> None:
    """Violation for an end that nothing that happened explains."""
    error = world.error
    if error is None:
        return
    just = _causes(world)
    if not any(fits and isinstance(error, kind) for kind, fits in just):
        raise Violation(f"ended without reason: {error!r}")


def _causes(world: World) -> list[tuple[type[GomrError], bool]]:
    plan, faults, now = world.plan, world.faults, world.kernel.now
    failures: Counter[TaskId] = Counter()
    lost: Counter[TaskId] = Counter()
    for (attempt, kind), times in world.outcomes.items():
        failures[attempt.task] += times if kind in CHARGED else 0
        lost[attempt.task] += times if kind in ("storage", "worker") else 0
    starts = [n for counts in world.oracle.all_starts() for n in counts.values()]
    lossy = ("lost_requests", "lost_acks", "outages", "blackout", "full", "failed_puts", "cuts")
    store_failed = plan.slow_store > 1 or any(faults[fault] for fault in lossy)
    # Over a restart of the master the deadline goes by the wall clock, as far as that goes.
    stepped = faults["skews"] > 0 and len(world.masters) > 1
    late = plan.deadline is not None and (now >= plan.deadline or stepped)
    lonely = "no worker for" in str(world.error)
    return [
        (Cancelled, faults["cancel"] > 0),
        (DeadlineExceeded, late),
        (JobFailed, max(failures.values(), default=0) >= MAX_ATTEMPTS),
        (CorruptBlock, faults["damage"] > 0),
        (StorageError, store_failed or max(lost.values(), default=0) >= MAX_LOST),
        (EnvironmentFailed, lonely or max(starts, default=0) >= MAX_LOST),
        (EnvironmentFailed, store_failed or faults["damage"] > 0),  # as a summary tells it
    ]
