"""The sum per key that people write by hand: a dict in each of two processes, merged at the end."""

import multiprocessing
import sys

from blocks import Part, blocks, parts


def add(part: Part) -> dict[str, int]:
    totals: dict[str, int] = {}
    for text in blocks(*part):
        for line in text.splitlines():
            key, value = line.split("\t")
            totals[key] = totals.get(key, 0) + int(value)
    return totals


if __name__ == "__main__":
    totals: dict[str, int] = {}
    with multiprocessing.Pool(2) as pool:
        for some in pool.imap_unordered(add, parts(sys.argv[1])):
            for key, value in some.items():
                totals[key] = totals.get(key, 0) + value
    with open(f"{sys.argv[2]}/part", "w") as out:
        for key, value in totals.items():
            out.write(f"{key}\t{value}\n")
