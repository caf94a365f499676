"""Which record is named, what is set aside, and whose error it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gomr_runtime.api import aggregates, formats
from gomr_runtime.api.config import MapReduceConfig
from gomr_runtime.api.context import Context
from gomr_runtime.dataflow.emit import emitter
from gomr_runtime.dataflow.execute import failure_of
from gomr_runtime.dataflow.map import map_task as mapper_module
from gomr_runtime.dataflow.scratch import HashedFile
from gomr_runtime.errors import CorruptBlock, GomrError, RecordFailed, ScratchFailed
from gomr_runtime.model.map_list import encode_maps
from gomr_runtime.model.task import TaskFailure, TaskSpec
from tests.unit.support.dataflow_job import Job, Limits, Outcome

pytestmark = pytest.mark.usefixtures("engine")

SMALL = Limits(small_rows=4, frame_rows=3, drain_pairs=3, budget=200, widest=2, giant_rows=2)


def collect(ctx: Context, key: Any, values: list[Any]) -> None:
    ctx.emit(key, values)


def run(folder: Path, records: int = 20, **fields: Any) -> Outcome:
    settings = {n: fields.pop(n) for n in ("skip", "limits", "mappers") if n in fields}
    config = MapReduceConfig(**{"input": formats.lines, "reducer": collect, **fields})
    return Job(folder, config, records, **settings).run()


def failing_at(*bad: int) -> Any:
    """A mapper that emits, then raises at some records."""

    def mapper(ctx: Context, line: str) -> None:
        ctx.emit(int(line) % 2, int(line))
        if int(line) in bad:
            raise LookupError(f"no {line}")
        ctx.emit("all", int(line))

    return mapper


def bad_pair_at(*bad: int, pair: tuple[Any, Any]) -> Any:
    """A mapper whose bad pair comes between good ones of several kinds."""

    def mapper(ctx: Context, line: str) -> None:
        ctx.emit(int(line) % 2, int(line))
        if int(line) in bad:
            ctx.emit(*pair)
        ctx.emit("all", int(line))

    return mapper


def offset_of(record: int) -> int:
    return sum(len(f"{i}\n") for i in range(record))


@pytest.mark.parametrize("limits", [Limits(), SMALL], ids=["plain", "small"])
def test_a_mapper_that_raises_names_record_and_shows_only_its_own_frames(
    tmp_path: Path, limits: Limits
) -> None:
    with pytest.raises(RecordFailed) as failed:
        run(tmp_path, mapper=failing_at(13), limits=limits)
    assert f"input, record at byte {offset_of(13)} (record 13 of map-0)" in str(failed.value)
    assert "LookupError: no 13" in str(failed.value)
    assert failed.value.detail.count("  File ") == 1
    assert __file__ in failed.value.detail


BAD_PAIRS: list[tuple[tuple[Any, Any], str]] = [
    (("\ud800", 1), "lone surrogate"),
    ((float("nan"), 1), "NaN"),
    (([1], 1), "a key may not be list"),
    (("k", {1, 2}), "a value may not be set"),
    (("k", "\ud800"), "lone surrogate"),
]


@pytest.mark.parametrize("limits", [Limits(), SMALL], ids=["plain", "small"])
@pytest.mark.parametrize(("pair", "says"), BAD_PAIRS, ids=[says for _, says in BAD_PAIRS])
def test_a_bad_pair_found_later_names_its_record(
    tmp_path: Path, limits: Limits, pair: tuple[Any, Any], says: str
) -> None:
    with pytest.raises(RecordFailed, match=says) as failed:
        run(tmp_path, mapper=bad_pair_at(7, pair=pair), limits=limits)
    assert f"record at byte {offset_of(7)} (record 7 of map-0)" in str(failed.value)
    assert "gomr_runtime" not in str(failed.value)


@pytest.mark.parametrize("limits", [Limits(), SMALL], ids=["plain", "small"])
@pytest.mark.parametrize("reducer", [collect, aggregates.sum, aggregates.max])
@pytest.mark.parametrize(
    "mapper_of",
    [failing_at, *(lambda *bad, p=pair: bad_pair_at(*bad, pair=p) for pair, _ in BAD_PAIRS)],
)
def test_bad_records_are_set_aside_whole_and_the_others_kept(
    tmp_path: Path, limits: Limits, reducer: Any, mapper_of: Any
) -> None:
    bad = (0, 6, 7, 19)

    def good(ctx: Context, line: str) -> None:
        if int(line) not in bad:
            ctx.emit(int(line) % 2, int(line))
            ctx.emit("all", int(line))

    got = run(tmp_path / "a", mapper=mapper_of(*bad), reducer=reducer, limits=limits, skip=4)
    assert got.parts == run(tmp_path / "b", mapper=good, reducer=reducer).parts
    set_aside = [b for result in got.results for b in result.bad_records]
    assert sorted((b.record, b.offset) for b in set_aside) == [(n, offset_of(n)) for n in bad]
    assert got.ledger.set_aside == 4
    assert got.ledger.mapped == 16


def test_one_bad_record_too_many_ends_the_job(tmp_path: Path) -> None:
    with pytest.raises(RecordFailed, match=r"no 3.*no 5.*no 8"):
        run(tmp_path, mapper=failing_at(3, 5, 8), skip=2)


def test_a_value_that_cannot_be_summed_names_its_record(tmp_path: Path) -> None:
    for combiner in (None, aggregates.sum):
        with pytest.raises(RecordFailed, match=r"gomr.sum needs int or float values, got str") as e:
            run(
                tmp_path / str(combiner),
                mapper=bad_pair_at(11, pair=("k", "x")),
                reducer=aggregates.sum,
                combiner=combiner,
            )
        assert "record 11 of map-0" in str(e.value)


@pytest.mark.parametrize("aggregate", [aggregates.min, aggregates.top(2)])
def test_values_that_do_not_compare_name_their_key(tmp_path: Path, aggregate: Any) -> None:
    with pytest.raises(RecordFailed, match="key 'all': gomr") as failed:
        run(tmp_path, mapper=bad_pair_at(11, pair=("all", "x")), reducer=aggregate, skip=5)
    assert "gomr_runtime" not in str(failed.value)


def test_converted_values_and_what_cannot_be_converted(tmp_path: Path) -> None:
    def total(ctx: Context, key: Any, values: list[int]) -> None:
        ctx.emit(key, sum(values))

    def texts(ctx: Context, line: str) -> None:
        ctx.emit("k", line)

    def worse(ctx: Context, line: str) -> None:
        ctx.emit("k", line if line != "9" else "nine")

    assert run(tmp_path / "a", mapper=texts, reducer=total).text == "k\t190\n"
    with pytest.raises(RecordFailed, match=r"record 9 of map-0.*'nine' is no int"):
        run(tmp_path / "b", mapper=worse, reducer=total)


def fail(ctx: Context) -> None:
    raise LookupError("nothing there")


def emit_badly(ctx: Context) -> None:
    ctx.emit("k", 1)
    ctx.emit(["k"], 1)


@pytest.mark.parametrize("which", ["setup", "finish"])
@pytest.mark.parametrize(("function", "says"), [(fail, "LookupError"), (emit_badly, "list")])
def test_setup_and_finish_are_named(tmp_path: Path, which: str, function: Any, says: str) -> None:
    for skip in (0, 3):
        with pytest.raises(RecordFailed, match=rf"map-0, {which}\(ctx\): .*{says}"):
            run(tmp_path / str(skip), mapper=failing_at(), skip=skip, **{which: function})


def test_setup_and_finish_of_reducers_are_named(tmp_path: Path) -> None:
    for function, says in ((fail, "LookupError"), (emit_badly, "list")):

        def finish(ctx: Context, function: Any = function) -> None:
            if "reduce" in ctx.attempt_id:
                function(ctx)

        with pytest.raises(RecordFailed, match=rf"reduce-0, finish\(ctx\): .*{says}"):
            run(tmp_path / says, mapper=failing_at(), finish=finish)


def test_a_reducer_that_raises_or_emits_badly_names_its_key(tmp_path: Path) -> None:
    def raising(ctx: Context, key: Any, values: list[Any]) -> None:
        if key == "all":
            raise LookupError("none")

    def bad(ctx: Context, key: Any, values: list[Any]) -> None:
        ctx.emit([] if key == "all" else key, 1)

    for limits in (Limits(), SMALL):
        with pytest.raises(RecordFailed, match="reduce-0, key 'all': LookupError: none") as failed:
            run(tmp_path / f"a{limits.budget}", mapper=failing_at(), reducer=raising, limits=limits)
        assert failed.value.detail.count("  File ") == 1
        with pytest.raises(RecordFailed, match="key 'all': the reducer emitted a bad pair: a key"):
            run(tmp_path / f"b{limits.budget}", mapper=failing_at(), reducer=bad, limits=limits)


def test_a_combiner_that_fails_names_its_key(tmp_path: Path) -> None:
    def raising(ctx: Context, key: Any, values: list[Any]) -> None:
        raise LookupError("none")

    def other_key(ctx: Context, key: Any, values: list[Any]) -> None:
        ctx.emit(float(key) if key != "all" else key, 1)

    def bad_value(ctx: Context, key: Any, values: list[int]) -> None:
        ctx.emit(key, "x")

    cases = [(raising, "LookupError"), (other_key, "keeps the key"), (bad_value, "is no int")]
    for combiner, says in cases:
        for limits in (Limits(), SMALL):
            with pytest.raises(RecordFailed, match=f"combiner, key .*{says}"):
                run(
                    tmp_path / f"{says}{limits.budget}",
                    mapper=failing_at(),
                    combiner=combiner,
                    limits=limits,
                    skip=3,
                )


def test_a_partitioner_that_fails_is_named(tmp_path: Path) -> None:
    def raising(key: Any, n: int) -> int:
        return len(key)

    def outside(key: Any, n: int) -> int:
        return n

    for partitioner, says in ((raising, "TypeError"), (outside, "returned 1")):
        with pytest.raises(RecordFailed, match=rf"partitioner\(.*{says}"):
            run(tmp_path / says, mapper=failing_at(), partitioner=partitioner, skip=3)


def test_a_full_disk_is_nobodys_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the mapper swallows what its emit raises."""

    def swallowing(ctx: Context, line: str) -> None:
        try:
            ctx.emit("k", line)
        except Exception:  # noqa: BLE001
            ctx.counter("swallowed").add()

    for mapper in (swallowing, failing_at()):
        write = HashedFile.write
        failures = [OSError(28, "No space left on device")]

        def full_once(
            self: HashedFile, data: bytes, write: Any = write, failures: Any = failures
        ) -> int:
            if failures:
                raise failures.pop()
            return int(write(self, data))

        monkeypatch.setattr(HashedFile, "write", full_once)
        with pytest.raises(ScratchFailed, match="No space left on device"):
            run(tmp_path / str(mapper), 300, mapper=mapper, limits=SMALL, skip=3)


