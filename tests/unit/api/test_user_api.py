"""The worker file's API: delivery, types, edges, counters, built-ins, formats of the output."""

from __future__ import annotations

import collections
import math
import random
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

import gomr_runtime as gomr
from gomr_runtime.errors import JobFailed, RecordFailed, UsageError
from gomr_runtime.testing import Pair, Result, run_local, run_reducer

pytestmark = pytest.mark.usefixtures("engine")


def numbers(ctx: gomr.Context, line: str) -> None:
    ctx.emit("k", int(line))


def job(mapper: Any, reducer: Any = gomr.identity, /, **config: Any) -> gomr.MapReduceConfig:
    return gomr.MapReduceConfig(mapper=mapper, reducer=reducer, **({"input": gomr.lines} | config))


TEN = "".join(f"{i}\n" for i in range(10))


# Delivery of values


def test_iterator_values_come_in_one_pass_and_a_second_pass_raises() -> None:
    def once(ctx: gomr.Context, key: str, values: Iterator[int]) -> None:
        ctx.emit(key, [*values])

    def twice(ctx: gomr.Context, key: str, values: Iterable[int]) -> None:
        ctx.emit(key, sum(values) + sum(values))

    def after_next(ctx: gomr.Context, key: str, values: Iterator[int]) -> None:
        ctx.emit(key, next(values))
        ctx.emit(key, next(values))

    assert run_local(job(numbers, once), TEN).pairs == [("k", list(range(10)))]

    def first_then_rest(ctx: gomr.Context, key: str, values: Iterator[int]) -> None:
        first = next(values)
        ctx.emit(key, [first, *values])

    assert run_local(job(numbers, after_next), TEN).pairs == [("k", 0), ("k", 1)]
    assert run_local(job(numbers, first_then_rest), TEN).pairs == [("k", list(range(10)))]
    with pytest.raises(RecordFailed, match=r"key 'k': RuntimeError: values can be read once"):
        run_local(job(numbers, twice), TEN)


def test_a_generator_that_is_returned_counts_like_one_that_is_written() -> None:
    def mapper(ctx: gomr.Context, line: str) -> Iterator[Pair]:
        return ((line, n) for n in range(2))

    def reducer(ctx: gomr.Context, key: str, values: list[int]) -> Iterator[Pair]:
        return ((key, value) for value in values)

    assert run_local(job(mapper, reducer), "a\n").pairs == [("a", 0), ("a", 1)]


@pytest.mark.parametrize("scalar", [False, True])
def test_yielding_something_else_than_a_pair_says_so(scalar: bool) -> None:
    def mapper(ctx: gomr.Context, line: str) -> Iterator[Any]:
        yield (line, 1, 2)

    reducer = gomr.sum if scalar else gomr.identity
    with pytest.raises(RecordFailed, match=r"expected a \(key, value\) pair, got \('a', 1, 2\)"):
        run_local(job(mapper, reducer), "a\n")


