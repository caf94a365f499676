"""What --memory holds: the largest process of runs whose data is far larger.

python -m bench.memory --memory 256MB [keys hot_key ...]
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from bench.measure import measure

WORKERS = Path(__file__).parent / "workers" / "memory"


def keys(path: Path) -> Counter[str]:
    """3 million lines over 1.5 million keys, in any order."""
    lines = [f"key-number-{n:09d}" for n in range(1_500_000)] * 2
    random.Random(1).shuffle(lines)
    path.write_text("\n".join(lines) + "\n")
    return Counter({"2": 1_500_000})


def hot_key(path: Path) -> Counter[str]:
    """10^8 values of one key."""
    path.write_text("1000000\n" * 100)
    return Counter({"100000000": 1})


def hot_key_sorted(path: Path) -> Counter[str]:
    """10^7 values of one key, in order."""
    path.write_text("250000\n" * 40)
    return Counter({"10000000": 1})


def huge_values(path: Path) -> Counter[str]:
    """1.2 GB in values of 3 MB."""
    path.write_text("".join(f"{n}\n" for n in range(400)))
    return Counter({"24000000": 50})


def long_lines(path: Path) -> Counter[str]:
    """Six lines of 50 MB, six short ones."""
    path.write_text("".join(f"{'x' * 50_000_000}\nshort\n" for _ in range(6)))
    return Counter({"6": 2})


CASES: dict[str, tuple[Callable[[Path], Counter[str]], str]] = {
    "keys": (keys, "--mappers=2"),
    "keys_combined": (keys, "--mappers=2"),
    "hot_key": (hot_key, "--mappers=4"),
    "hot_key_sorted": (hot_key_sorted, "--mappers=4"),
    "huge_values": (huge_values, "--mappers=40"),
    "long_lines": (long_lines, "--mappers=4"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", default="256MB")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    given = parser.parse_args()
    print("| | largest process MB | CPU s | wall s |\n|---|---|---|---|", flush=True)
    for name in given.cases or CASES:
        with tempfile.TemporaryDirectory(prefix="gomr-bench-") as folder:
            print(row(Path(folder), name, given.memory), flush=True)


def row(folder: Path, name: str, memory: str) -> str:
    """One line of the table, the result having been checked."""
    write, mappers = CASES[name]
    expected = write(folder / "input")
    command = [sys.executable, str(WORKERS / f"{name}.py"), "--input", "input", "--json", "-q"]
    options = ["--workers=2", "--reducers=1", mappers, f"--memory={memory}", "--output=out"]
    cost = measure([*command, *options], folder / "log", cwd=folder)
    [part] = (folder / "out").glob("output-*")
    with part.open() as lines:
        found = Counter(line.rstrip("\n").split("\t")[1] for line in lines)
    if found != expected:
        raise SystemExit(f"{name}: wrong result: {found.most_common(3)}")
    summary = json.loads((folder / "log").read_text().splitlines()[-1])
    largest = max(cost.largest, summary["peak_rss"]) / 1e6
    shutil.rmtree(folder / ".gomr", ignore_errors=True)
    about = (write.__doc__ or "").rstrip(".")
    return f"| `{name}`: {about} | {largest:.0f} | {cost.cpu:.0f} | {cost.wall:.0f} |"


if __name__ == "__main__":
    main()