def test_a_refused_pair_fails_its_record_whatever_user_code_catches(tmp_path: Path) -> None:
    def mapper(ctx: Context, line: str) -> None:
        try:
            ctx.emit_many([("a", line), ("b", {1} if line == "1" else 1), ("c", line)])
        except TypeError:
            ctx.emit("caught", line)

    with pytest.raises(
        RecordFailed, match=r"record at byte 2 .*: a value may not be set"
    ) as failed:
        run(tmp_path / "a", 3, mapper=mapper)
    assert "ctx.emit_many([" in failed.value.detail
    got = run(tmp_path / "b", 3, mapper=mapper, skip=1)
    assert got.text == 'a\t["0","2"]\nb\t[1,1]\nc\t["0","2"]\n'


def test_a_record_too_rich_to_be_held_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emitter, "WHOLE_PAIRS", 50)

    def mapper(ctx: Context, line: str) -> None:
        for i in range(100 if line == "4" else 2):
            ctx.emit("k", i)

    assert run(tmp_path / "a", mapper=mapper, limits=SMALL).ledger.map_out == 138
    got = run(tmp_path / "b", mapper=mapper, limits=SMALL, skip=1)
    assert got.ledger.map_out == 38
    assert [b.record for r in got.results for b in r.bad_records] == [4]


