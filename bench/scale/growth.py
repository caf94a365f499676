"""What stays the same when the input grows: seconds a gigabyte, and the memory of each process."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from bench.measure import Cost, measure
from bench.rows import HERE, text_of

MEMORY = "512MB"
HOT_LINE = 1_000_000  # values that `hot_key.py` emits for a line


def count_words(tenths: int) -> Cost:
    """Word count of so many tenths of a gigabyte of text, with `ctx.emit`. The words are the same
    100,000 in a text of any size."""
    return _run("wordcount.py", "--input", str(text_of(tenths)))


def stream_values(millions: int) -> Cost:
    """So many million values of one key, streamed to one reducer."""
    with tempfile.NamedTemporaryFile("w", prefix="gomr-bench-") as lines:
        lines.write(f"{HOT_LINE}\n" * millions)
        lines.flush()
        return _run("memory/hot_key.py", "--input", lines.name, "--mappers", "4", "--reducers", "1")


def _run(worker: str, *options: str) -> Cost:
    command = [sys.executable, str(HERE / "workers" / worker), "--workers", "2", "-q", *options]
    folder = Path(tempfile.mkdtemp(prefix="gomr-bench-"))
    try:
        limits = ["--memory", MEMORY, "--output", "out"]
        return measure([*command, *limits], folder / "log", cwd=folder)
    finally:
        shutil.rmtree(folder)
