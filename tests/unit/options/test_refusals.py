"""Pairs that are refused: which, why, at which line, and whatever user code catches."""

from __future__ import annotations

import array
import dataclasses
import datetime
import decimal
import enum
import fractions
import ipaddress
import pathlib
import re
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import gomr_runtime as gomr
from gomr_runtime.dataflow.pairs.conversions import refusal
from gomr_runtime.errors import RecordFailed
from gomr_runtime.testing import Result, run_local, run_mapper, run_reducer

pytestmark = pytest.mark.usefixtures("engine")


def job(mapper: Any, reducer: Any, **fields: Any) -> gomr.MapReduceConfig:
    return gomr.MapReduceConfig(**{"input": gomr.lines, **fields}, mapper=mapper, reducer=reducer)


def typed(key: Any = Any, values: Any = list) -> Any:
    """A reducer that passes on what it gets."""

    def reducer(ctx: gomr.Context, key: Any, values: Any) -> None:
        ctx.emit(key, list(values))

    reducer.__annotations__.update(key=key, values=values)
    return reducer


def run(mapper: Any, reducer: Any, text: str = "a\n", **options: Any) -> Result:
    return run_local(job(mapper, reducer), text, **{"mappers": 1, "reducers": 1, **options})


CALLS: dict[str, Callable[[gomr.Context, Any, Any], None]] = {
    "emit": lambda ctx, key, value: ctx.emit(key, value),
    "emit_many": lambda ctx, key, value: ctx.emit_many([(key, value)]),
    "generator": lambda ctx, key, value: ctx.emit_many((key, value) for _ in range(1)),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize(
    ("annotation", "good", "bad", "says"),
    [
        (int, [1, 2**70, -3], ["1"], "key '1' is str, the annotation says int"),
        (int, [0], [True, 1.0, b"1"], "the annotation says int"),
        (str, ["", "é"], [1], "key 1 is int, the annotation says str"),
        (float, [1.0, float("inf")], [1], "key 1 is int, the annotation says float"),
        (tuple[str, int], [("a", 1), ()], ["a"], "key 'a' is str, the annotation says tuple"),
        (int | None, [None, 1], [False], "key False is bool, the annotation says None or int"),
        (bytes | bool, [b"", True], ["a"], "the annotation says bool or bytes"),
    ],
)
def test_keys_are_held_to_their_annotation(
    call: Any, annotation: Any, good: list[Any], bad: list[Any], says: str
) -> None:
    """By type alone: 1 and "1" are two keys, so none is made of the other."""
    for reducer in (typed(key=annotation), typed(key=annotation, values=list[int])):
        found = run(lambda ctx, line: [call(ctx, key, 1) for key in good] and None, reducer).pairs
        assert sorted(map(repr, (key for key, _ in found))) == sorted(map(repr, good))
        for key in bad:
            with pytest.raises(RecordFailed, match=re.escape(says)) as failed:
                run(lambda ctx, line, key=key: call(ctx, key, 1), reducer)
            assert "record at byte 0 (record 0 of map-0)" in str(failed.value)


@pytest.mark.parametrize("combiner", [None, gomr.sum, typed(values=list[int])])
def test_keys_that_are_counted_or_come_in_columns_are_held_to_it(combiner: Any) -> None:
    calls: list[Callable[[gomr.Context], None]] = [
        lambda ctx: ctx.count(["a", 1]),
        lambda ctx: ctx.count(iter(["a", 1])),
        lambda ctx: ctx.emit_batch(pa.array([1]), 1),
        lambda ctx: ctx.emit_batch(np.array([1]), 1),
    ]
    for call in calls:
        config = job(lambda ctx, line, call=call: call(ctx), typed(key=str), combiner=combiner)
        with pytest.raises(RecordFailed, match="key 1 is int, the annotation says str"):
            run_local(config, "a\n")


def test_the_partitioners_annotation_counts_too() -> None:
    def by_number(key: int, n: int) -> int:
        return key % n

    config = job(lambda ctx, line: ctx.emit(line, 1), gomr.sum, partitioner=by_number)
    with pytest.raises(RecordFailed, match="key 'a' is str, the annotation says int"):
        run_local(config, "a\n")


def test_run_reducer_takes_no_key_that_a_mapper_could_not_emit() -> None:
    with pytest.raises(Exception, match="key 1 is int, the annotation says str"):
        run_reducer(typed(key=str), 1, [1])


@pytest.mark.parametrize(
    ("annotation", "given", "expected"),
    [
        (list[int | None], [1, None, "2"], [1, None, 2]),
        (list[float | None], [1, None, "2.5", 0.5], [1.0, None, 2.5, 0.5]),
        (list[int | float], [1, 2.5, "3", "4.5"], [1, 2.5, 3, 4.5]),
        (list[int | str], [1, "2"], [1, "2"]),
        (list[list[int] | None], [[1], None], [[1], None]),
        (list[int | list[int]], [1, [2], "3"], [1, [2], 3]),
        (list[bool | int], [True, 1], [True, 1]),
    ],
)
def test_unions_convert_what_is_of_none_of_their_types(
    annotation: Any, given: list[Any], expected: list[Any]
) -> None:
    def mapper(ctx: gomr.Context, line: str) -> None:
        for value in given:
            ctx.emit("k", value)

    ((_, found),) = run(mapper, typed(values=annotation)).pairs
    assert list(map(repr, found)) == list(map(repr, expected))


@pytest.mark.parametrize(
    ("annotation", "bad", "says"),
    [
        (list[int | None], 1.5, "value 1.5 is float, the annotation says None or int"),
        (list[int | None], "x", "value 'x' is no int"),
        (list[int | float], "x", "value 'x' is no float"),
        (list[list[int] | None], (1,), "value (1,) is tuple, the annotation says None or list"),
        (list[None], 0, "value 0 is int, the annotation says None"),
    ],
)
def test_what_is_of_no_type_of_a_union_is_refused(annotation: Any, bad: Any, says: str) -> None:
    with pytest.raises(RecordFailed, match=re.escape(says)):
        run(lambda ctx, line: ctx.emit("k", bad), typed(values=annotation))


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        (list[int], [1, 1]),
        (list[float], [1.0, 1.0]),
        (list[int | None], [1, 1]),
        (list[Any], [1, 1]),
        (list[list[int]], None),
        (list[dict[str, int]], None),
        (list[str], None),
        (list[bool], None),
    ],
)
@pytest.mark.parametrize("lazily", [False, True])
def test_what_is_counted_is_held_to_the_annotation_as_what_is_emitted(
    annotation: Any, expected: list[Any] | None, lazily: bool
) -> None:
    keys = ["a", "a"]
    reducer = typed(values=annotation)
    count = run_local, job(lambda ctx, line: ctx.count(iter(keys) if lazily else keys), reducer)
    if expected is not None:
        ((_, found),) = count[0](count[1], "x\n", reducers=1).pairs
        assert list(map(repr, found)) == list(map(repr, expected))
        return
    for use in (count[1], job(lambda ctx, line: ctx.emit("a", 1), reducer)):
        with pytest.raises(RecordFailed, match="value 1 is int, the annotation says"):
            run_local(use, "x\n")


