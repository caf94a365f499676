"""What the master keeps in the store, written and read back, also damaged."""

from __future__ import annotations

from typing import Any

import pytest

from gomr_runtime.codec.fields import to_json
from gomr_runtime.errors import CorruptBlock, JobFailed, RunConflict, StorageError
from gomr_runtime.master.core.books import Books
from gomr_runtime.master.core.plan import Manifest
from gomr_runtime.master.journal import Journal
from gomr_runtime.model import layout
from gomr_runtime.model.ids import AttemptId, TaskId
from gomr_runtime.model.job import JobSpec
from gomr_runtime.model.summary import Part, Summary
from gomr_runtime.model.task import Ledger, MapOutput, TaskResult
from gomr_runtime.storage.memory import MemoryStore

RUN = "run-1"
SHA = "0" * 64
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
    return Books(JobSpec(RUN, (), 1, 1, 1, SHA, "worker.py", skip_bad_records=skip))


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


def ended(state: Any, parts: tuple[Part, ...] = ()) -> Summary:
    return Summary(RUN, state, exit_code=0 if state == "succeeded" else 3, parts=parts)


def stored_part(journal: Journal) -> tuple[Summary, tuple[str, ...]]:
    """A success with one part, and where its attempt stored it."""
    source = "runs/run-1/data/reduce-0/1-aa/part"
    journal.store.put(source, b"a\t1\n")
    part = Part("output-00000.txt", "outputs/run-1/output-00000.txt", 4, 1, "0" * 64)
    return ended("succeeded", (part,)), (source,)


def next_master(journal: Journal, first_epoch: int = 1) -> Journal:
    job = JobSpec(RUN, (), 1, 1, 1, SHA, "worker.py", first_epoch=first_epoch)
    journal.store.put(layout.job(RUN), to_json(job))
    found = Journal(journal.store, RUN)
    found.read_job()
    found.take_epoch()
    return found


def test_the_end_is_decided_once(journal: Journal) -> None:
    success, sources = stored_part(journal)
    assert journal.conclude(success, sources) == success
    assert journal.conclude(ended("cancelled"), ()) == success
    assert journal.store.get("outputs/run-1/output-00000.txt") == b"a\t1\n"
    journal.check_epoch()


def test_M3_a_replaced_master_cannot_end_the_run(journal: Journal) -> None:
    success, sources = stored_part(journal)
    newer = next_master(journal)
    for summary, stored in ((success, sources), (ended("failed"), ())):
        with pytest.raises(RunConflict, match="master 2 took over from master 1"):
            journal.conclude(summary, stored)
    assert not list(journal.store.list(layout.output_prefix(RUN)))
    assert newer.read_summary() is None


def test_M3_two_masters_that_start_at_once_get_two_epochs(journal: Journal) -> None:
    masters = [Journal(journal.store, RUN) for _ in range(3)]
    assert sorted(master.take_epoch() for master in masters) == [2, 3, 4]


@pytest.mark.parametrize("state", ["succeeded", "failed", "cancelled"])
def test_M1_a_master_that_starts_after_the_end_tells_it(journal: Journal, state: str) -> None:
    success, sources = stored_part(journal) if state == "succeeded" else (ended(state), ())
    journal.conclude(success, sources)
    late = next_master(journal)
    assert (late.epoch, late.read_summary()) == (2, success)
    assert next_master(journal).epoch == 2
    assert late.elapsed(1) >= 0


def test_M1_an_output_that_was_decided_on_is_made_by_the_next_master(journal: Journal) -> None:
    success, sources = stored_part(journal)
    create = journal.store.create

    def dying(key: str, data: bytes) -> bool:
        if key == layout.success(RUN):
            raise StorageError("killed here")
        return create(key, data)

    journal.store.create = dying  # type: ignore[method-assign]
    with pytest.raises(StorageError):
        journal.conclude(success, sources)
    journal.store.create = create  # type: ignore[method-assign]
    assert next_master(journal).read_summary() == success
    assert [found.key for found in journal.store.list(layout.output_prefix(RUN))] == [
        layout.success(RUN), "outputs/run-1/output-00000.txt",
    ]  # fmt: skip


def test_a_resumed_run_goes_on_after_its_end(journal: Journal) -> None:
    journal.conclude(ended("failed"), ())
    resumed = next_master(journal, first_epoch=3)
    assert (resumed.epoch, resumed.read_summary()) == (3, None)
    assert resumed.elapsed(3) == 0.0


def test_a_complete_run_stays_complete_when_it_is_resumed(journal: Journal) -> None:
    success, sources = stored_part(journal)
    journal.conclude(success, sources)
    journal.write_summary(success)
    resumed = next_master(journal, first_epoch=3)
    assert (resumed.epoch, resumed.read_summary()) == (2, success)
    journal.store.delete(layout.summary(RUN))  # as --rerun does
    again = next_master(journal, first_epoch=3)
    assert (again.epoch, again.read_summary()) == (3, None)


def test_S6_a_missing_part_is_noticed_before_the_end_is_decided(journal: Journal) -> None:
    success, _ = stored_part(journal)
    with pytest.raises(StorageError, match="is missing"):
        journal.conclude(success, ("runs/run-1/data/reduce-0/1-bb/part",))
    assert journal.conclude(ended("failed"), ()) == ended("failed")
