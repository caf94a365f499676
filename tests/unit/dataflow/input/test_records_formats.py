"""jsonl and csv: the parsed records, and which line is to blame when one cannot be parsed."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gomr_runtime.api import formats
from gomr_runtime.dataflow.input.block import Block
from gomr_runtime.dataflow.input.reader import offset_of_record, read_blocks
from gomr_runtime.errors import DataError, RecordFailed
from gomr_runtime.model.inputs.files import InputFile, Piece
from gomr_runtime.model.job import Format
from tests.unit.support.bytes_blob import BytesBlob
from tests.unit.support.planned import plan_splits

BOM = b"\xef\xbb\xbf"
UNQUOTED = formats.csv(quoted_newlines=False)


def read(
    data: bytes, record_format: Format, tasks: int = 1, block_bytes: int = 1 << 18
) -> list[Block]:
    """Every block, read by `tasks` tasks, after a look at the books."""
    plan = plan_splits([InputFile("f", "/f", len(data))], record_format, tasks)
    blob = BytesBlob(data)
    pieces = [piece for task in plan for piece in task]
    blocks = [
        block
        for piece in pieces
        for block in read_blocks(0, piece, blob, record_format, 1 << 20, block_bytes)
    ]
    position = 0
    for block in blocks:
        assert block.offset == position
        position += block.size
    assert position == sum(block.bytes_read for block in blocks) == len(data)
    return blocks


def records(blocks: list[Block]) -> list[Any]:
    return [record for block in blocks for record in block.records]


def causes(blocks: list[Block]) -> list[tuple[int, str]]:
    return [(bad.offset, bad.cause) for block in blocks for bad in block.bad.values()]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(JSON_VALUES, max_size=8),
    st.sampled_from(["\n", "\r\n", "\n\n", "\n \t\r\n"]),
    st.integers(1, 9),
    st.integers(1, 40),
    st.booleans(),
)
def test_jsonl_gives_the_values(
    values: list[Any], end: str, tasks: int, block_bytes: int, ascii_only: bool
) -> None:
    data = end.join(json.dumps(value, ensure_ascii=ascii_only) for value in values).encode()
    blocks = read(data, formats.jsonl, tasks, block_bytes)
    assert records(blocks) == values
    assert not causes(blocks)
    empty = max(0, len(values) - 1) if end.strip("\r") != "\n" else 0
    assert sum(block.skipped for block in blocks) == empty


@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (b"{", "not JSON"),
        (b"1,2", "Extra data"),
        (b"[1", "not JSON"),
        (b"NaN", "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'"\xff"', "invalid UTF-8 at byte 5"),
        (b"[" * 100_000, "nested too deeply"),
        (b"\x85 1", "invalid UTF-8 at byte 4"),
        ("\u2028 1".encode(), "not JSON"),
    ],
)
def test_jsonl_sets_the_bad_line_alone_apart(line: bytes, cause: str) -> None:
    data = b"\n1\r\n" + line + b'\n{"a": [2]}\n'
    (block,) = read(data, formats.jsonl)
    assert block.records == [1, None, {"a": [2]}]
    assert block.skipped == 1
    ((offset, why),) = causes([block])
    assert offset == 4
    assert cause in why
    piece = Piece(InputFile("f", "/f", len(data)), 0, len(data))
    found = [
        offset_of_record(piece, BytesBlob(data), formats.jsonl, 0, n, max_record=1 << 20)
        for n in range(3)
    ]
    assert found == [1, 4, 4 + len(line) + 1]


def test_a_jsonl_line_split_in_two_values_does_not_pair_up_with_its_neighbour() -> None:
    blocks = read(b"[1\n2]\n3,4\n", formats.jsonl)
    assert records(blocks) == [None, None, None]


def oracle(data: bytes) -> list[dict[str, str]]:
    text = data.removeprefix(BOM).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


FIELDS = st.text(st.sampled_from("ab ,\"é\t'"), max_size=4)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(FIELDS, FIELDS), max_size=8),
    st.sampled_from(["\n", "\r\n"]),
    st.integers(1, 9),
    st.integers(1, 40),
    st.sampled_from([b"", BOM]),
)
def test_csv_by_splits_and_as_one_gives_the_rows(
    rows: list[tuple[str, str]], end: str, tasks: int, block_bytes: int, bom: bytes
) -> None:
    out = io.StringIO()
    csv.writer(out, lineterminator=end).writerows([("x", "long column"), *rows])
    data = bom + out.getvalue().encode()
    for record_format in (formats.csv, UNQUOTED):
        blocks = read(data, record_format, tasks, block_bytes)
        assert records(blocks) == oracle(data)
        assert not causes(blocks)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(FIELDS, st.text(st.sampled_from('a\n\r",é'), max_size=6)), max_size=8),
    st.integers(1, 40),
)
def test_csv_fields_may_hold_newlines(rows: list[tuple[str, str]], block_bytes: int) -> None:
    out = io.StringIO()
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows([("x", "two\nlines"), *rows])
    data = out.getvalue().encode()
    blocks = read(data, formats.csv, 3, block_bytes)
    assert records(blocks) == oracle(data) == [{"x": a, "two\nlines": b} for a, b in rows]
    assert not causes(blocks)


@pytest.mark.parametrize("record_format", [formats.csv, UNQUOTED])
@pytest.mark.parametrize(
    ("line", "cause"),
    [
        (b"1", "the row has 1 fields, the header has 2"),
        (b"1,2,3", "the row has 3 fields, the header has 2"),
        (b"1,\xff", "invalid UTF-8 at byte 14"),
        (b"1,2\r3", "not csv"),
    ],
)
def test_csv_sets_the_bad_row_alone_apart(record_format: Format, line: bytes, cause: str) -> None:
    data = b"a,b\r\n\n0,0\r\n\n" + line + b"\n4,5\n"
    (block,) = read(data, record_format)
    assert block.records == [{"a": "0", "b": "0"}, None, {"a": "4", "b": "5"}]
    assert block.skipped == 2
    ((offset, why),) = causes([block])
    assert offset == 12
    assert cause in why


def test_an_open_quote_is_a_bad_record_where_newlines_are_not_quoted() -> None:
    data = b'a,b\n1,"2\n3,4\n5,"6\n'
    (block,) = read(data, UNQUOTED)
    assert block.records == [None, {"a": "3", "b": "4"}, None]
    assert [offset for offset, _ in causes([block])] == [4, 13]
    assert "quote is not closed" in causes([block])[0][1]


def test_a_quote_that_is_never_closed_is_a_bad_record() -> None:
    (block,) = read(b'a,b\n1,2\n1,"2\n3,4\n', formats.csv)
    assert block.records == [{"a": "1", "b": "2"}, None]
    ((offset, why),) = causes([block])
    assert offset == 8
    assert "not closed before the end of the file" in why


def test_a_quoted_record_above_the_limit_ends_the_file() -> None:
    data = b'a,b\n1,"' + b"2\n" * 1000 + b'"\n'
    piece = Piece(InputFile("f", "/f", len(data)), 0, len(data))
    with pytest.raises(RecordFailed, match=r"^f, record at byte 4: .*limit of 100 .*quote left"):
        list(read_blocks(0, piece, BytesBlob(data), formats.csv, 100))


def test_a_csv_field_may_be_as_long_as_a_record() -> None:
    data = b"a\n" + b"x" * 500_000 + b"\n"
    for record_format in (formats.csv, UNQUOTED):
        assert records(read(data, record_format)) == [{"a": "x" * 500_000}]


@pytest.mark.parametrize("record_format", [formats.csv, UNQUOTED])
@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"\na,b\n", "is empty"),
        (b"a,b,a\n1,2,3\n", "names a column twice: a"),
        (b"\xff\n1\n", "invalid|can't decode"),
    ],
)
def test_a_header_that_cannot_be_used_is_named(
    record_format: Format, data: bytes, cause: str
) -> None:
    with pytest.raises(DataError, match=rf"^f: the csv header.*{cause}"):
        read(data, record_format)


@pytest.mark.parametrize("record_format", [formats.csv, UNQUOTED])
@pytest.mark.parametrize("data", [b"", BOM, b"a,b", b"a,b\r\n", BOM + b"a\n"])
def test_csv_without_rows(record_format: Format, data: bytes) -> None:
    assert records(read(data, record_format)) == []
