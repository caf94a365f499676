"""What a job computes, against a sequential reference: keys, values, their order, parts."""

from __future__ import annotations

import enum
import itertools
import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gomr_runtime as gomr
from gomr_runtime.errors import JobFailed, RecordFailed
from gomr_runtime.testing import Pair, Result, run_local

pytestmark = pytest.mark.usefixtures("engine")

TYPES = [type(None), bool, int, float, str, bytes, tuple]


def rank(key: Any) -> tuple[int, Any]:
    """The order of keys as the documentation tells it: by type, then by value."""
    at = TYPES.index(type(key))
    if key is None:
        return at, 0
    if isinstance(key, tuple):
        return at, tuple(rank(item) for item in key)
    return at, key + 0.0 if isinstance(key, float) else key


def grouped(pairs: list[Pair]) -> list[tuple[Any, list[Any]]]:
    """Every key in order with its values in emit order."""
    found: dict[tuple[int, Any], tuple[Any, list[Any]]] = {}
    for key, value in pairs:
        found.setdefault(rank(key), (key, []))[1].append(value)
    return [found[at] for at in sorted(found)]


def gather(ctx: gomr.Context, key: Any, values: list[Any]) -> None:
    ctx.emit(key, values)


def emitter(pairs: list[Pair]) -> tuple[Callable[[gomr.Context, str], None], str]:
    """A mapper, and an input of a line for each pair that it emits."""

    def mapper(ctx: gomr.Context, line: str) -> None:
        ctx.emit(*pairs[int(line)])

    return mapper, "".join(f"{i}\n" for i in range(len(pairs)))


def job(pairs: list[Pair], reducer: Any = gather, **config: Any) -> Callable[..., Result]:
    mapper, text = emitter(pairs)
    made = gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines, **config)
    return lambda **options: run_local(made, text, **options)


def check(result: Result, expected: list[tuple[Any, Any]]) -> None:
    """The same keys (by type) and values, every part in key order, no key in two parts."""
    ranks = [rank(key) for key, _ in result.pairs]
    assert len(set(ranks)) == len(ranks)
    assert sum(a > b for a, b in itertools.pairwise(ranks)) < len(result.parts)
    found = sorted(result.pairs, key=lambda pair: rank(pair[0]))
    assert found == expected
    assert list(map(repr, found)) == list(map(repr, expected))


def normal(key: Any) -> Any:
    """-0.0 is 0.0, in tuples too."""
    if isinstance(key, tuple):
        return tuple(map(normal, key))
    return key + 0.0 if isinstance(key, float) else key


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from([2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 2**70, -(2**70)])
    | st.floats(allow_nan=False)
    | st.sampled_from([0.0, -0.0, 1.0])
    | st.text(max_size=3)
    | st.binary(max_size=3)
)
KEYS = SCALARS | st.lists(SCALARS | st.tuples(SCALARS), max_size=2).map(tuple)
VALUES = st.recursive(
    SCALARS | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.lists(inner, max_size=2).map(tuple)
        | st.dictionaries(st.text(max_size=2), inner, max_size=2)
    ),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(KEYS, VALUES), max_size=30), st.integers(1, 12), st.integers(1, 4))
def test_random_keys_and_values_arrive_as_they_were(
    pairs: list[Pair], mappers: int, reducers: int
) -> None:
    result = job(pairs)(mappers=mappers, reducers=reducers)
    found = sorted(result.pairs, key=lambda pair: rank(pair[0]))
    expected = [(normal(key), values) for key, values in grouped(pairs)]
    assert list(map(repr, found)) == list(map(repr, expected))
    for part in result.parts:
        assert part.endswith(b"\n") or not part
    assert result.ledger.reduce_in == len(pairs)
    assert result.ledger.reduce_groups == len(expected)


ONES: list[Any] = [1, 1.0, True, "1", (1,), (1.0,), (True,), ("1",)]


def add(ctx: gomr.Context, key: Any, values: list[int]) -> None:
    ctx.emit(key, sum(values))