@pytest.mark.parametrize(
    ("annotation", "text", "bad"),
    [
        (dict, '{"a": 1}\n[1]\n{}\n', 9),
        (dict[str, int], '{}\n"x"\n', 3),
        (list[int], "[1]\n{}\n", 4),
        (str, '"a"\n1\n', 4),
        (float, "1\n2.5\ntrue\n", 6),
        (int | None, "null\n1\n1.5\n", 7),
    ],
)
@pytest.mark.parametrize("reducer", [gomr.identity, None])
def test_json_records_are_held_to_their_annotation(
    annotation: Any, text: str, bad: int, reducer: Any
) -> None:
    def mapper(ctx: gomr.Context, record: Any) -> None:
        ctx.emit("k", 1)

    mapper.__annotations__["record"] = annotation
    config = job(mapper, reducer, input=gomr.jsonl)
    says = rf"input, record at byte {bad} .*: the record is \w+, the annotation says"
    with pytest.raises(RecordFailed, match=says) as failed:
        run_local(config, text, mappers=2)
    assert "def mapper" in failed.value.detail
    result = run_local(config, text, skip_bad_records=1)
    assert len(result.pairs) == len(text.splitlines()) - 1
    assert [record.offset for record in result.bad_records] == [bad]


# Lines and conversions


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Order:
    n: int


class Point(NamedTuple):
    x: int
    y: int


Timestamp = type("Timestamp", (datetime.datetime,), {})
Timestamp.__module__ = "pandas._libs.tslibs.timestamps"
NOW = datetime.datetime(2026, 1, 2, 3)

