"""The jobs that run under chaos, and what one process makes of them without any."""

from __future__ import annotations

import hashlib
import json
import os
import random
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
MAPS, REDUCES = 12, 3
SECONDS = 120.0  # for the sequential run

# Each task says that it begins, and each record that it was taken: for who watches the folder.
SOURCE = """
import os, time
from pathlib import Path
from typing import Iterator
import gomr_runtime as gomr

HERE = Path({folder!r})

def say(name, text):
    descriptor = os.open(HERE / name, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, text.encode())
    os.close(descriptor)

def setup(ctx):
    say("begun", f"{{ctx.attempt_id}} {{time.time_ns()}}\\n")

def take_time(ctx):
    say("taken", ".")
    ctx.counter("taken").add(1)
    time.sleep(float(ctx.params["pace"]))
{functions}
if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, setup=setup, input=gomr.lines{config}))
"""
COUNTED = """
def mapper(ctx, line: str):
    take_time(ctx)
    for word in line.split():
        ctx.emit(word, 1)

def reducer(ctx, key, values: list[int]):
    take_time(ctx)
    ctx.emit(key, sum(values))
"""
# Shows values that are lost, doubled or out of their order.
IN_ORDER = """
def mapper(ctx, line: str):
    take_time(ctx)
    number, *words = line.split()
    for place, word in enumerate(words):
        yield word, (int(number), place)

def reducer(ctx, key, values: Iterator[tuple]):
    take_time(ctx)
    yield key, " ".join(f"{line}.{place}" for line, place in values)
"""
MAP_ONLY = """
def mapper(ctx, line: str):
    take_time(ctx)
    number, *words = line.split()
    ctx.emit(int(number), words)
"""


@dataclass(frozen=True)
class Kind:
    """A worker file; `reduces` is 0 where there is none, `samples` where keys are sampled first."""

    functions: str
    config: str
    reduces: int = REDUCES
    samples: int = 0

    @property
    def tasks(self) -> list[str]:
        """Names of its tasks, as they stand in the store when all are committed."""
        counts = {"map": MAPS, "reduce": self.reduces, "sample": self.samples}
        return sorted(f"{name}-{n}" for name, count in counts.items() for n in range(count))

    def source(self, folder: Path) -> str:
        return SOURCE.format(folder=str(folder), functions=self.functions, config=self.config)


KINDS = {
    "counted": Kind(COUNTED, ", reducer=reducer"),
    "combined": Kind(COUNTED, ", reducer=reducer, combiner=gomr.sum"),
    "in-order": Kind(IN_ORDER, ", reducer=reducer"),
    "total-order": Kind(COUNTED, ", reducer=reducer, partitioner=gomr.total_order", samples=1),
    "map-only": Kind(MAP_ONLY, "", reduces=0),
}


def some_text(lines: int = 60 * MAPS) -> str:
    """Lines of a number and eight words each."""
    dice = random.Random(1)
    words = (" ".join(f"w{dice.randrange(240)}" for _ in range(8)) for _ in range(lines))
    return "".join(f"{number} {line}\n" for number, line in enumerate(words))


TEXT = some_text()
LINES = len(TEXT.splitlines())


@dataclass(frozen=True)
class Expected:
    """sha256 of each part of a sequential run, and the counter `taken`."""

    parts: list[str]
    taken: int


def sequential(kind: str, folder: Path) -> Expected:
    """One process runs the job; its counts are checked against a count of our own."""
    (folder / "worker.py").write_text(KINDS[kind].source(folder))
    (folder / "input.txt").write_text(TEXT)
    command = [sys.executable, "worker.py", "--input", "input.txt", "--mappers", str(MAPS)]
    counts = ["--reducers", str(KINDS[kind].reduces)] if KINDS[kind].reduces else []
    subprocess.run(
        [*command, *counts, "--param", "pace=0", "--output", "out", "-q"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        timeout=SECONDS,
    )
    parts = [path.read_bytes() for path in sorted((folder / "out").glob("output-*"))]
    _check(kind, b"".join(parts).decode())
    taken = json.loads((folder / "out/_SUCCESS").read_text())["counters"]["taken"]
    return Expected([hashlib.sha256(part).hexdigest() for part in parts], taken)


def _check(kind: str, text: str) -> None:
    rows = dict(line.split("\t") for line in text.splitlines())
    words = Counter(word for line in TEXT.splitlines() for word in line.split()[1:])
    if kind == "map-only":
        assert len(rows) == LINES
    elif kind == "in-order":
        assert {word: len(places.split()) for word, places in rows.items()} == words
        for places in rows.values():
            pairs = [tuple(map(int, place.split("."))) for place in places.split()]
            assert pairs == sorted(pairs)
    else:  # lines are numbered, and their numbers are words too
        numbers = Counter(str(n) for n in range(LINES))
        assert {word: int(count) for word, count in rows.items()} == words + numbers
