"""What user functions return: iterables of pairs are taken, anything else fails by name."""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

import gomr_runtime as gomr
from gomr_runtime.errors import RecordFailed
from gomr_runtime.testing import run_local, run_mapper, run_reducer

pytestmark = pytest.mark.usefixtures("engine")

Pair = tuple[Any, Any]
LINES = "a b a\nb c\n"
EXPECTED = [("a", 2), ("b", 2), ("c", 1)]


class Pairs:
    """Iterable by its items alone."""

    def __init__(self, words: list[str]) -> None:
        self._words = words

    def __getitem__(self, index: int) -> Pair:
        return self._words[index], 1


def one(word: str) -> Pair:
    return word, 1


TAKEN: list[Callable[[list[str]], Any]] = [
    lambda words: [(word, 1) for word in words],
    lambda words: tuple((word, 1) for word in words),
    lambda words: ((word, 1) for word in words),
    lambda words: (pair for some in ([(word, 1)] for word in words) for pair in some),
    lambda words: map(one, words),
    lambda words: zip(words, itertools.repeat(1)),
    lambda words: [[word, 1] for word in words],
    lambda words: Counter(words).items(),
    lambda words: deque((word, 1) for word in words),
    lambda words: {(word, n) for word, n in Counter(words).items()},
    lambda words: filter(None, [(word, 1) for word in words]),
    Pairs,
    lambda words: iter([(word, 1) for word in words]),
]


def pairs(words: list[str]) -> list[Pair]:
    return [(word, 1) for word in words]


def total(ctx: gomr.Context, key: str, values: list[int]) -> None:
    ctx.emit(key, sum(values))


def job(mapper: Any, reducer: Any = total, **fields: Any) -> gomr.MapReduceConfig:
    return gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines, **fields)


@pytest.mark.parametrize("give", TAKEN)
@pytest.mark.parametrize("reducer", [total, gomr.sum])
def test_iterables_of_pairs_are_taken_from_mappers(give: Any, reducer: Any) -> None:
    result = run_local(job(lambda ctx, line: give(line.split()), reducer), LINES, reducers=1)
    assert result.pairs == EXPECTED


@pytest.mark.parametrize("give", TAKEN)
def test_iterables_of_pairs_are_taken_from_map_only_jobs(give: Any) -> None:
    result = run_local(job(lambda ctx, line: give(line.split()), None), LINES)
    counts: Counter[str] = Counter()
    for word, n in result.pairs:
        counts[word] += n
    assert sorted(counts.items()) == EXPECTED


@pytest.mark.parametrize(
    "give",
    [
        lambda key, values: [(key, sum(values))],
        lambda key, values: {key: sum(values)}.items(),
        lambda key, values: zip([key], [sum(values)], strict=True),
        lambda key, values: ((key, n) for n in [sum(values)]),
        lambda key, values: ([key, sum(values)],),
    ],
)
def test_iterables_of_pairs_are_taken_from_reducers_and_combiners(give: Any) -> None:
    def reducer(ctx: gomr.Context, key: str, values: list[int]) -> Any:
        return give(key, values)

    def streaming(ctx: gomr.Context, key: str, values: Iterator[int]) -> Any:
        return give(key, values)

    for function in (reducer, streaming):
        config = job(lambda ctx, line: pairs(line.split()), function, combiner=function)
        assert run_local(config, LINES, reducers=1, mappers=1).pairs == EXPECTED
        assert run_reducer(function, "k", [1, 2]) == [("k", 3)]


def test_iterables_of_pairs_are_taken_from_setup_and_finish() -> None:
    config = job(
        lambda ctx, line: None,
        gomr.identity,
        setup=lambda ctx: [("setup", 1)],
        finish=lambda ctx: {"finish": 2}.items(),
    )
    result = run_local(config, "a\n", mappers=1, reducers=1)
    assert Counter(result.pairs) == Counter([("setup", 1), ("finish", 2)] * 2)


def test_iterables_of_pairs_are_taken_from_functions_of_batches() -> None:
    def mapper(ctx: gomr.Context, batch: pa.RecordBatch) -> Any:
        return [(word, 1) for line in batch["line"].to_pylist() for word in line.split()]

    def reducer(ctx: gomr.Context, batch: pa.RecordBatch) -> Any:
        counts: Counter[str] = Counter()
        for row in batch.to_pylist():
            counts[row["key"]] += row["value"]
        return counts.items()

    config = gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.batches(gomr.lines))
    assert run_local(config, LINES, reducers=1).pairs == EXPECTED