@pytest.mark.parametrize("giant", [False, True])
def test_a_reducer_that_stops_early_loses_nothing_of_the_next_key(
    giant: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if giant:
        monkeypatch.setattr("gomr_runtime.dataflow.reduce.groups.GIANT_ROWS", 2)

    def mapper(ctx: gomr.Context, line: str) -> None:
        for key in "abc":
            ctx.emit(key, int(line))

    def first(ctx: gomr.Context, key: str, values: Iterator[int]) -> None:
        for value in values:
            ctx.emit(key, value)
            return

    result = run_local(job(mapper, first), TEN, reducers=1)
    assert result.pairs == [("a", 0), ("b", 0), ("c", 0)]
    assert result.ledger.reduce_in == 30


def test_a_list_larger_than_the_memory_says_annotate_iterator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gomr_runtime.dataflow.reduce.groups.GIANT_ROWS", 100)
    monkeypatch.setattr("gomr_runtime.dataflow.stages.budget_of", lambda memory: 10_000)

    def mapper(ctx: gomr.Context, line: str) -> None:
        ctx.emit_many(("k", i) for i in range(300))

    def listed(ctx: gomr.Context, key: str, values: list[int]) -> None:
        ctx.emit(key, len(values))

    def streamed(ctx: gomr.Context, key: str, values: Iterator[int]) -> None:
        ctx.emit(key, sum(1 for _ in values))

    with pytest.raises(RecordFailed, match=r"key 'k': .*annotate `values: Iterator\[...\]`"):
        run_local(job(mapper, listed), TEN)
    assert run_local(job(mapper, streamed), TEN).pairs == [("k", 3000)]


@pytest.mark.parametrize("options", [{"sort_values": True}, {"sort_key": lambda v: -v}])
@pytest.mark.parametrize("delivery", ["list", "Iterator"])
def test_sorted_values(options: dict[str, Any], delivery: str) -> None:
    def listed(ctx: gomr.Context, key: str, values: list[int]) -> None:
        ctx.emit(key, list(values))

    def streamed(ctx: gomr.Context, key: str, values: Iterator[int]) -> None:
        ctx.emit(key, list(values))

    given = random.Random(1).sample(range(100), 100)
    text = "".join(f"{i}\n" for i in given)
    result = run_local(job(numbers, listed if delivery == "list" else streamed, **options), text)
    assert result.pairs == [("k", sorted(given, key=options.get("sort_key")))]


# Types


def typed(annotation: Any, emitted: list[Any], **options: Any) -> Result:
    def mapper(ctx: gomr.Context, line: str) -> None:
        ctx.emit("k", emitted[int(line)])

    def reducer(ctx: gomr.Context, key: str, values: Any) -> None:
        ctx.emit(key, list(values))

    reducer.__annotations__["values"] = annotation
    text = "".join(f"{i}\n" for i in range(len(emitted)))
    return run_local(job(mapper, reducer, **options), {"f": text}, mappers=1)


@pytest.mark.parametrize(
    ("annotation", "emitted", "expected"),
    [
        (list[int], [1, "2", " -3 ", str(2**70), 2**70], [1, 2, -3, 2**70, 2**70]),
        (list[float], [1, "2.5", 0.5, "inf"], [1.0, 2.5, 0.5, math.inf]),
        (Iterator[int], ["7"], [7]),
        ("list[int]", ["7"], [7]),
        (list[str], ["a"], ["a"]),
        (list[bytes], [b"a"], [b"a"]),
        (list[bool], [True], [True]),
        (list[list[int]], [[1], []], [[1], []]),
        (list[dict[str, int]], [{"a": 1}], [{"a": 1}]),
        (list[tuple[int, str]], [(1, "a")], [(1, "a")]),
        (list[Any], [1, "2", None], [1, "2", None]),
        (list, [1, "2"], [1, "2"]),
    ],
)
def test_values_are_converted_by_annotation(
    annotation: Any, emitted: list[Any], expected: list[Any]
) -> None:
    ((_, found),) = typed(annotation, emitted).pairs
    assert found == expected
    assert list(map(type, found)) == list(map(type, expected))


@pytest.mark.parametrize(
    ("annotation", "bad", "reason"),
    [
        (list[int], "x", "'x' is no int"),
        (list[int], 1.0, "1.0 is float, the annotation says int"),
        (list[int], True, "True is bool, the annotation says int"),
        (list[int], None, "None is NoneType, the annotation says int"),
        (list[int], [1], "the annotation says int"),
        (list[float], "1,5", "'1,5' is no float"),
        (list[float], 10**400, "is no float"),
        (list[float], True, "True is bool, the annotation says float"),
        (list[str], 1, "1 is int, the annotation says str"),
        (list[str], b"a", "is bytes, the annotation says str"),
        (list[bool], 1, "1 is int, the annotation says bool"),
        (list[list[int]], (1,), "is tuple, the annotation says list"),
        (list[dict[str, int]], None, "is NoneType, the annotation says dict"),
    ],
)
def test_other_types_fail_by_name(annotation: Any, bad: Any, reason: str) -> None:
    with pytest.raises(RecordFailed) as caught:
        typed(annotation, [bad])
    assert str(caught.value).startswith("f, record at byte 0 (record 0 of map-0): ")
    assert reason in str(caught.value)


def test_the_combiners_annotation_counts_where_there_is_one() -> None:
    def combiner(ctx: gomr.Context, key: str, values: list[int]) -> None:
        ctx.emit(key, sum(values))

    assert typed(list[Any], ["1", "2"], combiner=combiner).pairs == [("k", [3])]


# Edges, params, counters, map-only


def test_setup_and_finish_run_around_every_task_and_may_emit() -> None:
    def setup(ctx: gomr.Context) -> None:
        ctx.counter(f"setup {'map' if '/map-' in ctx.attempt_id else 'reduce'}").add()
        ctx.emit("setup", ctx.attempt_id)

    def finish(ctx: gomr.Context) -> Iterator[Pair]:
        yield "zz finish", ctx.attempt_id

    result = run_local(job(numbers, setup=setup, finish=finish), TEN, mappers=2, reducers=1)
    assert result.counters == {"setup map": 2, "setup reduce": 1}
    assert result.pairs == [
        ("setup", "test/reduce-0/1"),
        *[("k", i) for i in range(10)],
        ("setup", "test/map-0/1"),
        ("setup", "test/map-1/1"),
        ("zz finish", "test/map-0/1"),
        ("zz finish", "test/map-1/1"),
        ("zz finish", "test/reduce-0/1"),
    ]


@pytest.mark.parametrize("which", ["setup", "finish"])
def test_an_edge_that_raises_is_named(which: str) -> None:
    def broken(ctx: gomr.Context) -> None:
        raise LookupError("nothing there")

    with pytest.raises(
        RecordFailed, match=rf"map-0, {which}\(ctx\): LookupError: nothing"
    ) as caught:
        run_local(job(numbers, **{which: broken}), TEN)
    assert "raise LookupError" in caught.value.detail


def test_counters_of_all_tasks_add_up_and_refuse_nonsense() -> None:
    def mapper(ctx: gomr.Context, line: str) -> None:
        ctx.counter("lines").add()
        ctx.counter("total").add(int(line))
        ctx.emit("k", 1)

    def reducer(ctx: gomr.Context, key: str, values: list[int]) -> None:
        ctx.counter("lines").add(100)

    def wrong(ctx: gomr.Context, line: str) -> None:
        ctx.counter("x").add(1.5)  # type: ignore[arg-type]

    assert run_local(job(mapper, reducer), TEN).counters == {"lines": 110, "total": 45}
    with pytest.raises(RecordFailed, match=r"'x': add\(\) takes an int, got float"):
        run_local(job(wrong), TEN)


def test_params_are_the_callers_and_each_task_has_its_own() -> None:
    def mapper(ctx: gomr.Context, line: str) -> None:
        ctx.emit(ctx.params["a"], ctx.params.pop("b", "gone"))

    given = {"a": "x", "b": "y"}
    values = [v for _, v in run_local(job(mapper), TEN, params=given, mappers=1).pairs]
    assert values == ["y"] + ["gone"] * 9
    assert given == {"a": "x", "b": "y"}


def test_map_only_keeps_input_order_a_part_for_each_map_task() -> None:
    def mapper(ctx: gomr.Context, line: str) -> None:
        ctx.emit(line, -int(line))
        ctx.emit("again", line)

    result = run_local(job(mapper, None), TEN, mappers=4)
    assert result.pairs == [pair for i in range(10) for pair in [(str(i), -i), ("again", str(i))]]
    assert len(result.parts) == 4
    assert result.ledger.written == 20


def test_generator_style_is_the_same_as_emit() -> None:
    def mapper(ctx: gomr.Context, line: str) -> Iterator[Pair]:
        yield int(line) % 2, 1
        ctx.emit(int(line) % 2, 10)

    def both(ctx: gomr.Context, key: int, values: list[int]) -> Iterator[Pair]:
        yield key, sum(values)

    expected = [(0, 55), (1, 55)]
    assert sorted(run_local(job(mapper, both, combiner=both), TEN).pairs) == expected
    assert sorted(run_local(job(mapper, both), TEN).pairs) == expected


# Built-ins


FLOATS = [0.1, 1e16, -1e16, 3, 0.3, 2**60, -0.25, 7]


@pytest.mark.parametrize("combined", [False, True])
@pytest.mark.parametrize(
    ("aggregate", "values", "expected"),
    [
        (gomr.sum, [1, 2, 2**63], [2**63 + 3]),
        (gomr.sum, FLOATS, [math.fsum(FLOATS)]),
        (gomr.count, ["a", None, [1]], [3]),
        (gomr.min, [3, 1, 2, 1], [1]),
        (gomr.max, ["b", "c", "a"], ["c"]),
        (gomr.min, [[2], [1, 5]], [[1, 5]]),
        (gomr.top(3), [5, 1, 9, 9, 2], [9, 9, 5]),
        (gomr.top(9), [1, 2], [2, 1]),
        (gomr.distinct, [2, 1, 2, 1.0, True, "1", 1], [True, 1, 2, 1.0, "1"]),
        (gomr.identity, [3, [1], 3], [3, [1], 3]),
    ],
)
def test_built_ins(aggregate: Any, values: list[Any], expected: list[Any], combined: bool) -> None:
    def mapper(ctx: gomr.Context, line: str) -> None:
        ctx.emit("k", values[int(line) % len(values)])

    if combined and aggregate.name in ("count", "identity"):
        with pytest.raises(UsageError, match="it is a reducer only"):
            run_local(job(mapper, aggregate, combiner=aggregate), "")
        return
    text = "".join(f"{i}\n" for i in range(len(values)))
    config = job(mapper, aggregate, combiner=aggregate if combined else None)
    for mappers in (1, 3):
        found = [value for _, value in run_local(config, text, mappers=mappers).pairs]
        assert list(map(repr, found)) == list(map(repr, expected))
    assert list(map(repr, [v for _, v in run_reducer(aggregate, "k", values)])) == list(
        map(repr, expected)
    )


@pytest.mark.parametrize(
    ("aggregate", "values"),
    [
        (gomr.sum, [1, "2"]),
        (gomr.sum, [True]),
        (gomr.sum, [[1]]),
        (gomr.min, [1, "2"]),
        (gomr.top(2), [None, 1]),
    ],
)
def test_built_ins_refuse_what_they_cannot_take_by_name(aggregate: Any, values: list[Any]) -> None:
    def mapper(ctx: gomr.Context, line: str) -> None:
        ctx.emit("k", values[int(line)])

    text = "".join(f"{i}\n" for i in range(len(values)))
    for mappers in (1, 2):
        with pytest.raises(JobFailed) as caught:
            run_local(job(mapper, aggregate), text, mappers=mappers)
        message = str(caught.value)
        assert "input, record at byte" in message or "key 'k'" in message
        assert "Error" not in message.split(":", maxsplit=1)[0]


def test_top_needs_a_number() -> None:
    with pytest.raises(UsageError, match=r"gomr\.top\(10\)"):
        run_local(job(numbers, gomr.top), "")
    with pytest.raises(ValueError, match="at least 1"):
        gomr.top(0)
    with pytest.raises(TypeError, match="without calling it"):
        gomr.sum(3)


# Bad records


@pytest.mark.parametrize("reducer", [gomr.sum, gomr.identity, gomr.top(9), None])
def test_bad_records_are_set_aside_whole_and_the_books_balance(reducer: Any) -> None:
    lines = ['{"n": 1}', "not json", "", '{"n": "x"}', '{"n": 4}', '{"m": 1}', '{"n": 16}']

    def mapper(ctx: gomr.Context, record: dict[str, Any]) -> None:
        ctx.emit(1, 1000)
        ctx.emit("k", record.get("n", 0))
        if "m" in record:
            raise KeyError("n")
        ctx.emit(None, int(record["n"]))

    config = job(mapper, reducer, input=gomr.jsonl)
    good = [1, 4, 16]
    expected = collections.Counter(
        [*[(1, 1000)] * 3, *[("k", n) for n in good], *[(None, n) for n in good]]
    )
    text = "\n".join(lines) + "\n"
    result = run_local(config, {"f": text}, skip_bad_records=3, mappers=1, reducers=1)
    if reducer is gomr.sum:
        assert result.pairs == [(None, 21), (1, 3000), ("k", 21)]
    else:
        assert collections.Counter(result.pairs) == expected
    assert [bad.offset for bad in result.bad_records] == [
        text.index("not"),
        text.index('{"n": "x"}'),
        text.index('{"m'),
    ]
    assert (result.ledger.records_read, result.ledger.mapped) == (7, 3)
    assert (result.ledger.set_aside, result.ledger.skipped) == (3, 1)
    with pytest.raises(JobFailed, match=r"f.*not JSON"):
        run_local(config, {"f": text}, skip_bad_records=2, mappers=3)


def test_a_sum_of_a_wrong_type_sets_that_record_aside_and_counts_nothing_twice() -> None:
    def mapper(ctx: gomr.Context, line: str) -> None:
        ctx.emit(1, 10)
        ctx.emit("k", "bad" if line == "3" else 1)

    result = run_local(job(mapper, gomr.sum), TEN, skip_bad_records=1, mappers=1, reducers=1)
    assert result.pairs == [(1, 90), ("k", 9)]
    assert [bad.offset for bad in result.bad_records] == [6]


# Configs


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"mapper": None}, r"mapper=None\): expected a function"),
        ({"mapper": numbers, "reducer": 3}, r"reducer=3\): expected a function"),
        ({"mapper": numbers, "combiner": gomr.count}, "counts are combined with gomr.sum"),
        ({"mapper": numbers, "reducer": None, "combiner": gomr.sum}, "map-only"),
        ({"mapper": numbers, "reducer": None, "partitioner": gomr.total_order}, "map-only"),
        ({"mapper": numbers, "partitioner": "hash"}, r"partitioner='hash'"),
        ({"mapper": numbers, "reducer": lambda ctx, key: None}, r"takes \(ctx, key, values\)"),
        ({"mapper": numbers, "input": "lines"}, r"is not a record format"),
    ],
)
def test_a_wrong_config_is_refused_naming_the_field(config: dict[str, Any], reason: str) -> None:
    made = gomr.MapReduceConfig(**({"reducer": gomr.identity} | config))
    with pytest.raises(UsageError, match=reason):
        run_local(made, "")
