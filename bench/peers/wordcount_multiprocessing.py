"""The word count that people write by hand: multiprocessing.Pool, a loop over words, one dict."""

import multiprocessing
import os
import sys
from collections.abc import Iterator

BLOCK = 256 * 1024
PARTS = 8


def blocks(path: str, start: int, end: int) -> Iterator[str]:
    with open(path, "rb") as file:
        if start:
            file.seek(start - 1)
            file.readline()
        while (at := file.tell()) < end:
            data = file.read(min(BLOCK, end - at))
            if not data:
                return
            yield (data + file.readline()).decode()


def count(part: tuple[str, int, int]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for text in blocks(*part):
        for word in text.split():
            counts[word] = counts.get(word, 0) + 1
    return counts


if __name__ == "__main__":
    path, target = sys.argv[1], sys.argv[2]
    size = os.path.getsize(path)
    parts = [(path, i * size // PARTS, (i + 1) * size // PARTS) for i in range(PARTS)]
    totals: dict[str, int] = {}
    with multiprocessing.Pool(2) as pool:
        for counts in pool.imap_unordered(count, parts):
            for word, n in counts.items():
                totals[word] = totals.get(word, 0) + n
    with open(target, "w") as out:
        for word in sorted(totals):
            out.write(f"{word}\t{totals[word]}\n")
