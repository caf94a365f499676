"""Compressed input: every member is read, and damage anywhere is an error that names the file."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import tracemalloc
from collections.abc import Callable
from functools import cache

import pytest
import zstandard

from gomr_runtime.api import formats
from gomr_runtime.dataflow.input.block import Block
from gomr_runtime.dataflow.input.decompress import window_of
from gomr_runtime.dataflow.input.reader import offset_of_record, read_blocks
from gomr_runtime.errors import DataError
from gomr_runtime.model.inputs.file_signatures import compression_of
from gomr_runtime.model.inputs.files import InputFile, Piece
from gomr_runtime.model.job import Format
from tests.unit.support.bytes_blob import BytesBlob

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": cache(lambda data: gzip.compress(data, 1)),
    "bz2": cache(lambda data: bz2.compress(data, 1)),
    "xz": cache(lambda data: lzma.compress(data, preset=0)),
    "zstd": cache(zstandard.ZstdCompressor(write_checksum=True).compress),
}
RNG = random.Random(7)
TEXT = (
    "".join(
        " ".join(RNG.choice(["alpha", "beta", "gämma", "δ"]) for _ in range(RNG.randrange(9)))
        + "\n"
        for _ in range(8_000)
    )
    + "no newline after this"
)
DATA = TEXT.encode()


def piece_of(stored: bytes, end: int | None = None) -> Piece:
    file = InputFile("in.z", "/in.z", len(stored), compression_of(stored[:10]))
    assert file.compression
    return Piece(file, 0, len(stored) if end is None else end)


def read(stored: bytes, record_format: Format, block_bytes: int = 1 << 18) -> list[Block]:
    blocks = list(
        read_blocks(0, piece_of(stored), BytesBlob(stored), record_format, 64 << 20, block_bytes)
    )
    assert sum(block.bytes_read for block in blocks) == len(stored)
    return blocks


def records(blocks: list[Block]) -> list[object]:
    return [record for block in blocks for record in block.records]


@pytest.mark.parametrize("kind", COMPRESS)
@pytest.mark.parametrize("block_bytes", [997, 1 << 18])
def test_lines_of_compressed_files(kind: str, block_bytes: int) -> None:
    stored = COMPRESS[kind](DATA)
    blocks = read(stored, formats.lines, block_bytes)
    assert records(blocks) == TEXT.split("\n")
    assert sum(block.size for block in blocks) == len(DATA)
    assert "".join(map(str, records(read(stored, formats.chunk, block_bytes)))) == TEXT
    assert records(read(stored, formats.raw_bytes)) == [DATA]
    assert records(read(stored, formats.whole_file)) == [TEXT]


@pytest.mark.parametrize("kind", COMPRESS)
def test_every_member_is_read_across_cut_lines(kind: str) -> None:
    compress = COMPRESS[kind]
    parts = [DATA[:1], DATA[1:30_001], b"", DATA[30_001:]]
    stored = b"".join(compress(part) for part in parts)
    assert records(read(stored, formats.lines)) == TEXT.split("\n")


def test_zero_padding_and_skippable_frames_are_no_data() -> None:
    assert records(read(gzip.compress(b"a\n") + bytes(700), formats.lines)) == ["a"]
    assert records(read(lzma.compress(b"a\n") + bytes(8), formats.lines)) == ["a"]
    skippable = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"
    stored = skippable + COMPRESS["zstd"](b"a\n") + skippable
    assert records(read(stored, formats.lines)) == ["a"]


@pytest.mark.parametrize("kind", COMPRESS)
@pytest.mark.parametrize("record_format", [formats.lines, formats.csv, formats.raw_bytes])
def test_a_file_of_nothing_is_no_line(kind: str, record_format: Format) -> None:
    blocks = read(COMPRESS[kind](b""), record_format)
    assert records(blocks) == ([b""] if record_format.name == "raw_bytes" else [])


@pytest.mark.parametrize("kind", COMPRESS)
@pytest.mark.parametrize("record_format", [formats.chunk, formats.csv, formats.whole_file])
@pytest.mark.parametrize("keep", [0.3, 0.7, -1, -4, -9])
def test_truncated_data_is_an_error_that_names_the_file(
    kind: str, record_format: Format, keep: float
) -> None:
    whole = COMPRESS[kind](b"h\n" + DATA)
    stored = whole[: int(keep if keep < 0 else keep * len(whole))]
    with pytest.raises(DataError, match=r"^in\.z: cannot decompress .*middle of the data"):
        read(stored, record_format)


@pytest.mark.parametrize("kind", COMPRESS)
def test_a_cut_off_second_member_is_an_error(kind: str) -> None:
    whole = COMPRESS[kind](DATA)
    for cut in (1, 5, 12, len(whole) // 2):
        with pytest.raises(DataError, match=r"^in\.z: cannot decompress"):
            read(whole + whole[:cut], formats.chunk)


@pytest.mark.parametrize("kind", COMPRESS)
@pytest.mark.parametrize("junk", [b"junk after the end", b"\n", b"\0\0junk\0"])
def test_junk_after_the_end_is_an_error(kind: str, junk: bytes) -> None:
    with pytest.raises(DataError, match=r"^in\.z: cannot decompress") as caught:
        read(COMPRESS[kind](DATA) + junk, formats.chunk)
    if len(junk) > 12:  # else it may be the beginning of more data that was cut off
        assert "after the end of the data comes something else" in str(caught.value)


@pytest.mark.parametrize("kind", COMPRESS)
def test_a_flipped_bit_is_an_error(kind: str) -> None:
    stored = bytearray(COMPRESS[kind](DATA))
    for position in (len(stored) // 3, len(stored) // 2, len(stored) - 6):
        damaged = stored.copy()
        damaged[position] ^= 0x10
        with pytest.raises(DataError, match=r"^in\.z: cannot decompress"):
            read(bytes(damaged), formats.raw_bytes)


@pytest.mark.parametrize("kind", COMPRESS)
def test_a_record_is_found_again_by_block_and_number(kind: str) -> None:
    stored = COMPRESS[kind](DATA)
    piece, blob = piece_of(stored), BytesBlob(stored)
    blocks = [block for block in read(stored, formats.lines, 5000) if len(block.records) > 9]
    for block in blocks[:: len(blocks) // 3]:
        offset = offset_of_record(piece, blob, formats.lines, block.offset, 9, max_record=1 << 20)
        assert DATA[offset:].split(b"\n")[0].decode() == block.records[9]
        assert DATA[block.offset : offset].count(b"\n") == 9


@pytest.mark.parametrize("kind", COMPRESS)
@pytest.mark.parametrize("record_format", [formats.lines, formats.csv])
def test_a_prefix_holds_the_lines_that_begin_in_it(kind: str, record_format: Format) -> None:
    data = b"h\n" + b"".join(b"%d\n" % n for n in range(10_000))
    stored = COMPRESS[kind](data)
    assert len(stored) > 1001
    got = list(
        read_blocks(0, piece_of(stored, 1001), BytesBlob(stored), record_format, 1 << 20, 64)
    )
    size = data.index(b"\n", 1000) + 1
    assert sum(block.size for block in got) == size
    assert sum(block.lines for block in got) == data[:size].count(b"\n") - (
        record_format.name == "csv"
    )


@pytest.mark.parametrize("kind", COMPRESS)
def test_memory_stays_small_whatever_comes_out(kind: str) -> None:
    stored = COMPRESS[kind]((b"\0" * 63 + b"\n") * (1 << 18))
    tracemalloc.start()
    try:
        lines = sum(
            block.lines
            for block in read_blocks(0, piece_of(stored), BytesBlob(stored), formats.lines, 1 << 20)
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert lines == 1 << 18
    assert peak < 14 << 20


def long_window(log: int, size: int = 1 << 20) -> bytes:
    """A frame of raw blocks whose header, as that of `zstd --long`, says a window of 2**log."""
    blocks = []
    for left in range(size, 0, -(1 << 16)):
        header = (1 << 16) << 3 | (left == 1 << 16)
        blocks += [header.to_bytes(3, "little"), b"0123456789abcde\n" * (1 << 12)]
    return b"".join([b"\x28\xb5\x2f\xfd\0", bytes([(log - 10) << 3]), *blocks])


@pytest.mark.parametrize("record_format", [formats.lines, formats.csv, formats.whole_file])
def test_a_long_window_is_read_up_to_the_memory(record_format: Format) -> None:
    stored = long_window(28)
    piece, blob = piece_of(stored), BytesBlob(stored)
    with pytest.raises(DataError) as caught:
        list(read_blocks(0, piece, blob, record_format, 64 << 20))
    assert str(caught.value).endswith(
        "it looks back over 268.4 MB, and --memory leaves 134.2 MB for that: raise --memory by "
        "the difference"
    )
    window = window_of(1 << 30)
    blocks = list(read_blocks(0, piece, blob, record_format, 64 << 20, window=window))
    assert sum(block.size for block in blocks) == 1 << 20
    later = COMPRESS["zstd"](b"first\n") + long_window(28)
    with pytest.raises(DataError, match=r"looks back over .*raise --memory"):
        list(read_blocks(0, piece_of(later), BytesBlob(later), record_format, 64 << 20))


def test_the_window_grows_with_the_memory_and_has_bounds() -> None:
    assert window_of(192 * 10**6) == 128 << 20  # what zstd takes by itself
    assert window_of(1 << 30) == (1 << 30) - (170 << 20)
    assert window_of(1 << 40) == 2 << 30
    stored = long_window(31)
    piece, blob = piece_of(stored), BytesBlob(stored)
    with pytest.raises(DataError, match=r"2.1 GB, and --memory leaves 895.5 MB"):
        list(read_blocks(0, piece, blob, formats.lines, 1 << 20, window=window_of(1 << 30)))
    blocks = read_blocks(0, piece, blob, formats.lines, 1 << 20, window=window_of(3 << 30))
    assert sum(block.lines for block in blocks) == 1 << 16