CONVERSIONS: list[tuple[Any, str, str]] = [
    (np.array([1, 2]), "tuple(key.tolist())", "value.tolist()"),
    (np.int64(1), "key.item()", "value.item()"),
    (np.float32(1), "key.item()", "value.item()"),
    (np.float64(1), "key.item()", "value.item()"),
    (np.str_("a"), "key.item()", "value.item()"),
    (np.bool_(True), "key.item()", "value.item()"),
    (np.datetime64("2026-01-01"), "str(key)", "str(value)"),
    ({"a"}, "tuple(sorted(key))", "sorted(value)"),
    (frozenset("a"), "tuple(sorted(key))", "sorted(value)"),
    (NOW, "key.isoformat()", "value.isoformat()"),
    (NOW.date(), "key.isoformat()", "value.isoformat()"),
    (NOW.time(), "key.isoformat()", "value.isoformat()"),
    (NOW - NOW, "key.total_seconds()", "value.total_seconds()"),
    (Timestamp(2026, 1, 2), "key.isoformat()", "value.isoformat()"),
    (decimal.Decimal("1.5"), "str(key)", "str(value)"),
    (fractions.Fraction(1, 2), "str(key)", "str(value)"),
    (uuid.UUID(int=1), "str(key)", "str(value)"),
    (pathlib.Path("a"), "str(key)", "str(value)"),
    (ipaddress.ip_address("127.0.0.1"), "str(key)", "str(value)"),
    (Colour.RED, "key.value", "value.value"),
    (Level.HIGH, "key.value", "value.value"),
    (Order(1), "dataclasses.astuple(key)", "dataclasses.asdict(value)"),
    (Point(1, 2), "tuple(key)", "tuple(value)"),
    (Counter("a"), "tuple(sorted(key.items()))", "dict(value)"),
    (defaultdict(int), "tuple(sorted(key.items()))", "dict(value)"),
    (OrderedDict(), "tuple(sorted(key.items()))", "dict(value)"),
    (deque(), "tuple(key)", "list(value)"),
    (range(2), "tuple(key)", "list(value)"),
    ({}.keys(), "tuple(key)", "list(value)"),
    (iter([1]), "tuple(key)", "list(value)"),
    (bytearray(b"a"), "bytes(key)", "bytes(value)"),
    (memoryview(b"a"), "bytes(key)", "bytes(value)"),
    (array.array("i", [1]), "tuple(key.tolist())", "value.tolist()"),
    (1j, "(key.real, key.imag)", "(value.real, value.imag)"),
    (re.match("a", "a"), "key.group()", "value.group()"),
    (ValueError("x"), "str(key)", "str(value)"),
    (pa.scalar(1), "key.as_py()", "value.as_py()"),
    (pa.array([1]), "tuple(key.to_pylist())", "value.to_pylist()"),
    (pl.Series([1]), "tuple(key.to_list())", "value.to_list()"),
    (object(), "", ""),
]


@pytest.mark.parametrize(("given", "key", "value"), CONVERSIONS, ids=lambda g: type(g).__name__)
def test_a_conversion_is_named_by_type_and_the_line_is_shown(
    given: Any, key: str, value: str
) -> None:
    def emits_key(ctx: gomr.Context, line: str) -> None:
        ctx.emit("good", 1)
        ctx.emit(given, 1)  # the key

    def emits_value(ctx: gomr.Context, line: str) -> None:
        ctx.emit("good", 1)
        ctx.emit("bad", given)  # the value

    for mapper, what, written in ((emits_key, "key", key), (emits_value, "value", value)):
        with pytest.raises(RecordFailed) as failed:
            run_mapper(mapper, "a")
        wanted = f"emit {written}" if written else "use None, bool, int, float, str, bytes or a"
        assert f"a {what} may not be " in str(failed.value)
        assert wanted in str(failed.value)
        assert f"# the {what}" in failed.value.detail
        assert failed.value.detail.count("  File ") == 1
        assert "Refused" not in failed.value.detail


@pytest.mark.parametrize(("given", "key", "value"), CONVERSIONS, ids=lambda g: type(g).__name__)
def test_following_the_advice_gives_a_pair(given: Any, key: str, value: str) -> None:
    if not value:
        return
    names = {"dataclasses": dataclasses, "key": given, "value": given}
    if not hasattr(given, "__next__"):
        names["key"] = eval(key, names)
    else:
        names["key"] = "stream"
    if isinstance(names["key"], tuple) and any(isinstance(item, tuple) for item in names["key"]):
        names["key"] = tuple(map(tuple, names["key"]))
    names["value"] = eval(value, names)
    assert run_mapper(lambda ctx, line: ctx.emit(names["key"], names["value"]), "a")


def test_what_a_container_holds_is_named() -> None:
    assert refusal(NOW, "value", held=True) == (
        "a value may not hold datetime: make it x.isoformat()"
    )
    for value in ([NOW], {"a": [NOW]}, (NOW,)):
        with pytest.raises(RecordFailed, match=r"may not hold datetime: make it x\.isoformat\(\)"):
            run_mapper(lambda ctx, line, value=value: ctx.emit("k", value), "a")
    with pytest.raises(RecordFailed, match=r"a key may not hold list: make it tuple\(x\)"):
        run_mapper(lambda ctx, line: ctx.emit(("a", [1]), 1), "a")


