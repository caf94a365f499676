"""Runs the fuzzer for minutes, on every border in turn: `python -m tests.fuzz.run --minutes 60`."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable

from tests.fuzz import child_border, master_border

BORDERS: dict[str, Callable[[range], Awaitable[dict[str, int]]]] = {
    "child": child_border.run,
    "master": master_border.run,
}
BATCH = 500


def main() -> int:
    parser = argparse.ArgumentParser("fuzz")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--border", choices=BORDERS, help="default: all in turn")
    parser.add_argument("--seed", type=int, help="this case alone, with what the processes say")
    given = parser.parse_args()
    chosen = [given.border] if given.border else list(BORDERS)
    if given.seed is not None:
        for name in chosen:
            print(name, asyncio.run(_go(name, range(given.seed, given.seed + 1))))
        return 0
    deadline = time.monotonic() + 60 * given.minutes
    seed, totals = random.SystemRandom().randrange(2**40), Counter[str]()
    while time.monotonic() < deadline:
        for name in chosen:
            with open(os.devnull, "w") as nowhere, contextlib.redirect_stderr(nowhere):
                found = asyncio.run(_go(name, range(seed, seed + BATCH)))
            totals.update({f"{name}: {word}": count for word, count in found.items()})
        seed += BATCH
        print(dict(totals), flush=True)
    return 0


async def _go(name: str, seeds: range) -> dict[str, int]:
    return await BORDERS[name](seeds)


if __name__ == "__main__":
    sys.exit(main())
