"""Parts that are stored again under the types of the job: verified, repeatable, any number."""

from __future__ import annotations

import hashlib
import io
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gomr_runtime.errors import CorruptBlock, PartLost
from gomr_runtime.laws.columns import untyped
from gomr_runtime.master.journal import Journal
from gomr_runtime.master.typed_parts import typed_parts
from gomr_runtime.model import layout
from gomr_runtime.model.summary import Part
from gomr_runtime.model.task import ColumnType
from gomr_runtime.storage.memory import MemoryStore
from gomr_runtime.storage.parallel import at_once

TYPES = (ColumnType("key", "str", "'a'"), ColumnType("value", "int", "'a'"))
SCHEMA = pa.schema([("key", pa.string()), ("value", pa.int64())])


def stored(store: MemoryStore, name: str, rows: int) -> Part:
    """A part as a task writes it: all values None, no keys where it has no rows."""
    keys = pa.array(["k"] * rows) if rows else pa.nulls(0)
    table = pa.table({"key": keys, "value": pa.nulls(rows)})
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=3)
    data = sink.getvalue()
    store.put(f"at/{name}", data)
    return Part(name, f"at/{name}", len(data), rows, hashlib.sha256(data).hexdigest())


def test_parts_get_the_types_and_say_what_they_are_then() -> None:
    store = MemoryStore()
    parts = [stored(store, f"output-{i:05}.parquet", rows) for i, rows in enumerate([0, 8, 0, 1])]
    made = typed_parts(store, parts, TYPES, "new/{}".format, at_once)
    assert [(part.name, part.records) for part in made] == [(p.name, p.records) for p in parts]
    for before, part in zip(parts, made, strict=True):
        data = store.get(part.key)
        assert (part.size, part.sha256) == (len(data), hashlib.sha256(data).hexdigest())
        table = pq.read_table(io.BytesIO(data))
        assert table.schema.equals(SCHEMA)
        assert table.to_pylist() == [{"key": "k", "value": None}] * before.records
        assert hashlib.sha256(store.get(before.key)).hexdigest() == before.sha256
    again = typed_parts(store, parts, TYPES, "other/{}".format)
    assert [part.sha256 for part in again] == [part.sha256 for part in made]


def test_two_masters_make_the_same_parts_under_keys_of_their_own() -> None:
    store = MemoryStore()
    parts = [stored(store, "output-00000.parquet", 2)]
    made = []
    for _ in range(2):
        journal = Journal(store, "run-1")
        journal.take_epoch()
        made.append(journal.type_parts(parts, TYPES)[0])
    assert made[0].key != made[1].key
    assert made[0].sha256 == made[1].sha256
    assert made[1].key == layout.typed_part("run-1", 2, "output-00000.parquet")


@pytest.mark.parametrize("rows", [0, 8])
def test_a_part_that_is_damaged_or_gone_is_not_passed_on(rows: int) -> None:
    store = MemoryStore()
    part = stored(store, "output-00000.parquet", rows)
    data = bytearray(store.get(part.key))
    for position in (4, len(data) // 2, len(data) - 1):
        damaged = bytes(data[:position]) + bytes([data[position] ^ 1]) + bytes(data[position + 1 :])
        store.put(part.key, damaged)
        with pytest.raises(CorruptBlock, match="is not what its task wrote"):
            typed_parts(store, [part], TYPES, "new/{}".format)
    store.put(part.key, bytes(data[:-1]))
    with pytest.raises(CorruptBlock, match=f"{len(data) - 1} bytes"):
        typed_parts(store, [part], TYPES, "new/{}".format)
    store.delete(part.key)
    with pytest.raises(PartLost, match=r"output-00000\.parquet: at/output-00000"):
        typed_parts(store, [part], TYPES, "new/{}".format)
    assert not list(store.list("new/"))


def test_only_parts_that_lack_a_type_are_stored_again() -> None:
    column = partial(ColumnType, "value")
    parts = [[column("int", "'a'")], [column()], []]
    assert untyped(parts, [column("int", "'a'")]) == [1]
    assert untyped(parts, [column()]) == []
