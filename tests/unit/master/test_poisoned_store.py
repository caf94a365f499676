"""Stored objects with a right checksum and wrong content: each is named, and none is believed."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from gomr_runtime.codec import checked
from gomr_runtime.codec.fields import to_json
from gomr_runtime.errors import EXIT_ENVIRONMENT, CorruptBlock
from gomr_runtime.master.core.plan import Manifest, Plan
from gomr_runtime.master.journal import Journal
from gomr_runtime.model import layout
from gomr_runtime.model.ids import AttemptId, TaskId
from gomr_runtime.model.inputs.files import FileRange
from gomr_runtime.model.summary import Summary
from gomr_runtime.model.task import Ledger, TaskSpec
from gomr_runtime.storage.memory import MemoryStore
from tests.fuzz import honest

FIRST = AttemptId(TaskId("map", 0), 1)


@pytest.fixture
def journal() -> Journal:
    job = honest.job_of()
    store = MemoryStore()
    store.put(layout.job(honest.RUN), to_json(job))
    found = Journal(store, honest.RUN)
    found.read_job()
    found.take_epoch()
    splits = tuple(((FileRange(0, 5 * n, 0, 5 * n + 5),)) for n in range(4))
    found.write_plan(Plan(honest.DESCRIPTION, splits, ()), job.files)
    return found


def manifest(attempt: AttemptId = FIRST) -> Manifest:
    task = attempt.task
    spec = TaskSpec(honest.RUN, task.kind, task.index, attempt.attempt, "aa", reducers=2)
    return Manifest(1, attempt, "aa", honest.result_of(spec))


def poison(journal: Journal, key: str, change: Any) -> None:
    found = checked.decode(journal.store.get(key))
    change(found)
    journal.store.put(key, checked.encode(found))


def again(journal: Journal) -> Journal:
    """The next master, up to its plan."""
    found = Journal(journal.store, honest.RUN)
    job = found.read_job()
    found.take_epoch()
    found.read_plan(job.files)
    return found


WRONG_MANIFESTS: dict[str, Any] = {
    "text for a count": lambda m: m["result"]["ledger"].update(written="4"),
    "negative": lambda m: m["result"]["ledger"].update(bytes_read=-1),
    "float": lambda m: m["result"]["files"][0].update(size=1.5),
    "counters": lambda m: m["result"].update(counters={"x": None}),
    "no files": lambda m: m["result"].update(files=[]),
    "another role": lambda m: m["result"]["files"][0].update(role="part"),
    "index": lambda m: m["result"]["files"][0].update(index_bytes=25),
    "another task": lambda m: m.update(task=["map", 1]),
    "no such task": lambda m: m.update(task=["map", 4]),
    "task of text": lambda m: m.update(task="ma"),
    "generation": lambda m: m.update(generation=True),
    "books": lambda m: m["result"]["ledger"].update(mapped=3),
    "nonce": lambda m: m.update(nonce="../.."),
    "unknown field": lambda m: m.update(colour=1),
}


@pytest.mark.parametrize("name", WRONG_MANIFESTS)
def test_a_poisoned_manifest_stands_for_nothing_and_its_task_runs_again(
    journal: Journal, name: str
) -> None:
    assert journal.commit(manifest()) == manifest()
    assert again(journal).read_commits() == [manifest()]
    poison(journal, layout.commit(honest.RUN, "map-0"), WRONG_MANIFESTS[name])
    after = again(journal)
    assert after.read_commits() == []
    assert after.commit(manifest()).generation == 1


WRONG_PLANS: dict[str, Any] = {
    "no splits": lambda p: p.pop("splits"),
    "file": lambda p: p["splits"][0][0].update(first=1, last=1),
    "negative file": lambda p: p["splits"][0][0].update(first=-1),
    "beyond its file": lambda p: p["splits"][0][0].update(end=21),
    "text": lambda p: p["splits"][0][0].update(start="0"),
    "an end before the start": lambda p: p["splits"][1][0].update(end=4),
    "without a number": lambda p: p["splits"][0][0].pop("last"),
    "a number for a range": lambda p: p["splits"][0].__setitem__(0, 5),
    "description": lambda p: p["description"].update(map_only="no"),
    "sample": lambda p: p.update(sample=None),
}


@pytest.mark.parametrize("name", WRONG_PLANS)
def test_a_poisoned_plan_ends_the_run_by_name(journal: Journal, name: str) -> None:
    poison(journal, layout.plan(honest.RUN), WRONG_PLANS[name])
    with pytest.raises(
        CorruptBlock, match=r"runs/fuzz/plan\.json in .* damaged.*new run"
    ) as caught:
        again(journal)
    assert caught.value.exit_code == EXIT_ENVIRONMENT


@pytest.mark.parametrize(
    "change",
    [{"at": "now"}, {"at": -1}, {"end": []}, {"end": {}}, {"nonce": 5}, {"sources": ["x"]}],
)
def test_a_poisoned_mark_of_an_epoch_ends_the_run_by_name(
    journal: Journal, change: dict[str, Any]
) -> None:
    poison(journal, layout.epoch(honest.RUN, 1), lambda mark: mark.update(change))
    with pytest.raises(CorruptBlock, match=r"runs/fuzz/epoch/000001 in .* damaged"):
        again(journal)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("run", "other"), ("workers", "2"), ("max_lost", 0), ("lease", 0), ("heartbeat", -1)),
        *(("memory", None), ("timeout", math.inf), ("files", [{}]), ("params", {"a": 1})),
        *(("reducers", 2.0), ("profile", 1), ("output_format", "xml"), ("worker_sha256", "")),
    ],
)
def test_a_poisoned_job_ends_the_run_by_name(journal: Journal, field: str, value: Any) -> None:
    fields = json.loads(to_json(honest.job_of())) | {field: value}
    journal.store.put(layout.job(honest.RUN), json.dumps(fields).encode())
    with pytest.raises(CorruptBlock, match=r"runs/fuzz/job\.json in .* damaged.*new run"):
        again(journal)


def test_the_end_that_is_decided_comes_back_whole(journal: Journal) -> None:
    end = Summary(honest.RUN, "failed", 1, "no", ledger=Ledger(bytes_read=2**70))
    assert journal.conclude(end, ()) == end
    assert again(journal).read_summary() == end
