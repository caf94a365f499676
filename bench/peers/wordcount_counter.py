"""The same with a Counter that takes all words of a block at once."""

import multiprocessing
import sys
from collections import Counter

from blocks import Part, blocks, parts


def count(part: Part) -> Counter[str]:
    counts: Counter[str] = Counter()
    for text in blocks(*part):
        counts.update(text.split())
    return counts


if __name__ == "__main__":
    totals: Counter[str] = Counter()
    with multiprocessing.Pool(2) as pool:
        for counts in pool.imap_unordered(count, parts(sys.argv[1])):
            totals.update(counts)
    with open(f"{sys.argv[2]}/part", "w") as out:
        out.writelines([f"{word}\t{totals[word]}\n" for word in sorted(totals)])
