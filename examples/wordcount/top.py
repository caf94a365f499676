"""The most frequent words of a word count: `python top.py OUTPUT_DIRECTORY [N]`."""

import heapq
import sys
from collections.abc import Iterator
from pathlib import Path


def counts(directory: Path) -> Iterator[tuple[int, str]]:
    if not (directory / "_SUCCESS").is_file():
        sys.exit(f"{directory} has no _SUCCESS: it is not a finished output")
    for part in sorted(directory.glob("output-*.txt")):
        with part.open(encoding="utf-8", newline="\n") as lines:
            for line in lines:
                word, count = line.rstrip("\n").split("\t")
                yield int(count), word


def main(directory: str = "", wanted: str = "10") -> None:
    if not directory or not wanted.isdecimal():
        sys.exit(__doc__)
    best = heapq.nsmallest(int(wanted), ((-count, word) for count, word in counts(Path(directory))))
    for count, word in best:
        print(f"{-count:8,}  {word}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