@pytest.mark.parametrize("combiner", [None, add, gomr.sum])
@pytest.mark.parametrize("reducer", [add, gomr.sum])
@pytest.mark.parametrize("how", ["emit", "emit_many", "count", "yield"])
def test_equal_python_objects_of_other_types_are_other_keys(
    combiner: Any, reducer: Any, how: str
) -> None:
    def mapper(ctx: gomr.Context, line: str) -> Any:
        if how == "emit":
            for key in ONES:
                ctx.emit(key, 1)
        elif how == "emit_many":
            ctx.emit_many((key, 1) for key in ONES)
        elif how == "count":
            ctx.count(ONES)
        else:
            return ((key, 1) for key in ONES)
        return None

    def generator(ctx: gomr.Context, line: str) -> Iterator[Pair]:
        yield from mapper(ctx, line)

    config = gomr.MapReduceConfig(
        mapper=generator if how == "yield" else mapper,
        reducer=reducer,
        combiner=combiner,
        input=gomr.lines,
    )
    result = run_local(config, "x\n" * 7)
    check(result, [(key, 7) for key, _ in grouped([(key, 0) for key in ONES])])


@pytest.mark.parametrize("reducer", [gomr.count, gomr.sum])
def test_the_parts_of_the_ones_in_text_form_are_six_lines(reducer: Any) -> None:
    lines = b"".join(job([(key, 1) for key in ONES], reducer)().parts).decode().splitlines()
    expected = ["1\t1", "1.0\t1", "true\t1", "1\t1", "[1]\t1", "[1.0]\t1", "[true]\t1", '["1"]\t1']
    assert sorted(lines) == sorted(expected)


@pytest.mark.parametrize("combiner", [None, add, gomr.sum])
@pytest.mark.parametrize("reducer", [add, gomr.sum])
@pytest.mark.parametrize(
    "values",
    [[2**63 - 1, 1], [-(2**63), -1], [2**62] * 9, [2**70, -(2**70), 5], [2**64, -1], [10**40, 1]],
)
def test_sums_leave_64_bits(combiner: Any, reducer: Any, values: list[int]) -> None:
    pairs = [("k", value) for value in values] * 3 + [("small", 1)]
    expected = [("k", 3 * sum(values)), ("small", 1)]
    check(job(pairs, reducer, combiner=combiner)(), expected)


def test_zeros_are_one_key_and_floats_that_print_alike_are_two() -> None:
    pairs = [(0.0, "a"), (-0.0, "b"), (0, "c"), ((-0.0,), "d"), ((0.0,), "e"), (0.1 + 0.2, 0)]
    pairs += [(0.3, 1), (float("inf"), 2), (float("-inf"), 3)]
    expected: list[Pair] = [
        (0, ["c"]),
        (float("-inf"), [3]),
        (0.0, ["a", "b"]),
        (0.3, [1]),
        (0.1 + 0.2, [0]),
        (float("inf"), [2]),
        ((0.0,), ["d", "e"]),
    ]
    check(job(pairs)(), expected)


class Colour(enum.IntEnum):
    RED = 1


class Text(str):
    __slots__ = ()


BAD_KEYS = [
    (float("nan"), "may not be NaN"),
    ((1, float("nan")), "may not be NaN"),
    ("a\ud800", "lone surrogate"),
    (("a\ud800",), "lone surrogate"),
    (np.int64(1), r"emit key\.item\(\)"),
    (np.float64(1), r"a subclass of float: emit key\.item\(\)"),
    (np.str_("a"), r"a subclass of str: emit key\.item\(\)"),
    (Colour.RED, r"Colour, a subclass of int: emit key\.value"),
    (Text("a"), r"a subclass of str: emit str\(key\)"),
    (["a"], "a key may not be list"),
    ({"a"}, "a key may not be set"),
]


