"""What one mapper or reducer emits comes out in the order of its calls, whichever it uses."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gomr_runtime.api import aggregates, formats
from gomr_runtime.api import config as api
from gomr_runtime.api.context import Context
from gomr_runtime.dataflow.emit import emitter
from gomr_runtime.dataflow.output import native_text
from gomr_runtime.errors import RecordFailed
from tests.unit.support.dataflow_job import Job, Limits

pytestmark = pytest.mark.usefixtures("engine")

Step = tuple[str, Any]
Rows = list[tuple[str, Any]]
KEYS = st.sampled_from(["a", "b\t", "c"])
VALUES = st.sampled_from([1, 2, 0.5, "text", None, 2**70])
"""Some are written as lines at once, the others go through the emitter."""
ROWS = st.lists(st.tuples(KEYS, VALUES), max_size=5)
STEPS = st.one_of(
    st.tuples(st.just("emit"), st.tuples(KEYS, VALUES)),
    st.tuples(st.sampled_from(["many", "generator", "emits inside", "counts inside"]), ROWS),
    st.tuples(st.sampled_from(["hoisted", "kept"]), ROWS),
    st.tuples(st.sampled_from(["count", "count lazily", "batch"]), st.lists(KEYS, max_size=5)),
    st.tuples(st.just("raises"), ROWS),
)
RECORDS = st.lists(st.lists(STEPS, max_size=4), min_size=1, max_size=12)


def _raising(rows: Rows) -> Iterator[tuple[str, Any]]:
    yield from rows
    raise LookupError


def _emitting(ctx: Context, rows: Rows) -> Iterator[tuple[str, Any]]:
    for key, value in rows:
        yield key, value
        ctx.emit("inside", value)


def _counting(ctx: Context, rows: Rows) -> Iterator[str]:
    for key, value in rows:
        yield key
        ctx.emit(key, value)


def _raise_and_go_on(ctx: Context, rows: Rows) -> None:
    try:
        ctx.emit_many(_raising(rows))
    except LookupError:
        ctx.emit("raised", len(rows))


_kept: list[Callable[..., None]] = []


def _keep(ctx: Context, rows: Rows) -> None:
    """By a `ctx.emit` that an earlier record has kept."""
    if not _kept:
        _kept.append(ctx.emit)
    _hoist(ctx, rows, _kept[0])


def _hoist(ctx: Context, rows: Rows, emit: Callable[..., None] | None = None) -> None:
    emit = emit or ctx.emit
    for key, value in rows:
        emit(key, value)


TAKE: dict[str, Callable[[Context, Any], Any]] = {
    "emit": lambda ctx, row: ctx.emit(*row),
    "many": lambda ctx, rows: ctx.emit_many(rows),
    "generator": lambda ctx, rows: ctx.emit_many(row for row in rows),
    "emits inside": lambda ctx, rows: ctx.emit_many(_emitting(ctx, rows)),
    "counts inside": lambda ctx, rows: ctx.count(_counting(ctx, rows)),
    "count": lambda ctx, keys: ctx.count(keys),
    "count lazily": lambda ctx, keys: ctx.count(key for key in keys),
    "batch": lambda ctx, keys: ctx.emit_batch(pa.array(keys, pa.string()), 7),
    "hoisted": _hoist,
    "kept": _keep,
    "raises": _raise_and_go_on,
}


def _expected(kind: str, what: Any) -> Rows:
    if kind == "emit":
        return [what]
    if kind == "emits inside":
        return [pair for key, value in what for pair in ((key, value), ("inside", value))]
    if kind == "counts inside":
        return [pair for key, value in what for pair in ((key, 1), (key, value))]
    if kind in ("count", "count lazily", "batch"):
        return list(zip(what, repeat(7 if kind == "batch" else 1)))
    return [*what, ("raised", len(what))] if kind == "raises" else list(what)


def _text(rows: Rows) -> bytes:
    cells = {None: "null"}
    return "".join(
        "{}\t{}\n".format(key.replace("\t", "\\t"), cells.get(value, value)) for key, value in rows
    ).encode()


def _grouped(rows: Rows) -> bytes:
    """What `_gather` makes of the pairs."""
    found: dict[str, list[Any]] = {}
    for key, value in rows:
        found.setdefault(key, []).append(value)
    return _text([(key, str(found[key])) for key in sorted(found)])


def _gather(ctx: Context, key: str, values: list[Any]) -> None:
    ctx.emit(key, str(values))


def _run(records: list[list[Step]], limits: Limits, who: str) -> bytes:
    """All records by one task: as a mapper of a map-only job, as a reducer a key, or as a mapper
    whose pairs are grouped by key."""

    def act(ctx: Context, record: int) -> None:
        for kind, what in records[record]:
            TAKE[kind](ctx, what)

    if who == "reducer":
        config = api.MapReduceConfig(
            mapper=lambda ctx, line: ctx.emit(int(line), 0),
            reducer=lambda ctx, key, values: act(ctx, key),
            input=formats.lines,
        )
    else:
        config = api.MapReduceConfig(
            mapper=lambda ctx, line: act(ctx, int(line)),
            reducer=_gather if who == "mapper" else None,
            input=formats.lines,
        )
    _kept.clear()
    with tempfile.TemporaryDirectory() as folder:
        return Job(Path(folder), config, len(records), limits=limits).run().parts[0]


@pytest.mark.parametrize("who", ["mapper", "mapper alone", "reducer"])
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@example(records=[[("emit", ("a", 1)), ("count", ["b"]), ("emit", ("c", 1))]], drain=1, worth=0)
@example(
    records=[[("emit", ("a", 0.5)), ("many", [("b", 1)] * 5), ("emit", ("c", 1))]], drain=2, worth=0
)
@given(records=RECORDS, drain=st.sampled_from([1, 2, 5, 8_192]), worth=st.sampled_from([0, 2, 256]))
def test_the_order_of_the_calls_is_the_order_of_the_pairs(
    who: str, records: list[list[Step]], drain: int, worth: int
) -> None:
    rows = [row for record in records for step in record for row in _expected(*step)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(native_text, "WORTHWHILE", worth)
        patch.setattr(native_text, "TEXT_BYTES", 64)
        patch.setattr(emitter, "MOST_PAIRS", drain)
        expected = _grouped(rows) if who == "mapper" else _text(rows)
        assert _run(records, Limits(drain_pairs=drain), who) == expected


def _summed(folder: Path, count: Callable[[Context], None]) -> str:
    """One record, counted within a `try`; then it emits."""

    def mapper(ctx: Context, line: str) -> None:
        try:
            count(ctx)
        except (LookupError, TypeError):
            ctx.emit("raised", 1)
        ctx.emit("z", 1)

    config = api.MapReduceConfig(mapper=mapper, reducer=aggregates.sum, input=formats.lines)
    return Job(folder, config, 1).run().text


def test_what_was_counted_before_an_error_counts(tmp_path: Path) -> None:
    rows: Rows = [("a", 1), ("b", 1)]
    found = _summed(tmp_path, lambda ctx: ctx.count(key for key, _ in _raising(rows)))
    assert found == "a\t1\nb\t1\nraised\t1\nz\t1\n"


def test_a_bad_key_that_is_counted_is_the_records_whatever_user_code_catches(
    tmp_path: Path,
) -> None:
    with pytest.raises(RecordFailed, match=r"input, record at byte 0 .* a key may not be list"):
        _summed(tmp_path, lambda ctx: ctx.count(["a", [1], "b"]))
