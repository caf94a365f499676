"""The rows of the benchmark table: what is run beside what, on which data, held to which bars."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import cache, generators, text

HERE = Path(__file__).parent
ORIGINAL = "the original's algorithm, Go"
SCALES = {"small": 1, "full": 10}
"""Tenths of a gigabyte."""


@dataclass(frozen=True, slots=True)
class Contender:
    """command: (input, empty output folder) to what is run. most_rounds: for the very slow.
    adapt: a shell filter that gives its lines the form of the others."""

    name: str
    command: Callable[[Path, Path], list[str]]
    most_rounds: int = 9
    adapt: str = "cat"


@dataclass(frozen=True, slots=True)
class Bar:
    """What is at most `bound` times what `peer` takes, of `measure` (cpu, wall, total or once)."""

    ours: str
    peer: str
    bound: float
    measure: str = "cpu"


@dataclass(frozen=True, slots=True)
class Row:
    """The first contender is the one that ratios refer to. ordered: the lines have to come in
    the same order, parts by name; else they are compared sorted."""

    title: str
    data: Callable[[int], Path]
    contenders: tuple[Contender, ...]
    bars: tuple[Bar, ...] = ()
    ordered: bool = False


def ours(worker: str, name: str = "gomr", *options: str) -> Contender:
    script = str(HERE / "workers" / worker)

    def command(source: Path, out: Path) -> list[str]:
        given = f"{source}/*.txt" if source.is_dir() else str(source)
        run = [sys.executable, script, "--input", given, "--workers", "2", "-q"]
        return [*run, "--output", str(out), *options]

    return Contender(name, command)


def script(file: str, name: str, peer: str = "", *options: str) -> Contender:
    """A script of `peers/` with input and output folder as arguments, in the peer's environment."""
    path = str(HERE / "peers" / file)

    def command(source: Path, out: Path) -> list[str]:
        if file.endswith(".sh"):
            return ["sh", path, str(source), str(out)]
        python = cache.python_of(peer) if peer else sys.executable
        prefix = ["env", f"PYSPARK_PYTHON={python}"] if peer == "pyspark" else []
        return [*prefix, python, path, str(source), str(out), *options]

    return Contender(name, command)


def original(*options: str) -> Contender:
    return Contender(
        ORIGINAL,
        lambda source, out: [cache.original(), str(source), str(out), *options],
    )


def mrjob() -> Contender:
    path = str(HERE / "peers" / "wordcount_mrjob.py")

    def command(source: Path, out: Path) -> list[str]:
        options = ["-r", "local", "--output-dir", str(out), "--no-cat-output"]
        return [cache.python_of("mrjob"), path, *options, str(source)]

    return Contender("mrjob, local runner", command, 1, "tr -d '\"'")


def text_of(tenths: int) -> Path:
    return cache.data(f"text-{tenths}", lambda path: text.write_text(path, tenths * 100_000_000))


def pairs_of(tenths: int) -> Path:
    rows = tenths * 1_000_000
    return cache.data(f"pairs-{tenths}", lambda path: generators.write_pairs(path, rows))


def records_of(tenths: int) -> Path:
    rows = tenths * 1_000_000
    return cache.data(f"records-{tenths}", lambda path: generators.write_records(path, rows))


def documents_of(tenths: int) -> Path:
    count = tenths * 200
    return cache.data(f"documents-{tenths}", lambda path: generators.write_documents(path, count))


HAND = "hand-written multiprocessing"
SPARK = "PySpark RDD"
ROWS = {
    "wordcount-emit": Row(
        "Word count, `ctx.emit(word, 1)` for each word, `gomr.sum`",
        text_of,
        (
            script("wordcount_hand.py", HAND),
            ours("wordcount.py"),
            script("wordcount_pyspark.py", SPARK, "pyspark"),
        ),
        (Bar("gomr", HAND, 1.15), Bar("gomr", SPARK, 0.45)),
    ),
    "wordcount-count": Row(
        "Word count, `ctx.count(chunk.split())`, `gomr.sum`",
        text_of,
        (
            script("wordcount_counter.py", f"{HAND}, Counter"),
            ours("wordcount_count.py"),
            script("wordcount_pyspark.py", SPARK, "pyspark"),
        ),
        (Bar("gomr", f"{HAND}, Counter", 1.15), Bar("gomr", SPARK, 0.25)),
    ),
    "wordcount-batch": Row(
        "Word count in columns, `ctx.emit_batch`, `gomr.sum`",
        text_of,
        (
            script("wordcount_polars.py", "Polars (no user code)", "polars"),
            ours("wordcount_batch.py"),
        ),
        (Bar("gomr", "Polars (no user code)", 1.5),),
    ),
    "wordcount-systems": Row(
        "Word count beside other systems",
        text_of,
        (
            ours("wordcount.py"),
            original(),
            script("wordcount_coreutils.sh", "tr, sort, uniq"),
            script("wordcount_dask.py", "Dask bag", "dask"),
            script("wordcount_polars.py", "Polars (no user code)", "polars"),
            script("wordcount_duckdb.py", "DuckDB (no user code)", "duckdb"),
            mrjob(),
        ),
        (
            Bar("gomr", "mrjob, local runner", 1 / 15, "wall"),
            Bar("gomr", ORIGINAL, 1.0, "wall"),
            Bar("gomr", ORIGINAL, 0.2, "total"),
        ),
    ),
    "pairs": Row(
        "Sum per key, half as many keys as pairs, plain mapper and reducer, `--memory 512MB`",
        pairs_of,
        (
            script("pairs_hand.py", HAND),
            ours("pairs.py", "gomr", "--memory", "512MB"),
            script("pairs_pyspark.py", SPARK, "pyspark"),
            script("pairs_dask.py", "Dask bag", "dask"),
            script("pairs_polars.py", "Polars (no user code)", "polars"),
            script("pairs_duckdb.py", "DuckDB (no user code)", "duckdb"),
            original("pairs"),
        ),
        (
            Bar("gomr", HAND, 0.8),
            Bar("gomr", SPARK, 0.25),
            Bar("gomr", "Dask bag", 0.25),
            Bar("gomr", ORIGINAL, 2.5, "wall"),
            Bar("gomr", ORIGINAL, 0.25, "once"),
        ),
    ),
    "sort": Row(
        "Sort of 100-byte records, totally ordered",
        records_of,
        (
            script("sort_coreutils.sh", "GNU sort, LC_ALL=C, -S 1G"),
            ours("sort.py"),
            script("sort_pyspark.py", SPARK, "pyspark"),
            script("sort_polars.py", "Polars (no user code)", "polars"),
        ),
        (Bar("gomr", "GNU sort, LC_ALL=C, -S 1G", 2.0),),
        ordered=True,
    ),
    "index": Row(
        "Inverted index over files of 100 KB",
        documents_of,
        (
            script("index_hand.py", HAND),
            ours("index.py"),
            script("index_pyspark.py", SPARK, "pyspark"),
        ),
        (Bar("gomr", HAND, 1.15), Bar("gomr", SPARK, 0.5)),
    ),
}
