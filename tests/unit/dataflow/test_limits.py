"""Limits of the process, and counters without end: told in one line."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

import gomr_runtime as gomr
from gomr_runtime.errors import JobFailed, RecordFailed
from gomr_runtime.master.core.books import Books
from gomr_runtime.master.core.plan import Manifest
from gomr_runtime.model.ids import AttemptId, TaskId
from gomr_runtime.model.job import JobSpec
from gomr_runtime.model.summary import Summary
from gomr_runtime.model.task import Ledger, TaskResult
from gomr_runtime.rpc.client import RunClient
from gomr_runtime.runs.progress import summary_text
from gomr_runtime.system.unforeseen import is_limit, unforeseen
from gomr_runtime.testing import run_local


def failing(number: int, name: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), name)


@pytest.mark.parametrize(
    ("error", "limit", "words"),
    [
        (MemoryError(), True, "out of memory: raise the limit of this process"),
        (RuntimeError("can't start new thread"), True, "no thread can be started"),
        (failing(errno.EMFILE), True, "too many open files: raise `ulimit -n`"),
        (failing(errno.EFBIG, "/x"), True, "/x: the file would be larger .* `ulimit -f`"),
        (failing(errno.EAGAIN), True, "no process can be started: raise the limit"),
        (failing(errno.ENOMEM), True, "out of memory"),
        (failing(errno.EACCES, "/x"), False, "/x: permission denied"),
        (ImportError("failed to map segment", name="m"), False, "cannot import m: failed to map"),
        (ValueError("a\nb\udcff"), False, r"defect in gomr, .*: ValueError.*a\\nb\\udcff"),
    ],
)
def test_what_nobody_foresaw_is_one_line(error: Exception, limit: bool, words: str) -> None:
    found = unforeseen(error)
    assert found.exit_code == 3
    assert "\n" not in str(found)
    assert re.search(words, str(found))
    assert is_limit(error) == limit


def test_the_end_of_the_thread_that_watches_is_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for events would wait for ever."""

    def no_thread(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    heard: list[object] = []
    monkeypatch.setattr(RunClient, "_wait_ready", no_thread)
    client = RunClient(f"unix:{tmp_path}/none", "token", "r")
    client._forward(heard.append)
    client.close()
    assert [str(event) for event in heard] == [
        "no thread can be started: raise the limits of this process (ulimit -u, ulimit -v)"
    ]


def counting(digits: int) -> gomr.MapReduceConfig:
    def mapper(ctx: gomr.Context, line: str) -> None:
        ctx.counter("n").add(10**digits - 1)

    return gomr.MapReduceConfig(mapper=mapper, reducer=gomr.sum, input=gomr.lines)


def test_a_counter_of_thousands_of_digits() -> None:
    assert run_local(counting(3_999), "a\nb\n").counters == {"n": 2 * (10**3_999 - 1)}
    with pytest.raises(RecordFailed, match="counter 'n': its value has more than 4,000 digits"):
        run_local(counting(4_001), "a\n")


def counted(task: int, names: int) -> Manifest:
    result = TaskResult((), Ledger(), {f"t{task}-{n}": 1 for n in range(names)})
    return Manifest(1, AttemptId(TaskId("map", task), 1), "n", result)


def test_counters_by_the_thousand_end_the_run() -> None:
    books = Books(JobSpec("r", (), 1, 1, 1, "", "w.py"))
    for task in range(10):
        books.enter(counted(task, 100))
    assert len(books.totals().counters) == 1_000
    with pytest.raises(JobFailed, match=r"more than 1,000 counters in the whole run, such as 't10"):
        books.enter(counted(10, 1))


def test_the_summary_lists_a_hundred_counters() -> None:
    summary = Summary("r", "succeeded", counters={f"c{n:04d}": n for n in range(1_000)})
    told = [line for line in summary_text(summary, "out").splitlines() if "counter  " in line]
    assert len(told) == 101
    assert told[-1].endswith("900 more, in _SUCCESS and with --json")
