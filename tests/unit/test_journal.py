"""What the master keeps in the store, written and read back, also damaged."""

from __future__ import annotations

import pytest

from gomr_runtime import layout
from gomr_runtime.errors import CorruptBlock, JobFailed
from gomr_runtime.job import JobSpec, Ledger, MapOutput, TaskResult
from gomr_runtime.master.books import Books
from gomr_runtime.master.journal import Journal, Manifest
from gomr_runtime.scheduler.events import AttemptId, TaskId
from gomr_runtime.storage.memory import MemoryStore

RUN = "run-1"
OUTPUTS = [MapOutput(0, "runs/run-1/data/map-0/1-aa/map", 10, 4)]


def manifest(
    attempt: int = 1, generation: int = 0, index: int = 0, written: int = 5, set_aside: int = 0
) -> Manifest:
    result = TaskResult((), Ledger(written=written, set_aside=set_aside, bytes_read=9))
    task = TaskId("map", index)
    return Manifest(1, AttemptId(task, attempt), f"n{attempt}", result, generation)


@pytest.fixture
def journal() -> Journal:
    found = Journal(MemoryStore(), RUN)
    found.take_epoch()
    return found


def damage(journal: Journal, key: str) -> None:
    data = bytearray(journal.store.get(key))
    data[len(data) // 2] ^= 1
    journal.store.put(key, bytes(data))


def test_the_first_manifest_of_a_generation_stands(journal: Journal) -> None:
    assert journal.commit(manifest(1)) == manifest(1)
    assert journal.commit(manifest(2)) == manifest(1)
    assert journal.commit(manifest(2, 1)) == manifest(2, 1)
    assert journal.commit(manifest(1)) == manifest(1)
    assert journal.read_commits() == [manifest(2, 1)]


def test_S6_a_damaged_manifest_stands_for_nothing(journal: Journal) -> None:
    journal.commit(manifest(1, index=0))
    journal.commit(manifest(1, index=1))
    damage(journal, layout.commit(RUN, "map-0"))
    assert journal.read_commits() == [manifest(1, index=1)]
    assert journal.commit(manifest(2)) == manifest(2, 1)
    assert sorted(m.attempt for m in journal.read_commits()) == [
        manifest(2).attempt, manifest(1, index=1).attempt,
    ]  # fmt: skip


def test_a_list_of_maps_is_never_changed(journal: Journal) -> None:
    other = [MapOutput(0, "runs/run-1/data/map-0/2-bb/map", 10, 4)]
    first, second = journal.seal_maps(OUTPUTS), journal.seal_maps(other)
    assert len({first, second}) == 2
    assert journal.seal_maps(OUTPUTS) == first
    assert journal.seal_maps(other) == second


def test_S6_a_damaged_list_is_stored_anew(journal: Journal) -> None:
    first = journal.seal_maps(OUTPUTS)
    damage(journal, first)
    assert journal.seal_maps(OUTPUTS) != first


def test_S6_a_damaged_plan_is_named(journal: Journal) -> None:
    journal.store.put(layout.plan(RUN), b'{"nonce":"x"}')
    with pytest.raises(CorruptBlock, match=r"runs/run-1/plan\.json in memory: is damaged"):
        journal.read_plan(())


def books(skip: int = 0) -> Books:
    return Books(JobSpec(RUN, (), 1, 1, 1, "", "worker.py", skip_bad_records=skip))


def test_S6_a_later_generation_takes_the_place_of_the_first() -> None:
    kept = books()
    for entered in (manifest(1), manifest(2, 1), manifest(1)):
        kept.enter(entered)
    assert kept.of("map") == [manifest(2, 1)]
    assert kept.done("map") == 9
    assert kept.totals().ledger.written == 5


def test_S6_records_set_aside_again_are_not_counted_twice() -> None:
    kept = books(skip=3)
    first, again = manifest(1, set_aside=2), manifest(2, 1, set_aside=2)
    kept.enter(first)
    assert kept.too_many_bad(again.result, again.attempt.task) is None
    assert kept.too_many_bad(again.result, TaskId("map", 1)) is not None
    kept.enter(again)
    assert kept.too_many_bad(manifest(1, 0, 1, set_aside=1).result, TaskId("map", 1)) is None


def test_S6_a_map_that_does_not_do_the_same_again_ends_the_run() -> None:
    kept = books()
    kept.enter(manifest(1))
    with pytest.raises(JobFailed, match=r"map-0 ran again .* wrote 4 pairs instead of 5"):
        kept.enter(manifest(2, 1, written=4))
