"""Whole jobs against a sequential reference, with limits so small that every path is taken."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gomr_runtime.api import aggregates
from gomr_runtime.api.config import total_order
from gomr_runtime.api.context import Context
from gomr_runtime.dataflow.output.part import PartWriter
from gomr_runtime.dataflow.pairs.hashing import partition_one
from gomr_runtime.dataflow.pairs.keys import decode, encode
from tests.unit.support.dataflow_job import Job, Limits, Outcome, Pair, config_of
from tests.unit.support.dataflow_strategies import KEYS, SCALAR_KEYS, VALUES

pytestmark = pytest.mark.usefixtures("engine")

Records = list[list[Pair]]
JOBS = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
LIMITS = st.builds(
    Limits,
    small_rows=st.sampled_from([0, 3, 32_768]),
    frame_rows=st.sampled_from([1, 2, 16_384]),
    frame_bytes=st.sampled_from([1, 64, 512 * 1024]),
    giant_rows=st.sampled_from([1, 3, 65_536]),
    drain_pairs=st.sampled_from([1, 5, 65_536]),
    budget=st.sampled_from([1, 300, 64 << 20]),
    widest=st.sampled_from([2, 3, 256]),
)


def records_of(keys: st.SearchStrategy[Any], values: st.SearchStrategy[Any]) -> Any:
    return st.lists(keys, min_size=1, max_size=6).flatmap(
        lambda some: st.lists(
            st.lists(st.tuples(st.sampled_from(some), values), max_size=4), max_size=30
        )
    )


def reducer(ctx: Context, key: Any, values: list[Any]) -> None:
    ctx.emit(key, list(values))


def streaming(ctx: Context, key: Any, values: Iterator[Any]) -> None:
    ctx.emit(key, list(values))


def expected(records: Records, reducers: int) -> list[bytes]:
    """The parts, by a dict from encoded key to values in input order."""
    found: dict[bytes, list[Any]] = {}
    for record in records:
        for key, value in record:
            found.setdefault(encode(key), []).append(value)
    parts: list[bytes] = []
    for part in range(reducers):
        written: list[bytes] = []
        writer = PartWriter("text", "part", Sink(written))
        for encoded in sorted(found):
            if partition_one(encoded[0], encoded[1:], reducers) == part:
                kept: tuple[list[Any], list[Any]] = ([], [])
                ctx = Context({}, "")
                bind(ctx, kept)
                reducer(ctx, decode(encoded), found[encoded])
                writer.add(*kept)
        writer.finish()
        parts.append(b"".join(written))
    return parts


class Sink:
    def __init__(self, into: list[bytes]) -> None:
        self.write = into.append

    def set_aside(self) -> Path:
        raise NotImplementedError


def bind(ctx: Context, kept: tuple[list[Any], list[Any]]) -> None:
    from gomr_runtime.dataflow.pairs.values import freeze

    def emit(key: Any, value: Any) -> None:
        kept[0].append(key)
        kept[1].append(freeze(value))

    ctx.emit = emit


def run(records: Records, **fields: Any) -> Outcome:
    settings = {
        name: fields.pop(name)
        for name in ("mappers", "reducers", "limits", "output_format", "skip")
        if name in fields
    }
    with tempfile.TemporaryDirectory() as folder:
        return Job(Path(folder), config_of(records, **fields), len(records), **settings).run()


@JOBS
@given(records_of(KEYS, VALUES), LIMITS, st.integers(1, 4), st.integers(1, 3), st.booleans())
def test_a_job_is_what_a_dict_would_make_of_it(
    records: Records, limits: Limits, mappers: int, reducers: int, stream: bool
) -> None:
    got = run(
        records,
        reducer=streaming if stream else reducer,
        limits=limits,
        mappers=mappers,
        reducers=reducers,
    )
    assert got.parts == expected(records, reducers)
    pairs = sum(map(len, records))
    assert got.ledger.map_out == got.ledger.written == got.ledger.reduce_in == pairs
    assert got.ledger.records_read == got.ledger.mapped == len(records)


@JOBS
@given(records_of(SCALAR_KEYS, st.integers() | st.floats(width=32, allow_nan=False)), LIMITS)
def test_a_sum_is_the_same_however_it_is_combined(records: Records, limits: Limits) -> None:
    plain = run(records, reducer=aggregates.sum)
    for mappers in (1, 3):
        combined = run(records, reducer=aggregates.sum, limits=limits, mappers=mappers)
        assert combined.parts == plain.parts
        assert combined.ledger.combine_in == combined.ledger.map_out
        assert combined.ledger.combine_out == combined.ledger.written


@pytest.mark.parametrize(
    "aggregate",
    [aggregates.min, aggregates.max, aggregates.top(2), aggregates.distinct, aggregates.count],
    ids=str,
)
@settings(JOBS, max_examples=8)
@example(records=[[(None, 0), ("a", 0), ("a", 0.0)]], limits=Limits(small_rows=0))
@given(
    records=records_of(
        SCALAR_KEYS, st.integers(-2, 2) | st.booleans() | st.sampled_from([0.0, -0.0, 1.0, 1.5])
    ),
    limits=LIMITS,
)
def test_built_ins_do_not_depend_on_splits(
    aggregate: aggregates.Aggregate, records: Records, limits: Limits
) -> None:
    plain = run(records, reducer=aggregate)
    for mappers in (1, 4):
        assert run(records, reducer=aggregate, limits=limits, mappers=mappers).parts == plain.parts


def joined(ctx: Context, key: Any, values: list[Any]) -> None:
    ctx.emit(key, "".join(values))


@JOBS
@given(records_of(SCALAR_KEYS, st.text("ab", max_size=2)), LIMITS, st.integers(1, 4))
def test_a_users_combiner_keeps_the_order(records: Records, limits: Limits, mappers: int) -> None:
    """Joining is associative and not commutative, so any change of order shows."""
    plain = run(records, reducer=joined)
    combined = run(records, reducer=joined, combiner=joined, limits=limits, mappers=mappers)
    assert combined.parts == plain.parts
    assert combined.ledger.combine_in == combined.ledger.map_out


@JOBS
@given(records_of(KEYS, st.integers(0, 9)), LIMITS, st.integers(1, 4), st.integers(1, 4))
def test_total_order_puts_the_parts_end_to_end(
    records: Records, limits: Limits, mappers: int, reducers: int
) -> None:
    one = run(records, reducer=aggregates.identity)
    many = run(
        records,
        reducer=aggregates.identity,
        partitioner=total_order,
        limits=limits,
        mappers=mappers,
        reducers=reducers,
    )
    assert b"".join(many.parts) == b"".join(one.parts)


@pytest.mark.parametrize("output_format", ["text", "jsonl", "csv", "parquet"])
def test_every_format_is_byte_identical(
    output_format: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gomr_runtime.dataflow.output.parquet_part.GROUP_ROWS", 50)
    records: Records = [[(f"w{i * j % 97}", j)] * 2 for i in range(40) for j in range(20)]
    tiny = Limits(small_rows=10, frame_rows=7, drain_pairs=11, budget=400, widest=3, giant_rows=5)
    whole = run(records, reducer=aggregates.sum, output_format=output_format)
    for mappers in (1, 6):
        cut = run(
            records,
            reducer=aggregates.sum,
            output_format=output_format,
            limits=tiny,
            mappers=mappers,
        )
        assert cut.parts == whole.parts


@pytest.mark.parametrize("key", ["k", 7, 2**70, None, (1, "a"), b"\x00"], ids=repr)
def test_one_key_for_everything(key: Any) -> None:
    records: Records = [[(key, i)] for i in range(500)]
    limits = Limits(small_rows=5, frame_rows=4, budget=900, widest=2, giant_rows=10)
    got = run(records, reducer=streaming, limits=limits, mappers=3)
    assert got.parts == expected(records, 1)
    assert got.ledger.reduce_groups == 1


def test_keys_and_values_larger_than_a_frame() -> None:
    records: Records = [
        [("k" * 5_000 + str(i % 7), "v" * (i * 400)), (i % 3, b"x" * 3_000)] for i in range(40)
    ]
    limits = Limits(small_rows=0, frame_bytes=1_000, budget=20_000, widest=2, giant_rows=4)
    assert run(records, reducer=reducer, limits=limits, mappers=4, reducers=2).parts == expected(
        records, 2
    )


def test_values_keep_what_they_were_at_emit() -> None:
    def mapper(ctx: Context, line: str) -> None:
        value = [1]
        ctx.emit("a", value)
        value.append(2)
        ctx.emit_many([("a", value)])
        value.append(3)

    with tempfile.TemporaryDirectory() as folder:
        config = config_of([], reducer=reducer)
        config = type(config)(mapper=mapper, reducer=reducer, input=config.input)
        assert Job(Path(folder), config, 1).run().text == "a\t[[1],[1,2]]\n"


def test_sums_beyond_64_bits_and_of_thousands_of_digits() -> None:
    huge = 10**5_000
    records: Records = [[("a", 2**62)]] * 9 + [[("b", huge)]] * 2 + [[("c", 1)]]
    got = run(records, reducer=aggregates.sum, mappers=3)
    assert got.text == f"a\t{9 * 2**62}\nb\t{2 * huge}\nc\t1\n"


@pytest.mark.parametrize("combiner", [None, aggregates.distinct], ids=str)
def test_four_keys_that_python_takes_for_one(combiner: Any) -> None:
    """Also where one kind ends and the next begins in the middle of giant groups."""
    records: Records = [[(key, i) for key in (1.0, "1", True, 1, (1,), (1.0,))] for i in range(9)]
    for limits in (Limits(), Limits(small_rows=0, frame_rows=2, giant_rows=1, budget=300)):
        got = run(records, reducer=streaming, combiner=combiner, limits=limits, mappers=2)
        assert got.parts == expected(records, 1)
        assert got.ledger.reduce_groups == 6


def _of_ints(ctx: Context, key: Any, values: list[int]) -> None:
    ctx.emit(key, values[0])


def test_a_count_takes_any_values_whatever_the_combiner_that_it_needs_not(tmp_path: Path) -> None:
    config = config_of([[("k", 1.5), ("k", "a")]], reducer=aggregates.count, combiner=_of_ints)
    assert Job(tmp_path, config, 1).run().text == "k\t2\n"