def yields_key(ctx: gomr.Context, line: str) -> Iterator[Any]:
    yield "good", 1
    yield [line], 1  # refused


def yields_value(ctx: gomr.Context, line: str) -> Iterator[Any]:
    yield from ((key, {1} if key == "bad" else 1) for key in ("good", "bad"))  # refused


def yields_text(ctx: gomr.Context, line: str) -> Iterator[Any]:
    yield "good", 1
    yield "\ud800", 1  # refused


def counts(ctx: gomr.Context, line: str) -> None:
    ctx.count(["good", None, [line]])  # refused


def counts_lazily(ctx: gomr.Context, line: str) -> None:
    ctx.count(key for key in ("good", {1}))  # refused


def emits_columns(ctx: gomr.Context, line: str) -> None:
    ctx.emit_batch(pa.array(["a"]), pa.array([1, 2]))  # refused


def emits_types(ctx: gomr.Context, line: str) -> None:
    ctx.emit_batch(pa.array([NOW]), 1)  # refused


@pytest.mark.parametrize(
    "function",
    [yields_key, yields_value, yields_text, counts, counts_lazily, emits_columns, emits_types],
)
@pytest.mark.parametrize("reducer", [typed(), gomr.sum, gomr.max, None])
def test_the_users_own_line_is_shown_whichever_way_it_comes(function: Any, reducer: Any) -> None:
    with pytest.raises(RecordFailed) as failed:
        run(function, reducer)
    assert "# refused" in failed.value.detail
    assert "gomr_runtime" not in failed.value.detail


@pytest.mark.parametrize("function", [yields_key, counts, emits_types])
def test_the_line_is_shown_for_reducers_combiners_and_edges(function: Any) -> None:
    def of_key(ctx: gomr.Context, key: str, values: list[int]) -> Any:
        return function(ctx, key)

    def of_task(ctx: gomr.Context) -> Any:
        return function(ctx, "x")

    def mapper(ctx: gomr.Context, line: str) -> None:
        ctx.emit("a", 1)
        ctx.emit("a", 1)

    fields: list[dict[str, Any]] = [
        {"reducer": of_key},
        {"combiner": of_key},
        {"setup": of_task},
        {"finish": of_task},
    ]
    for some in fields:
        config = job(mapper, some.pop("reducer", gomr.identity), **some)
        with pytest.raises(RecordFailed) as failed:
            run_local(config, "a\n")
        assert "# refused" in failed.value.detail


BAD: dict[str, Callable[[Any], None]] = {
    "key": lambda ctx: ctx.emit([1], 1),
    "value": lambda ctx: ctx.emit("k", {1}),
    "surrogate": lambda ctx: ctx.emit("\ud800", 1),
    "no pair": lambda ctx: ctx.emit_many([("k", 1), "ab"]),
    "no pairs": lambda ctx: ctx.emit_many("ab"),
    "counted": lambda ctx: ctx.count(["k", {1}]),
    "no keys": lambda ctx: ctx.count("ab"),
    "columns": lambda ctx: ctx.emit_batch(pa.array(["a"]), pa.array([1, 2])),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
@pytest.mark.parametrize(
    ("reducer", "then"),
    [(typed(), "emits"), (gomr.sum, "nothing"), (gomr.count, "emits"), (None, "nothing")],
)
def test_a_refusal_that_is_swallowed_fails_its_record(bad: Any, reducer: Any, then: str) -> None:
    def mapper(ctx: gomr.Context, line: str) -> None:
        try:
            if line == "b":
                bad(ctx)
        except Exception:  # noqa: BLE001
            line = "swallowed"
        if then == "emits":
            ctx.emit(line, 1)

    with pytest.raises(RecordFailed, match=r"record at byte 2 \(record 1 of map-0\)"):
        run(mapper, reducer, "a\nb\nc\n")
    result = run(mapper, reducer, "a\nb\nc\n", skip_bad_records=1)
    assert [record.offset for record in result.bad_records] == [2]
    assert [key for key, _ in result.pairs] == (["a", "c"] if then == "emits" else [])


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_refusal_that_a_reducer_swallows_fails_its_key(bad: Any) -> None:
    def reducer(ctx: gomr.Context, key: str, values: list[int]) -> None:
        try:
            bad(ctx)
        except Exception:  # noqa: BLE001
            ctx.emit(key, "swallowed")

    with pytest.raises(RecordFailed, match="reduce-0, key 'a': "):
        run(lambda ctx, line: ctx.emit(line, 1), reducer)
