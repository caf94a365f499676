"""One seed is one run: on every Python, under every hash seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.simulation.simulated.world import World

DIGESTS = Path(__file__).with_name("digests.txt")


def test_a_seed_is_one_run_whatever_the_hash_seed() -> None:
    told = set()
    for hash_seed in ("0", "1", "4242"):
        done = subprocess.run(
            [sys.executable, "-m", "tests.simulation.run", "--digests"],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        told.add(done.stdout)
    assert len(told) == 1
    assert len(set(next(iter(told)).splitlines())) == 24


def test_a_seed_is_the_run_that_it_is_on_other_pythons() -> None:
    """`make digests` writes the file; a change of the scheduler or of the world changes it."""
    lines = DIGESTS.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 24
    for line in lines:
        seed, outline = line.split("\t")
        world = World(int(seed))
        world.run()
        assert world.outline == outline, f"seed {seed}: if this is meant, run `make digests`"
