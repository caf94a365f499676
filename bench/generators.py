"""Seeded data beside `bench.text`: pairs of many keys, records to sort, many small files.

Equal arguments give equal bytes.
"""

from __future__ import annotations

import random
from pathlib import Path

from bench.text import write_text

STEP = 100_000


def write_pairs(path: Path, rows: int, seed: int = 2) -> None:
    """`rows` lines `key<TAB>int`, half as many different keys of 13 to 15 characters."""
    rng = random.Random(seed)
    keys = max(1, rows // 2)
    with path.open("w", encoding="ascii") as out:
        for start in range(0, rows, STEP):
            count = min(STEP, rows - start)
            # Every key once, and as often again as chance will have it.
            chosen = list(range(start // 2, (start + count) // 2))
            chosen += [rng.randrange(keys) for _ in range(count - len(chosen))]
            rng.shuffle(chosen)
            out.write(
                "".join(
                    [
                        f"user-{key * 7_919 % 10_000_019:08d}{'' if key % 3 else '-x'}\t"
                        f"{rng.randrange(1000)}\n"
                        for key in chosen
                    ]
                )
            )


def write_records(path: Path, rows: int, seed: int = 3) -> None:
    """`rows` lines of 100 bytes: 10 random letters, a tab, 88 more that do not repeat."""
    rng = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEF"
    pool = "".join(rng.choices(letters, k=1 << 20))
    with path.open("w", encoding="ascii") as out:
        for start in range(0, rows, STEP):
            lines = []
            for i in range(start, min(start + STEP, rows)):
                bits = rng.getrandbits(70)
                at = bits % ((1 << 20) - 80)
                key = "".join([letters[bits >> shift & 31] for shift in range(20, 70, 5)])
                lines.append(f"{key}\t{i:09d}{pool[at : at + 79]}\n")
            out.write("".join(lines))


def write_documents(folder: Path, count: int, seed: int = 4) -> None:
    """`count` files of 100 KB of text."""
    folder.mkdir()
    whole = folder / "text"
    write_text(whole, count * 100_000, seed)
    with whole.open("rb") as text:
        for i in range(count):
            block = text.read(100_000)
            (folder / f"{i:05d}.txt").write_bytes(block + text.readline())
    whole.unlink()