def test_what_is_returned_comes_after_what_the_call_emitted() -> None:
    def mapper(ctx: gomr.Context, line: str) -> list[Pair]:
        ctx.emit("k", "emitted")
        made = [("k", "returned")]
        ctx.emit("k", "emitted later")
        return made

    def generator(ctx: gomr.Context, line: str) -> Iterator[Pair]:
        ctx.emit("k", 1)
        yield "k", 2
        ctx.emit("k", 3)
        yield "k", 4

    assert [v for _, v in run_mapper(mapper, "x")] == ["emitted", "emitted later", "returned"]
    assert [v for _, v in run_mapper(generator, "x")] == [1, 2, 3, 4]
    for function, expected in (
        (mapper, ["emitted", "emitted later", "returned"]),
        (generator, [1, 2, 3, 4]),
    ):
        assert [v for _, v in run_local(job(function, gomr.identity), "x\n").pairs] == expected
        assert [v for _, v in run_local(job(function, None), "x\n").pairs] == expected


async def _coroutine() -> None:
    """Never awaited."""


async def _stream() -> Any:
    yield "a", 1


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: 3, r"returned 3 \(int\): emit \(key, value\) pairs, yield them, or return a list"),
    (lambda: 0, r"returned 0 \(int\)"),
    (lambda: False, r"returned False \(bool\)"),
    (lambda: 2.5, r"returned 2.5 \(float\)"),
    (lambda: "text", r"returned 'text' \(str\)"),
    (lambda: "", r"returned '' \(str\)"),
    (lambda: b"ab", r"returned b'ab' \(bytes\)"),
    (lambda: bytearray(b"ab"), r"\(bytearray\)"),
    (lambda: {"ab": 1}, r"returned \{'ab': 1\} \(dict\): return its items\(\)"),
    (lambda: {("a", 1): 1}, r"return its items\(\)"),
    (lambda: Counter("ab"), r"\(Counter\): return its items\(\)"),
    (lambda: MappingProxyType({"ab": 1}), r"\(mappingproxy\): return its items\(\)"),
    (_coroutine, "what the .* returns is a coroutine, which nothing awaits: use asyncio.run"),
    (_stream, "returns is a async_generator, which nothing awaits"),
    (object, r"returned <object object .*\(object\)"),
    (lambda: ValueError("x"), r"\(ValueError\)"),
    (lambda: ("a", 1), r"returned one pair, \('a', 1\): yield it, or return \[pair\]"),
    (lambda: ("ab", "cd"), r"returned one pair, \('ab', 'cd'\)"),
    (lambda: ["ab", "cd"], r"expected a \(key, value\) pair, got 'ab'"),
    (lambda: (word for word in ["ab"]), r"expected a \(key, value\) pair, got 'ab'"),
    (lambda: [("a", 1, 2)], r"expected a \(key, value\) pair, got \('a', 1, 2\)"),
    (lambda: [{"a", "b"}], r"expected a \(key, value\) pair, got \{'.', '.'\}"),
    (lambda: [{"a": 1, "b": 2}], r"expected a \(key, value\) pair, got \{'a'"),
    (lambda: [None, None], r"got None: ctx.emit gives None, so write a for loop, or"),
    (lambda: (None, None), r"got None: ctx.emit gives None"),
    (lambda: np.array([[1, 2]]), r"got array\(\[1, 2\]\): give pair.tolist\(\)"),
    (lambda: pa.table({"key": ["a"], "value": [1]}), "give it to ctx.emit_batch"),
    (lambda: pl.DataFrame({"key": ["a"], "value": [1]}), "give it to ctx.emit_batch"),
    (lambda: range(3), r"expected a \(key, value\) pair, got 0"),
]  # fmt: skip


@pytest.mark.parametrize(("give", "says"), REFUSED, ids=[says for _, says in REFUSED])
@pytest.mark.parametrize("reducer", [total, gomr.sum, None], ids=["shuffled", "summed", "map-only"])
def test_anything_else_fails_the_record_by_name(give: Any, says: str, reducer: Any) -> None:
    def mapper(ctx: gomr.Context, line: str) -> Any:
        return give() if line == "bad" else [(line, 1)]

    with pytest.raises(RecordFailed, match=says) as failed:
        run_local(job(mapper, reducer), "a\nbad\n", mappers=1)
    assert str(failed.value).startswith("input, record at byte 2 (record 1 of map-0): ")
    assert f'File "{__file__}", line ' in failed.value.detail
    assert "gomr_runtime" not in failed.value.detail
    if reducer is total:
        result = run_local(job(mapper, reducer), "a\nbad\nb\n", mappers=1, skip_bad_records=1)
        assert sorted(result.pairs) == [("a", 1), ("b", 1)]
        assert [bad.offset for bad in result.bad_records] == [2]


