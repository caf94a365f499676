"""Seeded text with Zipf-distributed words, as large as asked."""

from __future__ import annotations

import argparse
import random
from itertools import accumulate
from pathlib import Path

VOCABULARY = 100_000
EXPONENT = 1.05
WORDS_PER_LINE = 12
LINES_PER_STEP = 20_000


def write_text(path: Path, size: int, seed: int = 1) -> None:
    """About `size` bytes of lines of words; the same bytes for the same arguments."""
    rng = random.Random(seed)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    words = [
        "".join(rng.choices(letters, k=2 + int(rng.expovariate(0.25)) % 12))
        for _ in range(VOCABULARY)
    ]
    weights = list(accumulate(1 / (rank + 1) ** EXPONENT for rank in range(VOCABULARY)))
    written = 0
    with path.open("w", encoding="ascii") as out:
        while written < size:
            chosen = rng.choices(words, cum_weights=weights, k=WORDS_PER_LINE * LINES_PER_STEP)
            lines = [
                " ".join(chosen[i : i + WORDS_PER_LINE])
                for i in range(0, len(chosen), WORDS_PER_LINE)
            ]
            written += out.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--megabytes", type=int, default=100)
    given = parser.parse_args()
    write_text(given.path, given.megabytes * 1_000_000)
