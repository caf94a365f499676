"""--memory holds: jobs whose data is more than their processes may use (rows U10, U12, I4).

A child beyond its limit is ended, so a run that succeeds has kept it; the peak is checked too.
The full figures are measured by `python -m bench.memory`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gomr_runtime.errors import JobFailed
from gomr_runtime.model.summary import Summary
from tests.process.support.local_runs import Job

MEMORY = 192_000_000  # the least that may be asked for
HEAD = """
from collections.abc import Iterator
import random
import gomr_runtime as gomr
"""
TAIL = """
gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines{more}))
"""
HOT_KEY = """
def mapper(ctx, line: str):
    ctx.emit_many(("k", n * 7919 % 1_000_003) for n in range(int(line)))

def reducer(ctx, key, values: Iterator[int]):
    count = total = 0
    last = -1
    for value in values:
        count += 1
        total += value
        if {sorted} and value < last: raise ValueError("not in order")
        last = value
    ctx.emit(key, count)
    ctx.emit(key, total)
"""
HUGE_VALUES = """
def mapper(ctx, line: str):
    ctx.emit("k", random.Random(line).randbytes(3_000_000))

def reducer(ctx, key, values: Iterator[bytes]):
    ctx.emit(key, sum(map(len, values)))
"""
MANY_KEYS = """
def mapper(ctx, line: str):
    for n in range(1000):
        ctx.emit(f"key number {(int(line) * 1000 + n) * 7919 % 50_000}", 1)

def reducer(ctx, key, values: list[int]):
    ctx.emit(key, sum(values))
"""
LONG_LINES = """
def mapper(ctx, line: str):
    ctx.emit(len(line), 1)

def reducer(ctx, key, values: list[int]):
    ctx.emit(key, sum(values))
"""


def job_of(folder: Path, source: str, text: str, run: str = "r", more: str = "") -> Job:
    options = {"memory": MEMORY, "mappers": 2, "reducers": 1, "max_attempts": 1}
    source = HEAD + source + TAIL.format(more=more)
    return Job(folder, source, text=text, run=run, options=options)


def rows(job: Job, summary: Summary) -> list[list[str]]:
    [part] = summary.parts
    return [line.split("\t") for line in (job.store / part.key).read_text().splitlines()]


@pytest.mark.parametrize("more", ["", ", sort_values=True"])
def test_U12_the_memory_for_a_hot_key_does_not_grow_with_its_values(
    folder: Path, more: str
) -> None:
    """Streamed, and sorted outside of memory."""
    source = HOT_KEY.format(sorted=bool(more))
    peaks = []
    for run, values in (("small", 200_000), ("large", 1_000_000)):
        job = job_of(folder, source, f"{values // 4}\n" * 4, run, more)
        summary = job.go()
        total = 4 * sum(n * 7919 % 1_000_003 for n in range(values // 4))
        assert rows(job, summary) == [["k", str(values)], ["k", str(total)]]
        peaks.append(summary.peak_rss)
    assert max(peaks) < MEMORY
    assert peaks[1] < peaks[0] + 25_000_000, "a list of the others takes 32 MB and more"


def test_U12_a_list_beyond_the_memory_is_refused_in_plain_words(folder: Path) -> None:
    source = HOT_KEY.format(sorted=False).replace("Iterator[int]", "list[int]")
    job = job_of(folder, source, "500000\n" * 4)
    with pytest.raises(JobFailed, match=r"reduce-0, key 'k': its values need more than .* MiB"):
        job.go()


def test_U10_huge_values_from_many_runs_are_merged_within_the_memory(folder: Path) -> None:
    job = job_of(folder, HUGE_VALUES, "".join(f"{n}\n" for n in range(36)))
    summary = job.go()
    assert rows(job, summary) == [["k", "108000000"]]
    assert summary.peak_rss < MEMORY


@pytest.mark.parametrize("more", ["", ", combiner=reducer", ", combiner=gomr.sum"])
def test_many_keys_stay_within_the_memory(folder: Path, more: str) -> None:
    job = job_of(folder, MANY_KEYS, "".join(f"{n}\n" for n in range(200)), more=more)
    summary = job.go()
    assert {value for _, value in rows(job, summary)} == {"4"}
    assert len(rows(job, summary)) == 50_000
    assert summary.peak_rss < MEMORY


def test_I4_long_lines_stay_within_the_memory(folder: Path) -> None:
    long = "x" * 20_000_000
    job = job_of(folder, LONG_LINES, f"short\n{long}\nshort\n{long}\nshort\n")
    summary = job.go()
    assert rows(job, summary) == [["5", "3"], ["20000000", "2"]]
    assert summary.peak_rss < MEMORY