def test_records_without_pairs_leave_no_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A filter that lets nothing through runs in constant memory."""
    held: list[int] = []

    class Watched(emitter.Emitter):
        __slots__ = ()

        def drain(self) -> None:
            held.append(len(self.marks))
            super().drain()

    def mapper(ctx: Context, line: str) -> None:
        """Keeps nothing."""

    monkeypatch.setattr(mapper_module, "MOST_MARKS", 100)
    monkeypatch.setattr(mapper_module, "Emitter", Watched)
    assert run(tmp_path, 80_000, mapper=mapper).ledger.mapped == 80_000
    assert max(held) < 60_000, "a block is drained before the next one"


def test_a_reducer_that_swallows_damage_does_not_hide_it(tmp_path: Path) -> None:
    def reducer(ctx: Context, key: Any, values: Iterator[Any]) -> None:
        try:
            for _ in values:
                pass
        except GomrError:
            ctx.emit(key, "swallowed")

    def mapper(ctx: Context, line: str) -> None:
        ctx.emit("k", line * 50)

    limits = Limits(small_rows=1, frame_rows=10, giant_rows=3)
    config = MapReduceConfig(mapper=mapper, reducer=reducer, input=formats.lines)
    job = Job(tmp_path, config, 400, limits=limits)
    outcome = Outcome()
    with limits.applied():
        job.task("map", 0, outcome)
        damaged = bytearray(job.stored("map-0").read_bytes())
        damaged[len(damaged) * 3 // 4] ^= 1
        job.stored("map-0").write_bytes(damaged)
        with pytest.raises(CorruptBlock, match="map-0, partition 0") as caught:
            job.reduce(outcome)
    assert caught.value.bad_map == 0


def test_a_map_output_that_vanished_is_the_stores_fault(tmp_path: Path) -> None:
    def mapper(ctx: Context, line: str) -> None:
        ctx.emit(line, 1)

    config = MapReduceConfig(mapper=mapper, reducer=aggregates.sum, input=formats.lines)
    job = Job(tmp_path, config, 10)
    outcome = Outcome()
    job.task("map", 0, outcome)
    job.stored("map-0").unlink()
    with pytest.raises(CorruptBlock, match="map-0, partition 0 of map-0 is missing") as caught:
        job.reduce(outcome)
    assert caught.value.bad_map == 0


def test_S6_any_flipped_byte_blames_the_map_that_wrote_it(tmp_path: Path) -> None:
    def mapper(ctx: Context, line: str) -> None:
        ctx.emit(line, 1)

    config = MapReduceConfig(mapper=mapper, reducer=aggregates.sum, input=formats.lines)
    job = Job(tmp_path, config, 20, mappers=2, reducers=2)
    for index in range(2):
        job.task("map", index, Outcome())
    job.stored("maps").write_bytes(encode_maps(job.maps))
    good = job.stored("map-1").read_bytes()
    blamed: Counter[int] = Counter()
    for position in range(len(good)):
        bad = bytearray(good)
        bad[position] ^= 0x40
        job.stored("map-1").write_bytes(bytes(bad))
        try:
            job.task("reduce", 0, Outcome())
            blamed[-1] += 1  # a byte of the other partition
        except CorruptBlock as error:
            blamed[error.bad_map] += 1
    assert set(blamed) == {-1, 1}


def test_S6_lost_lists_are_the_stores_fault(tmp_path: Path) -> None:
    def mapper(ctx: Context, line: str) -> None:
        ctx.emit(line, 1)

    config = MapReduceConfig(mapper=mapper, reducer=aggregates.sum, input=formats.lines)
    job = Job(tmp_path, config, 20)
    job.task("map", 0, Outcome())
    with pytest.raises(CorruptBlock, match="maps is missing") as caught:
        job.task("reduce", 0, Outcome())
    assert failure_of(caught.value, TaskSpec("r", "reduce", 0, 1, "n")) == TaskFailure(
        "corrupt", f"reduce-0: {caught.value}"
    )
