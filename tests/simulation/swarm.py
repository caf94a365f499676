"""What goes wrong in a simulated run: drawn from its seed, a different mix for each.

A seed has a random subset of the faults, at random rates: were all of them there each time, the
frequent ones would hide what the rare ones do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Any

LEASE = 10.0
MAX_ATTEMPTS = 4
MAX_LOST = 10

Moments = tuple[float, ...]
Spans = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A job and its weather. Rates are chances from 0 to 1: a message, beat, attempt, request or
    object each. Moments and spans are seconds of virtual time.


    sick: workers on which everything fails. slow: how many times longer the last worker takes.
    poison: a map that always fails; deadly: one that kills its worker. massacre: every worker dies.
    cuts: (worker, which way: to the masters, from them, both or the store; from, to). restarts:
    moments at which every master is killed; lethal: the chance to die at each request to the store.
    doubles: moments at which one more master is started while the old ones live; naps: when a
    master is stopped, for how long. skews: moments of a step of the wall clocks, and by how much.
    outages: spans without a store; blackout: it never comes back. full: spans of a full disk.
    slow_puts: writes that take up to 25 s more; failed_puts: writes that fail for good. rot and
    journal_rot: objects that are damaged some time; rotten: a map whose every output is.
    late_cancel: seconds from the promote phase to a cancel. heal: when everything ends but
    `blackout`, `full`, `rotten`, `poison` and `deadly`.
    """

    maps: int
    reduces: int
    sample: bool
    workers: int
    slots: int
    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    crash: float = 0.0
    leave: float = 0.0
    pause: float = 0.0
    fail: float = 0.0
    sick: int = 0
    slow: float = 1.0
    poison: int | None = None
    deadly: int | None = None
    massacre: float | None = None
    cuts: tuple[tuple[int, str, float, float], ...] = ()
    restarts: Moments = ()
    lethal: float = 0.0
    doubles: Moments = ()
    naps: Spans = ()
    skews: Spans = ()
    lost_requests: float = 0.0
    lost_acks: float = 0.0
    slow_store: float = 1.0
    slow_puts: float = 0.0
    failed_puts: float = 0.0
    list_lag: float = 0.0
    outages: Spans = ()
    blackout: float | None = None
    full: Spans = ()
    rot: float = 0.0
    journal_rot: float = 0.0
    rotten: int | None = None
    cancel: float | None = None
    late_cancel: float | None = None
    deadline: float | None = None
    heal: float = 80.0


FAULTS = (
    *("drop", "duplicate", "reorder", "crash", "leave", "pause", "fail", "sick", "slow", "poison"),
    *("deadly", "massacre", "cuts", "restarts", "lethal", "doubles", "naps", "skews"),
    *("lost_requests", "lost_acks", "slow_store", "list_lag", "outages", "blackout", "full", "rot"),
    *("journal_rot", "rotten", "cancel", "late_cancel", "deadline"),
)
OF_PUTS = ("slow_puts", "failed_puts")
RARE = {
    "poison": 0.1,
    "deadly": 0.1,
    "massacre": 0.4,
    "blackout": 0.08,
    "full": 0.15,
    "journal_rot": 0.4,
    "rotten": 0.15,
    "cancel": 0.2,
    "late_cancel": 0.2,
    "deadline": 0.2,
}


def draw(seed: int) -> Plan:
    """The plan of a seed."""
    rng = Random(f"plan {seed}")
    workers = rng.randint(1, 5)
    plan = Plan(
        maps=rng.choice((0, 1, 2, 3, 5, 9)),
        reduces=rng.choice((0, 1, 2, 3)),
        sample=rng.random() < 0.3,
        workers=workers,
        slots=rng.randint(1, 2),
    )
    chosen = [name for name in FAULTS if rng.random() < 0.35 * RARE.get(name, 1.0)]
    faults = {name: _draw(rng, plan, name) for name in chosen}
    return replace(plan, **faults, **_puts(seed))


def _puts(seed: int) -> dict[str, Any]:
    """What befalls writes, drawn apart, so that a seed is otherwise what it was before."""
    rng = Random(f"puts {seed}")
    return {
        "slow_puts": rng.choice((0.05, 0.3)) if rng.random() < 0.25 else 0.0,
        "failed_puts": rng.choice((0.01, 0.05)) if rng.random() < 0.15 else 0.0,
    }


def _draw(rng: Random, plan: Plan, fault: str) -> Any:
    """How bad the fault is in this run."""
    workers = plan.workers

    def moment() -> float:
        return rng.uniform(0, rng.choice((15, 60)))

    if fault in _RATES:
        return rng.choice(_RATES[fault])
    match fault:
        case "sick":
            return rng.randint(1, workers - 1) if workers > 1 else 0
        case "poison" | "rotten" | "deadly":
            return rng.randrange(plan.maps) if plan.maps else None
        case "cuts":
            ways = ("to", "from", "both", "store")
            return tuple(
                (rng.randrange(workers), rng.choice(ways), begin, begin + rng.uniform(3, 40))
                for begin in (moment() for _ in range(rng.randint(1, 3)))
            )
        case "restarts":
            return tuple(sorted(moment() for _ in range(rng.randint(1, 3))))
        case "doubles":  # some of them twins
            moments = [moment() for _ in range(rng.randint(1, 2))]
            return tuple(sorted(moments + moments[: rng.randint(0, 1)]))
        case "naps":
            return tuple((moment(), rng.uniform(1, 40)) for _ in range(rng.randint(1, 2)))
        case "skews":
            return tuple((moment(), rng.choice((-3600.0, 3600.0, 5.0))) for _ in range(2))
        case "outages" | "full":
            longest = rng.choice((5, 15, 50))
            return tuple(
                (begin, begin + rng.uniform(1, longest)) for begin in sorted((moment(), moment()))
            )
    if fault == "late_cancel":
        return rng.uniform(0, 0.3)
    return rng.uniform(1, 60)  # massacre, blackout, cancel, deadline


_RATES: dict[str, tuple[float, ...]] = {
    "drop": (0.02, 0.1, 0.3),
    "duplicate": (0.05, 0.3),
    "reorder": (0.5, 4.0),
    "crash": (0.005, 0.05),
    "leave": (0.005, 0.03),
    "pause": (0.01, 0.05),
    "fail": (0.05, 0.2, 0.6),
    "slow": (3.0, 15.0),
    "lethal": (0.005, 0.03, 0.1),
    "lost_requests": (0.02, 0.1),
    "lost_acks": (0.02, 0.1, 0.3),
    "slow_store": (10.0, 40.0),
    "list_lag": (0.1, 0.5),
    "rot": (0.1, 0.4),
    "journal_rot": (0.05, 0.2),
}
