"""Lone surrogates, as in file names that are no UTF-8 and in what user code says of them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from gomr_runtime.codec import checked
from gomr_runtime.codec.fields import to_json
from gomr_runtime.codec.typed_json import from_json
from gomr_runtime.errors import JobFailed, UsageError, printable
from gomr_runtime.master.admission import Refusal
from gomr_runtime.master.journal import Journal
from gomr_runtime.model.errors_of import error_of
from gomr_runtime.model.summary import Failure, Summary
from gomr_runtime.model.task import BadRecord, Frame, Ledger, Place, TaskFailure
from gomr_runtime.runs.progress import summary_json
from gomr_runtime.storage.memory import MemoryStore
from gomr_runtime.storage.open_store import open_store
from gomr_runtime.storage.success import parse_success, success_bytes, success_of

ODD = "a\udcffb\ud800 \x1b[2J"
PLACE = Place(ODD, 7, 1)
FAILED = Summary(
    "r",
    "failed",
    1,
    message=ODD,
    detail=ODD,
    counters={ODD: 2},
    bad_records=(BadRecord(ODD, 1, 2, ODD, ODD),),
    failure=Failure("user", ODD, "map-0", 1, PLACE, (Frame(ODD, 3, "f", ODD),)),
)


def test_what_a_run_stores_comes_back() -> None:
    assert from_json(Summary, to_json(FAILED)) == FAILED
    assert checked.decode(checked.encode({ODD: [ODD]})) == {ODD: [ODD]}


def test_what_an_attempt_reports_comes_back() -> None:
    failure = TaskFailure("user", ODD, ODD, attempt=3, place=PLACE, frames=(Frame(ODD, 1, "", ""),))
    found = from_json(TaskFailure, to_json(failure))
    assert (found.place, found.frames, found.attempt) == (failure.place, failure.frames, 3)


def test_the_end_of_a_run_can_be_stored() -> None:
    """An end that cannot be is told of as a defect in the master."""
    store = MemoryStore()
    journal = Journal(store, "r")
    journal.take_epoch()
    assert journal.conclude(FAILED, ()) == FAILED
    assert Journal(store, "r").take_epoch() == 2
    assert error_of(FAILED).failure == FAILED.failure  # type: ignore[union-attr]


def test_success_lists_a_counter_of_that_name() -> None:
    counters = {ODD: 1, "\\\udcff": 2, "ü": 3}
    data = success_bytes(success_of("r", (), Ledger(), counters))
    assert parse_success(data).counters == counters
    assert "ü" in data.decode()


def test_json_has_an_encoding_on_every_stdout() -> None:
    line = summary_json(FAILED, ODD)
    assert line.isascii()
    assert json.loads(line)["output"] == ODD
    assert json.loads(line)["counters"] == {ODD: 2}


def test_errors_are_one_line_that_moves_no_terminal() -> None:
    assert str(JobFailed(ODD)) == "a\\udcffb\\ud800 \\x1b[2J"
    assert str(Refusal(ODD)) == "a\\udcffb\\ud800 \\x1b[2J"
    assert printable(f"one\n\ttwo {ODD}\r") == "one\n        two a\\udcffb\\ud800 \\x1b[2J\\r"


@pytest.mark.parametrize("name", [b"\xff\xfe", "ü %41".encode(), b"a?b#c"])
def test_a_directory_store_is_found_again_by_its_url(tmp_path: Path, name: bytes) -> None:
    store = open_store(os.path.join(tmp_path, os.fsdecode(name)))
    store.put("key", b"data")
    assert open_store(store.url).get("key") == b"data"
    assert os.listdir(os.fsencode(tmp_path)) == [name]


def test_a_flow_takes_text_alone() -> None:
    from flows.cli import check_text
    from gomr_runtime.options.declared import RunOptions

    check_text(RunOptions(worker="w.py", input=("ü",), param={"a": "ü"}, workers=2))
    for wrong in ({"output": "o\udcff"}, {"param": {"a": "\udcff"}}, {"input": ("a", "\udcff")}):
        given = {"worker": "w.py", "input": ("a",)} | wrong
        with pytest.raises(UsageError, match=r"udcff' is not UTF-8.*python worker.py"):
            check_text(RunOptions(**given))
