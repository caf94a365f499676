"""Many requests at once give what they give one after another."""

from __future__ import annotations

import threading

import pytest

from gomr_runtime.master.core.plan import Manifest
from gomr_runtime.master.journal import Journal
from gomr_runtime.model.ids import AttemptId, TaskId
from gomr_runtime.model.task import Ledger, TaskResult
from gomr_runtime.storage.memory import MemoryStore
from gomr_runtime.storage.parallel import AT_ONCE, TOGETHER, at_once


def test_the_results_come_in_order_and_several_are_under_way() -> None:
    met = threading.Barrier(AT_ONCE)
    numbers = range(AT_ONCE * 4)

    def step(number: int) -> int:
        met.wait(10)  # broken, and an error, unless so many are here at once
        return -number

    assert list(at_once(step, numbers)) == [-number for number in numbers]


def test_an_error_ends_it() -> None:
    done = []

    def step(number: int) -> None:
        done.append(number)
        if number == 3:
            raise KeyError(number)

    with pytest.raises(KeyError):
        list(at_once(step, range(TOGETHER * 2)))
    assert len(done) <= TOGETHER


def test_a_master_reads_the_same_commits_either_way() -> None:
    store = MemoryStore()
    for index in range(50):
        attempt = AttemptId(TaskId("map", index), 1)
        Journal(store, "run-1").commit(Manifest(1, attempt, "n", TaskResult((), Ledger())))
    store.put("runs/run-1/commit/map-7", b"damaged")
    one_by_one = Journal(store, "run-1").read_commits()
    assert len(one_by_one) == 49
    assert Journal(store, "run-1", several=at_once).read_commits() == one_by_one
