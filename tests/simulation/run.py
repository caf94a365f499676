"""Runs simulated schedules.

python -m tests.simulation.run --seed 17             tell everything that happens in one
python -m tests.simulation.run --seed 17 --shrink    and with which faults alone it still fails
python -m tests.simulation.run --count 100000        many, on every core; failing ones are kept
python -m tests.simulation.run --digests             what test_determinism holds a Python to
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path

from tests.simulation.kept import keep
from tests.simulation.simulated.world import World
from tests.simulation.swarm import Plan, draw

CHUNK = 100  # seeds a piece of work
TOLD_EVERY = 5.0  # seconds
DIGEST_SEEDS = range(24)


@dataclass(frozen=True, slots=True)
class Failure:
    seed: int
    cause: str
    detail: str


def replay_command(seed: int) -> str:
    return f"make simulate SEED={seed}"


def attempt(seed: int, plan: Plan | None = None) -> Failure | None:
    """Run a seed to its end; how it failed."""
    world = World(seed, plan)
    try:
        world.run()
    except Exception as error:  # noqa: BLE001  (whatever it is, it is what was looked for)
        detail = getattr(error, "detail", "")
        return Failure(seed, f"at {world.kernel.now:.3f} s: {error!r}", detail)
    return None


def failures_among(seeds: range) -> list[Failure]:
    return [failure for failure in map(attempt, seeds) if failure is not None]


def shrink(seed: int, plan: Plan) -> Plan:
    """The plan without every fault that it can fail without."""
    for field in fields(Plan):
        if field.default is MISSING or getattr(plan, field.name) == field.default:
            continue
        simpler = replace(plan, **{field.name: field.default})
        if attempt(seed, simpler) is not None:
            plan = simpler
    return plan


def told(plan: Plan) -> str:
    """The job and the faults it has."""
    said = [
        f"{field.name}={getattr(plan, field.name)!r}"
        for field in fields(Plan)
        if field.default is MISSING or getattr(plan, field.name) != field.default
    ]
    return ", ".join(said)


def run_one(seed: int, *, small: bool, quiet: bool) -> int:
    plan = draw(seed)
    if small:
        plan = shrink(seed, plan)
    print(f"seed {seed}: {told(plan)}")
    world = World(seed, plan, tell=None if quiet else print)
    error = world.run()
    print(
        f"seed {seed}: {error!r} at {world.kernel.now:.3f} s, {world.events} events, "
        f"trace {world.trace}, outline {world.outline}"
    )
    return 0


def run_many(first: int, count: int, jobs: int) -> int:
    """Every core at work; progress and rate on the way, 1 if any seed failed."""
    began = told_at = time.monotonic()
    done, failed = 0, 0
    with ProcessPoolExecutor(jobs) as pool:
        for seeds, failures in _in_parallel(pool, range(first, first + count), jobs):
            done += len(seeds)
            for failure in failures:
                failed += 1
                print(f"seed {failure.seed} {failure.cause}\n{failure.detail}".rstrip())
                print(f"  replay it with: {replay_command(failure.seed)}", flush=True)
                keep(failure.seed, failure.cause)
            now = time.monotonic()
            if now - told_at >= TOLD_EVERY or done == count:
                told_at = now
                rate = done / (now - began)
                print(
                    f"{done:,} of {count:,} schedules, {rate:,.0f}/s, {failed} failed, "
                    f"{now - began:,.0f} s",
                    flush=True,
                )
    return 1 if failed else 0


def _in_parallel(
    pool: ProcessPoolExecutor, seeds: range, jobs: int
) -> Iterator[tuple[range, list[Failure]]]:
    """Chunks as they are done; a few are waiting at any time."""
    chunks = iter([seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)])
    running: dict[Future[list[Failure]], range] = {}
    while True:
        while len(running) < 2 * jobs and (chunk := next(chunks, None)) is not None:
            running[pool.submit(failures_among, chunk)] = chunk
        if not running:
            return
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            yield running.pop(future), future.result()


def print_digests() -> int:
    for seed in DIGEST_SEEDS:
        world = World(seed)
        world.run()
        print(f"{seed}\t{world.outline}\t{world.trace}")
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation.run",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, help="replay this one")
    parser.add_argument("--shrink", action="store_true", help="drop faults it can fail without")
    parser.add_argument("--quiet", action="store_true", help="only how it ended")
    parser.add_argument("--first", type=int, default=0, metavar="SEED")
    parser.add_argument("--count", type=int, default=2000, metavar="N")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--digests", action="store_true")
    arguments = parser.parse_args()
    if arguments.digests:
        return print_digests()
    if arguments.seed is not None:
        return run_one(arguments.seed, small=arguments.shrink, quiet=arguments.quiet)
    return run_many(arguments.first, arguments.count, arguments.jobs)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    sys.exit(main())
