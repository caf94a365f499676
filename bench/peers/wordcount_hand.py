"""The word count that people write by hand: multiprocessing.Pool, a loop over words, one dict."""

import multiprocessing
import sys

from blocks import Part, blocks, parts


def count(part: Part) -> dict[str, int]:
    counts: dict[str, int] = {}
    for text in blocks(*part):
        for word in text.split():
            counts[word] = counts.get(word, 0) + 1
    return counts


if __name__ == "__main__":
    totals: dict[str, int] = {}
    with multiprocessing.Pool(2) as pool:
        for counts in pool.imap_unordered(count, parts(sys.argv[1])):
            for word, n in counts.items():
                totals[word] = totals.get(word, 0) + n
    with open(f"{sys.argv[2]}/part", "w") as out:
        for word in sorted(totals):
            out.write(f"{word}\t{totals[word]}\n")
