"""Files beside a worker file that are named like modules of the standard library."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

USED = ("json", "queue", "secrets")
MEANT = ("__future__", "dataclasses", "typing")  # what these files import and is not beside them
LIBRARIES = ("google", "grpc", "numpy", "obstore", "pyarrow", "setproctitle")
# What a command itself, or a library, imports late; the start of Python needs none of them.
FEW = ("logging", "multiprocessing", "random", "selectors", "socket", "subprocess", "tempfile")
# One is imported before us, two after us, one of them by a mapper.
WORKER = """
import json
import gomr_runtime as gomr
import queue

def mapper(ctx, line: str) -> None:
    from secrets import NAME
    ctx.emit(json.NAME, queue.Thing(line).value)
    ctx.emit(NAME, ctx.source)

def reducer(ctx, key, values: list[str]) -> None:
    ctx.emit(key, len(values))

if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines))
"""
QUEUE = """
import dataclasses, typing

@dataclasses.dataclass
class Thing:
    value: "Text"

Text = str
assert typing.get_type_hints(Thing) == {"value": Text}
NAME = "queue"
"""


def write_clashing(folder: Path, names: Iterable[str] = sys.stdlib_module_names) -> dict[str, int]:
    """A worker file that uses three modules of its own among others that could clash, and two
    lines of input; returns its result."""
    for name in (*names, *LIBRARIES):
        if name not in MEANT:
            (folder / f"{name}.py").write_text(f"raise RuntimeError('{name} is not ours')\n")
    for name in USED:
        (folder / f"{name}.py").write_text(QUEUE if name == "queue" else f"NAME = {name!r}\n")
    (folder / "worker.py").write_text(WORKER)
    (folder / "text.txt").write_text("a\nb\n")
    return {"json": 2, "secrets": 2}
