"""Splitting and reading never cut, lose or double a record. The oracle is `data.split(b"\\n")`."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gomr_runtime.api import formats
from gomr_runtime.dataflow.input.block import Block, refusal
from gomr_runtime.dataflow.input.reader import offset_of_record, read_blocks
from gomr_runtime.errors import DataError, RecordFailed
from gomr_runtime.model.inputs.files import InputFile, Piece
from gomr_runtime.model.job import Format
from tests.unit.support.bytes_blob import BytesBlob
from tests.unit.support.planned import plan_splits

BOM = b"\xef\xbb\xbf"
LIMIT = 64 << 20

SMALL = {
    "lf": b"one\ntwo\nthree\n",
    "crlf": b"one\r\ntwo\r\n\r\nthree\r\n",
    "mixed": b"one\r\ntwo\nthree\r\r\nfour\rfive\n",
    "no final newline": b"one\ntwo\nthree",
    "final cr": b"one\r\ntwo\r",
    "empty lines": b"\n\none\n\n\ntwo\n\n",
    "only newlines": b"\n\n\n",
    "one byte": b"x",
    "nul": b"a\0b\n\0\nc\n",
    "vertical": "a\x0bb\x0cc\x1cd\x85e\u2028f\u2029g\nh\x85\n".encode(),
    "huge line": b"a\n" + b"x" * 90 + b"\nb\n",
    "only a huge line": b"x" * 60,
    "bom": BOM + b"one\ntwo\n",
    "bom only": BOM,
    "bom and newline": BOM + b"\n" + BOM + b"x\n",
    "multibyte": "äöü\n日本語\n🙂🙂\nß".encode(),
    "empty": b"",
}


def of(data: bytes, source: str = "f") -> InputFile:
    return InputFile(source, "/" + source, len(data))


def line_table(data: bytes) -> list[tuple[int, bytes]]:
    """The oracle: every line with its offset and without its end."""
    offset = len(BOM) if data.startswith(BOM) else 0
    lines = data[offset:].split(b"\n")
    last = lines.pop()
    table = []
    for line in lines:
        table.append((offset, line.removesuffix(b"\r")))
        offset += len(line) + 1
    return [*table, (offset, last)] if last else table


def read(
    data: bytes,
    pieces: Sequence[Piece],
    record_format: Format,
    block_bytes: int = 1 << 18,
    max_record: int = LIMIT,
) -> list[Block]:
    """Every block of the pieces, after a look at the books."""
    blob = BytesBlob(data)
    blocks = [
        block
        for index, piece in enumerate(pieces)
        for block in read_blocks(index, piece, blob, record_format, max_record, block_bytes)
    ]
    position = 0
    for block in blocks:
        assert block.offset == position
        position += block.size
        if record_format.name != "chunk":
            assert block.lines == len(block.records)
    assert position == sum(block.bytes_read for block in blocks) == len(data)
    return blocks


def records(blocks: Sequence[Block]) -> list[object]:
    return [record for block in blocks for record in block.records]


def cuts(data: bytes, *offsets: int) -> list[Piece]:
    bounds = [0, *sorted(offsets), len(data)]
    return [Piece(of(data), a, b) for a, b in itertools.pairwise(bounds) if a < b]


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("block_bytes", [1, 2, 3, 7, 1 << 18])
def test_every_split_offset_gives_exactly_the_lines(name: str, block_bytes: int) -> None:
    data = SMALL[name]
    expected = [line.decode() for _, line in line_table(data)]
    text = data.removeprefix(BOM).decode()
    for offset in range(len(data) + 1):
        pieces = cuts(data, offset)
        assert records(read(data, pieces, formats.lines, block_bytes)) == expected
        chunks = read(data, pieces, formats.chunk, block_bytes)
        assert "".join(map(str, records(chunks))) == text
        assert sum(block.lines for block in chunks) == len(expected)


@pytest.mark.parametrize("name", SMALL)
def test_every_number_of_tasks_gives_exactly_the_lines(name: str) -> None:
    data = SMALL[name]
    expected = [line.decode() for _, line in line_table(data)]
    for tasks in range(1, len(data) + 3):
        pieces = [piece for task in plan_splits([of(data)], formats.lines, tasks) for piece in task]
        assert records(read(data, pieces, formats.lines, 5)) == expected


def test_a_chunk_is_whole_lines_with_their_ends() -> None:
    data = SMALL["crlf"] + SMALL["huge line"] + b"end"
    blocks = read(data, cuts(data, 10, 40), formats.chunk, 16)
    assert len(blocks) >= 5
    assert all(str(chunk).endswith("\n") for chunk in records(blocks)[:-1])
    assert records(blocks)[-1] == "end"


def test_pieces_inside_one_giant_line_read_no_further_than_their_end() -> None:
    class CountingBlob(BytesBlob):
        taken = 0

        def read_at(self, offset: int, length: int) -> bytes:
            data = super().read_at(offset, length)
            self.taken += len(data)
            return data

    data = b"x" * 1_000_000 + b"\n"
    blob = CountingBlob(data)
    assert not list(read_blocks(0, Piece(of(data), 1000, 5000), blob, formats.lines, LIMIT))
    assert blob.taken <= 4001


PLAIN = [b"a", b"b", b"\n", b"\n", b"\r", b"\r\n", b"\0", b'"', b",", b" ", b"1", b"[]"]
WIDE = [BOM, b"\xc3", b"\xa9", b"\xff", *(c.encode() for c in "é\x85\u2028🙂")]
ALPHABET = st.sampled_from(PLAIN + WIDE)
DATA = st.lists(ALPHABET, max_size=40).map(b"".join)


def decodes(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


@settings(max_examples=300, deadline=None)
@given(DATA, st.lists(st.integers(0, 60), max_size=5), st.integers(1, 30), st.integers(3, 12))
def test_lines_of_random_bytes(
    data: bytes, offsets: list[int], block_bytes: int, max_record: int
) -> None:
    pieces = cuts(data, *(min(offset, len(data)) for offset in offsets))
    blocks = read(data, pieces, formats.lines, block_bytes, max_record)
    got = [
        (block.bad[i].offset, None) if i in block.bad else (None, record)
        for block in blocks
        for i, record in enumerate(block.records)
    ]
    table = line_table(data)
    assert len(got) == len(table)
    raw = {offset: data[offset:].split(b"\n")[0] for offset, _ in table}
    for (bad_at, record), (offset, line) in zip(got, table, strict=True):
        start = 0 if offset == len(BOM) and data.startswith(BOM) else offset
        size = len(raw[offset]) + offset - start
        if size > max_record:
            assert bad_at == start
        elif not decodes(line):
            assert bad_at == offset
        else:
            assert record == line.decode()


@settings(max_examples=150, deadline=None)
@given(DATA, st.integers(1, 30), st.sampled_from(["lines", "jsonl", "csv"]), st.booleans())
def test_the_offset_of_every_record_is_found_again(
    data: bytes, block_bytes: int, name: str, quoted: bool
) -> None:
    record_format = Format(name, quoted)
    if name == "csv":
        data = b"h,i\n" + data
    piece = Piece(of(data), 0, len(data))
    blob = BytesBlob(data)
    for block in read_blocks(0, piece, blob, record_format, LIMIT, block_bytes):
        last = -1
        for n, record in enumerate(block.records):
            offset = offset_of_record(piece, blob, record_format, block.offset, n, max_record=LIMIT)
            assert max(last + 1, block.offset) <= offset < block.offset + block.size
            if n in block.bad:
                assert block.bad[n].offset == offset
            elif name == "lines":
                assert data[offset:].startswith(str(record).encode())
            last = offset


def test_invalid_utf8_sets_one_line_apart() -> None:
    data = b"good\nbad \xff line\r\nalso good\n"
    (block,) = read(data, cuts(data), formats.lines)
    assert block.records == ["good", None, "also good"]
    assert block.bad[1].offset == 5
    assert "invalid UTF-8 at byte 9" in block.bad[1].cause
    assert str(refusal(block.bad[1])).startswith("f, record at byte 5: invalid UTF-8 at byte 9")


def test_invalid_utf8_in_a_chunk_names_file_line_and_byte() -> None:
    data = BOM + b"good\nbad \xff line\n"
    with pytest.raises(RecordFailed, match=r"^f, record at byte 8: invalid UTF-8 at byte 12"):
        read(data, cuts(data), formats.chunk)


@pytest.mark.parametrize("size", [99, 100, 101, 102, 5000])
@pytest.mark.parametrize("end", [b"\n", b"", b"\nafter\n", b"\r\nafter"])
@pytest.mark.parametrize("block_bytes", [7, 64, 100, 1 << 18])
def test_the_record_limit_is_exact(size: int, end: bytes, block_bytes: int) -> None:
    data = b"before\n" + b"x" * (size - end.startswith(b"\r")) + end
    blocks = read(data, cuts(data), formats.lines, block_bytes, max_record=100)
    bad = [bad for block in blocks for bad in block.bad.values()]
    got = records(blocks)
    if size <= 100:
        assert not bad
        assert got[1] == "x" * (size - end.startswith(b"\r"))
    else:
        assert [b.offset for b in bad] == [7]
        assert "--max-record" in bad[0].cause
        assert "limit of 100 bytes" in bad[0].cause
        assert got[1] is None
    assert got[0] == "before"
    assert got[2:] == (["after"] if b"after" in end else [])


def test_a_chunk_above_the_record_limit_fails_by_name() -> None:
    data = b"before\n" + b"x" * 5000 + b"\n"
    with pytest.raises(RecordFailed, match=r"^f, record at byte 7: .*limit of 100 .*--max-record"):
        read(data, cuts(data), formats.chunk, max_record=100)


class LongLine(BytesBlob):
    """50 MiB without a newline, made as they are read."""

    def __init__(self) -> None:
        super().__init__(b"")
        self.size = 50 << 20

    def read_at(self, offset: int, length: int) -> bytes:
        return b"x" * min(length, self.size - offset)


@pytest.mark.parametrize("record_format", [formats.lines, formats.whole_file, formats.raw_bytes])
def test_a_giant_record_is_not_kept_in_memory(record_format: Format) -> None:
    blob = LongLine()
    file = InputFile("f", "/f", blob.size)
    tracemalloc.start()
    try:
        (block,) = read_blocks(0, Piece(file, 0, file.size), blob, record_format, 1 << 20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert block.bytes_read == 50 << 20
    assert f"{50 << 20} bytes is above the limit" in block.bad[0].cause
    assert peak < 3 << 20


@pytest.mark.parametrize("text", ["", "one\ntwo\r\n", "\ufeffä"])
def test_whole_file_is_one_record(text: str) -> None:
    data = text.encode()
    pieces = plan_splits([of(data)], formats.whole_file, 3)
    assert pieces == [(Piece(of(data), 0, len(data)),)]
    assert records(read(data, pieces[0], formats.whole_file)) == [text.removeprefix("\ufeff")]
    assert records(read(data, pieces[0], formats.raw_bytes)) == [data]


def test_whole_files_that_cannot_be_taken_are_bad_records() -> None:
    data = BOM + b"abc\xff"
    piece = Piece(of(data), 0, len(data))
    (text,) = read_blocks(0, piece, BytesBlob(data), formats.whole_file, LIMIT)
    assert "invalid UTF-8 at byte 6" in text.bad[0].cause
    for record_format in (formats.whole_file, formats.raw_bytes):
        (large,) = read_blocks(0, piece, BytesBlob(data), record_format, 6)
        assert "7 bytes is above the limit of 6" in large.bad[0].cause
        assert large.bytes_read == 7


@pytest.mark.parametrize("name", ["lines", "chunk", "whole_file", "csv"])
def test_a_file_that_became_shorter_is_named(name: str) -> None:
    file = InputFile("gone.txt", "/gone.txt", 100)
    with pytest.raises(DataError, match=r"gone\.txt: input changed .* byte 6 of 100"):
        list(read_blocks(0, Piece(file, 0, 100), BytesBlob(b"a,b\nc\n"), Format(name), LIMIT))
