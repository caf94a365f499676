"""Looks for a seed that shows each seeded defect: `python -m tests.simulation.hunt [NAME...]`.

Without names all are hunted for, and the seeds that show them are written to mutant_seeds.txt, so
that the tests need not look again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from tests.simulation.mutants.catalogue import MUTANTS
from tests.simulation.run import Failure, attempt

MOST_SEEDS = 2000
SEEDS = Path(__file__).with_name("mutant_seeds.txt")


def hunt(name: str, seeds: Iterable[int] = range(MOST_SEEDS)) -> Failure | None:
    """The first seed that fails with this defect, None if none does."""
    with MUTANTS[name].applied():
        return next(filter(None, map(attempt, seeds)), None)


def seeds_known() -> dict[str, int]:
    """By defect, the seed that showed it when they were hunted for."""
    rows = (line.split("\t") for line in SEEDS.read_text(encoding="utf-8").splitlines())
    return {name: int(seed) for name, seed in rows}


def main() -> int:
    """A line for each defect; 1 if any was not found."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.hunt", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    names = parser.parse_args().names
    found: dict[str, int] = {}
    for name in names or MUTANTS:
        began = time.monotonic()
        failure = hunt(name)
        where = "NOT FOUND"
        if failure is not None:
            found[name] = failure.seed
            where = f"seed {failure.seed} {failure.cause[:100]}"
        print(f"{name}: {where} ({time.monotonic() - began:.1f} s)", flush=True)
    print(f"{len(found)} of {len(names or MUTANTS)} defects found")
    if not names:
        rows = (f"{name}\t{seed}\n" for name, seed in found.items())
        SEEDS.write_text("".join(rows), encoding="utf-8")
    return 0 if len(found) == len(names or MUTANTS) else 1


if __name__ == "__main__":
    sys.exit(main())