@pytest.mark.parametrize("reducer", [gather, gomr.sum, None])
@pytest.mark.parametrize(("key", "reason"), BAD_KEYS)
def test_U10_what_cannot_be_a_key_is_refused_with_file_and_record(
    key: Any, reason: str, reducer: Any
) -> None:
    mapper, text = emitter([("ok", 1)] * 20 + [(key, 1)] + [("ok", 1)] * 5)
    config = gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines)
    with pytest.raises(RecordFailed, match=reason) as caught:
        run_local(config, {"dir/f.txt": text}, mappers=1)
    assert str(caught.value).startswith("dir/f.txt, record at byte 50 (record 20 of map-0): ")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("a\ud800", "lone surrogate"),
        (["a\ud800"], "lone surrogate"),
        (np.int64(1), r"value\.item\(\)"),
        (Colour.RED, r"emit value\.value"),
        ({1}, "may not be set"),
        ({1: 2}, "str keys"),
        ([[object()]], "may not hold object"),
    ],
)
def test_U10_what_cannot_be_a_value_is_refused_with_file_and_record(
    value: Any, reason: str
) -> None:
    mapper, text = emitter([("ok", 1)] * 20 + [("bad", value)] + [("ok", 1)] * 5)
    config = gomr.MapReduceConfig(mapper=mapper, reducer=gather, input=gomr.lines)
    with pytest.raises(RecordFailed, match=reason) as caught:
        run_local(config, {"f.txt": text}, mappers=1)
    assert str(caught.value).startswith("f.txt, record at byte 50 (record 20 of map-0): ")


@pytest.mark.parametrize("how", ["emit", "emit_many", "yield"])
@pytest.mark.parametrize("stage", ["map", "combine", "reduce"])
def test_a_value_changed_after_emit_arrives_as_it_was(how: str, stage: str) -> None:
    def states() -> Iterator[Pair]:
        held: list[Any] = []
        named: dict[str, Any] = {"held": held}
        for i in range(3):
            held.append(i)
            yield i, held
            yield 10 + i, named
        held.clear()
        named["held"] = "gone"

    def everything(ctx: gomr.Context, *_: Any) -> None:
        if how == "emit_many":
            ctx.emit_many(states())
        else:
            for key, value in states():
                ctx.emit(key, value)

    def yielding(ctx: gomr.Context, *_: Any) -> Iterator[Pair]:
        yield from states()

    def combining(ctx: gomr.Context, key: int, values: list[Any]) -> None:
        held = [key]
        ctx.emit(key, held)
        held.append(-1)

    changing = yielding if how == "yield" else everything

    def start(ctx: gomr.Context, line: str) -> None:
        ctx.emit(7, 0)
        ctx.emit(7, 0)

    if stage == "map":
        config = gomr.MapReduceConfig(mapper=changing, reducer=gomr.identity, input=gomr.lines)
    elif stage == "reduce":

        def reducer(ctx: gomr.Context, key: int, values: list[int]) -> Any:
            return changing(ctx)

        def yielder(ctx: gomr.Context, key: int, values: list[int]) -> Iterator[Pair]:
            yield from states()

        chosen = yielder if how == "yield" else reducer
        config = gomr.MapReduceConfig(mapper=start, reducer=chosen, input=gomr.lines)
    else:
        config = gomr.MapReduceConfig(
            mapper=start, reducer=gomr.identity, combiner=combining, input=gomr.lines
        )
    found = sorted(run_local(config, "x\n").pairs)
    if stage == "combine":
        assert found == [(7, [7])]
        return
    expected: list[Pair] = [(i, list(range(i + 1))) for i in range(3)]
    expected += [(10 + i, {"held": list(range(i + 1))}) for i in range(3)]
    assert found == expected


@pytest.mark.parametrize("mappers", [1, 2, 7, 40])
def test_values_come_in_input_order_over_splits_files_and_combiners(mappers: int) -> None:
    def mapper(ctx: gomr.Context, line: str) -> None:
        ctx.emit(int(line) % 3, [ctx.source, int(line)])

    def chain(ctx: gomr.Context, key: int, values: list[list[Any]]) -> None:
        for value in values:
            ctx.emit(key, value)

    files = {name: "".join(f"{i}\n" for i in range(90)) for name in ("b", "a", "c")}
    expected = [
        (k, [[name, i] for name in files for i in range(90) if i % 3 == k]) for k in range(3)
    ]
    for combiner in (None, chain):
        config = gomr.MapReduceConfig(
            mapper=mapper, reducer=gather, combiner=combiner, input=gomr.lines
        )
        check(run_local(config, files, mappers=mappers), expected)