@pytest.mark.parametrize(("give", "says"), REFUSED[::4])
@pytest.mark.parametrize("field", ["reducer", "streaming", "combiner", "setup", "finish"])
def test_of_other_functions_too(give: Any, says: str, field: str) -> None:
    def function(ctx: gomr.Context, *given: Any) -> Any:
        return give()

    def streaming(ctx: gomr.Context, key: str, values: Iterator[int]) -> Any:
        return give()

    fields = {"reducer": streaming} if field == "streaming" else {field: function}
    config = job(lambda ctx, line: pairs(line.split()), **fields)
    with pytest.raises(RecordFailed, match=says) as failed:
        run_local(config, LINES, mappers=1, reducers=1)
    where = {
        "combiner": "map-0, combiner, key 'a': ",
        "setup": "map-0, setup(ctx): ",
        "finish": "map-0, finish(ctx): ",
    }
    assert str(failed.value).startswith(where.get(field, "reduce-0, key 'a': "))
    assert f'File "{__file__}", line ' in failed.value.detail


@pytest.mark.parametrize(
    "combiner",
    [
        lambda ctx, key, values: None,
        lambda ctx, key, values: [],
        lambda ctx, key, values: ctx.emit(key, 1) if key != "a" else None,
        lambda ctx, key, values: iter(()),
    ],
)
def test_a_combiner_that_gives_nothing_back_fails(combiner: Any) -> None:
    config = job(lambda ctx, line: pairs(line.split()), combiner=combiner)
    with pytest.raises(RecordFailed, match=r"map-0, combiner, key 'a': it gave nothing back for 2"):
        run_local(config, LINES, mappers=1)


def test_the_issues_combiner_is_refused() -> None:
    """Of "a b a" it took the a away."""

    def combiner(ctx: gomr.Context, key: str, values: list[int]) -> Any:
        return sum(values)

    config = job(lambda ctx, line: pairs(line.split()), combiner=combiner)
    with pytest.raises(RecordFailed, match=r"key 'a': the combiner returned 2 \(int\)"):
        run_local(config, "a b a\nb c\n", mappers=1)


def test_a_place_is_that_of_the_yield() -> None:
    def inner(line: str) -> Iterator[Any]:
        yield line, 1
        yield line  # no pair

    def mapper(ctx: gomr.Context, line: str) -> Iterator[Any]:
        yield line, 0
        yield from inner(line)

    with pytest.raises(RecordFailed) as failed:
        run_local(job(mapper), "ab\n")
    assert failed.value.detail.strip().splitlines()[-1].strip() == "yield line  # no pair"


GIVEN: list[tuple[Any, str]] = [
    ("ab", "takes an iterable of {}, not str"),
    ("", "takes an iterable of {}, not str"),
    (b"ab", "takes an iterable of {}, not bytes"),
    ({("a", "b"): 1}, r"takes an iterable of {}, not dict: give its items\(\)"),
    (Counter("ab"), "takes an iterable of {}, not Counter: give its items"),
    (5, "takes an iterable of {}, not int"),
    (None, "takes an iterable of {}, not NoneType"),
]


@pytest.mark.parametrize(("given", "says"), GIVEN)
@pytest.mark.parametrize("call", ["emit_many", "count"])
@pytest.mark.parametrize(
    ("reducer", "swallows"), [(total, True), (gomr.sum, False), (gomr.count, True), (None, True)]
)
def test_strings_and_dicts_are_no_pairs_and_no_keys(
    given: Any, says: str, call: str, reducer: Any, swallows: bool
) -> None:
    def mapper(ctx: gomr.Context, line: str) -> None:
        try:
            getattr(ctx, call)(given)
        except TypeError:
            if not swallows:
                raise

    items = "pairs" if call == "emit_many" else "keys"
    with pytest.raises(RecordFailed, match=f"ctx.{call} " + says.format(items)) as failed:
        run_local(job(mapper, reducer), "a\n")
    assert "getattr(ctx, call)(given)" in failed.value.detail


@pytest.mark.parametrize("pair", ["ab", b"ab", {"a", "b"}, {"a": 1, "b": 2}, ("a",), [1, 2, 3], 7])
@pytest.mark.parametrize("reducer", [total, gomr.sum, gomr.identity, None])
def test_a_pair_is_a_tuple_or_list_of_two(pair: Any, reducer: Any) -> None:
    with pytest.raises(RecordFailed, match=r"expected a \(key, value\) pair"):
        run_local(job(lambda ctx, line: ctx.emit_many([("a", 1), pair]), reducer), "a\n")
