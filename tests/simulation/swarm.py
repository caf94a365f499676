"""What goes wrong in a simulated run: drawn from its seed, a different mix for each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random

FAULTS = (
    "drop",
    "duplicate",
    "reorder",
    "crash",
    "leave",
    "pause",
    "fail",
    "sick",
    "slow",
    "lost_acks",
    "restart",
    "cancel",
    "deadline",
    "outage",
)


@dataclass(frozen=True, slots=True)
class Plan:
    """A job and its weather. Rates are chances from 0 to 1, a message, beat or attempt each.

    sick: workers on which everything fails. slow: how many times longer the last worker takes.
    restarts, cancel, deadline, outage: moments in seconds of virtual time; the store is out of
    reach for good after `outage`. heal: when every fault but `outage` ends.
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
    lost_acks: float = 0.0
    restarts: tuple[float, ...] = ()
    cancel: float | None = None
    deadline: float | None = None
    outage: float | None = None
    heal: float = 80.0


def draw(seed: int) -> Plan:
    """The plan of a seed. Rare ends (cancel, deadline, outage) come to one seed in ten or so."""
    rng = Random(seed)
    workers = rng.randint(1, 5)
    plan = Plan(
        maps=rng.choice((0, 1, 2, 5, 9)),
        reduces=rng.choice((0, 1, 3)),
        sample=rng.random() < 0.3,
        workers=workers,
        slots=rng.randint(1, 2),
    )
    chosen = [name for name in FAULTS if rng.random() < 0.4]
    drawn: dict[str, object] = {
        "drop": rng.choice((0.02, 0.1, 0.3)),
        "duplicate": rng.choice((0.05, 0.3)),
        "reorder": rng.choice((0.5, 4.0)),
        "crash": rng.choice((0.005, 0.05)),
        "leave": rng.choice((0.005, 0.03)),
        "pause": rng.choice((0.01, 0.05)),
        "fail": rng.choice((0.05, 0.2, 0.6)),
        "sick": rng.randint(1, max(1, workers - 1)) if workers > 1 else 0,
        "slow": rng.choice((3.0, 15.0)),
        "lost_acks": rng.choice((0.1, 0.5)),
    }
    chances: dict[str, object] = {name: drawn[name] for name in chosen if name in drawn}
    plan = replace(plan, **chances)  # type: ignore[arg-type]
    if "restart" in chosen:
        plan = replace(plan, restarts=tuple(sorted(rng.uniform(0, 60) for _ in range(2))))
    for name in ("cancel", "deadline", "outage"):
        if name in chosen and rng.random() < 0.25:
            plan = replace(plan, **{name: rng.uniform(1, 60)})  # type: ignore[arg-type]
    return plan