SORTED_KEYS: dict[str, list[Any]] = {
    "str": [f"{i * 7919 % 1000:03d}é\U0001f600{i % 3}" for i in range(300)],
    "int": [(i * 7919) % 1009 * (-1) ** i for i in range(300)] + [2**80, -(2**80)],
    "float": [((i * 7919) % 1009 - 500) / 8 for i in range(300)],
    "tuple": [(i % 7, str(i % 11)) if i % 3 else (i % 7,) for i in range(300)],
    "mixed": [*range(50), *map(str, range(50)), *[i / 2 for i in range(50)], True, b"x"],
    "none": [None] * 40 + [1, "a"] + [False] * 40,
    "one": ["k"] * 50,
    "few": ["a", "b"],
}


@pytest.mark.parametrize("name", SORTED_KEYS)
@pytest.mark.parametrize("reducers", [1, 2, 5])
def test_total_order_gives_parts_that_are_sorted_end_to_end(name: str, reducers: int) -> None:
    keys = SORTED_KEYS[name]
    shuffled = random.Random(4).sample(keys, len(keys))
    run = job([(key, i) for i, key in enumerate(shuffled)], partitioner=gomr.total_order)
    first = run(reducers=reducers, mappers=3)
    assert first.pairs == grouped([(key, i) for i, key in enumerate(shuffled)])
    assert len(first.parts) == reducers
    if name in ("str", "int", "float") and reducers > 1:
        assert min(part.count(b"\n") for part in first.parts) > 0.5 * len(set(keys)) / reducers
    for mappers in (1, 2, 11):
        assert run(reducers=reducers, mappers=mappers).parts == first.parts


def test_a_partitioner_decides_which_part_a_key_goes_to() -> None:
    asked: list[tuple[Any, int]] = []

    def by_first(key: tuple[int, str], n: int) -> int:
        asked.append((key, n))
        return key[0] % n

    pairs: list[Pair] = [((i % 5, str(i)), i) for i in range(40)]
    result = job(pairs, gomr.identity, partitioner=by_first)(reducers=3)
    found = iter(result.pairs)
    for p, part in enumerate(result.parts):
        mine = list(itertools.islice(found, part.count(b"\n")))
        assert mine == sorted(pair for pair in pairs if pair[0][0] % 3 == p)
    assert set(asked) == {(key, 3) for key, _ in pairs}


@pytest.mark.parametrize("answer", [-1, 2, 1.0, True, None, "0", np.int64(1)])
def test_a_partitioner_that_returns_nonsense_fails_the_job(answer: Any) -> None:
    run = job([("k", 1)], partitioner=lambda key, n: answer)
    with pytest.raises(JobFailed, match=r"partitioner\('k', 2\) returned .*an int from 0 to 1"):
        run()


def test_a_partitioner_that_raises_fails_the_job_with_the_users_frames() -> None:
    def partitioner(key: str, n: int) -> int:
        raise LookupError(key)

    with pytest.raises(JobFailed, match=r"partitioner\('k', 2\): LookupError: k") as caught:
        job([("k", 1)], partitioner=partitioner)()
    assert "raise LookupError(key)" in caught.value.detail


@pytest.mark.parametrize("other", ["x", 1.0, True, (1,)])
def test_a_combiner_that_changes_the_key_fails_the_job(other: Any) -> None:
    def combiner(ctx: gomr.Context, key: int, values: list[int]) -> None:
        ctx.emit(other, sum(values))

    with pytest.raises(RecordFailed, match=r"key 1: .*a combiner keeps the key"):
        job([(1, 1), (1, 2)], add, combiner=combiner)(mappers=1)


def test_a_combiner_that_raises_or_emits_nonsense_names_the_key() -> None:
    def raising(ctx: gomr.Context, key: str, values: list[int]) -> None:
        raise LookupError("no")

    def wrong(ctx: gomr.Context, key: str, values: list[int]) -> None:
        ctx.emit(key, "three")

    pairs: list[Pair] = [("k", 1), ("k", 2), ("j", 1)]
    with pytest.raises(RecordFailed, match="combiner, key 'k': LookupError: no"):
        job(pairs, add, combiner=raising)(mappers=1)
    with pytest.raises(RecordFailed, match=r"key 'k': .*'three' is no int"):
        job(pairs, add, combiner=wrong)(mappers=1)
