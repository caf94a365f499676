"""What the first bytes of a file say, and what is said of a file that is no text."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

import gomr_runtime as gomr
from gomr_runtime.errors import DataError, UsageError
from gomr_runtime.model.inputs.file_signatures import (
    HEAD_BYTES,
    compression_of,
    content_of,
    not_text,
)
from gomr_runtime.model.job import Format
from gomr_runtime.testing import run_local

TEXT = b"some text\n" * 300
TABLE = pa.table({"a": [1, 2, 3], "b": ["x", "y", "z"]})


def zipped() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("a.txt", TEXT)
    return made.getvalue()


def tarred(form: int = tarfile.PAX_FORMAT, name: str = "a.txt") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w", format=form) as archive:
        member = tarfile.TarInfo(name)
        member.size = len(TEXT)
        archive.addfile(member, io.BytesIO(TEXT))
    return made.getvalue()


def written(write: Callable[[io.BytesIO], object]) -> bytes:
    made = io.BytesIO()
    write(made)
    return made.getvalue()


def database() -> bytes:
    connection = sqlite3.connect(":memory:")
    connection.execute("create table t (a)")
    made = connection.serialize()
    connection.close()
    return made


def v7() -> bytes:
    """The header that tar had before POSIX: no magic, only its own checksum."""
    header = bytearray(tarred(tarfile.USTAR_FORMAT)[:512])
    header[257:] = bytes(255)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + TEXT


UNSUPPORTED: dict[str, tuple[bytes, str]] = {
    "zip": (zipped(), "a zip archive"),
    "empty zip": (b"PK\x05\x06" + bytes(18), "a zip archive"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\x04" + bytes(30), "a 7z archive"),
    "rar4": (b"Rar!\x1a\x07\0" + bytes(30), "a rar archive"),
    "rar5": (b"Rar!\x1a\x07\x01\0" + bytes(30), "a rar archive"),
    "lz4": (pa.Codec("lz4").compress(TEXT, asbytes=True), "lz4 data"),
    "Z": (b"\x1f\x9d\x90sometext", "data of compress (.Z)"),
    "lzma": (lzma.compress(TEXT, lzma.FORMAT_ALONE), "lzma data"),
    "lzip": (b"LZIP\x01\x0c" + bytes(30), "lzip data"),
    "snappy": (b"\xff\x06\0\0sNaPpY\x01", "snappy data"),
    "tar pax": (tarred(name="ü" * 120), "a tar archive"),
    "tar gnu": (tarred(tarfile.GNU_FORMAT), "a tar archive"),
    "tar ustar": (tarred(tarfile.USTAR_FORMAT), "a tar archive"),
    "tar v7": (v7(), "a tar archive"),
    "avro": (b"Obj\x01\x04\x16avro.schema", "an Avro file"),
    "parquet": (written(lambda out: pa.parquet.write_table(TABLE, out)), "a parquet file"),
    "no rows": (
        written(lambda out: pa.parquet.write_table(TABLE.slice(0, 0), out)),
        "a parquet file",
    ),
    "orc": (written(lambda out: pa.orc.write_table(TABLE, out)), "an ORC file"),
    "arrow": (written(lambda out: pa.feather.write_feather(TABLE, out)), "an Arrow file"),
    "sqlite": (database(), "an SQLite database"),
    "npy": (written(lambda out: np.save(out, np.arange(3))), "a NumPy file"),
    "utf-16": ("text\n".encode("utf-16"), "text in UTF-16"),
    "utf-16 big": (b"\xfe\xff" + "text\n".encode("utf-16-be"), "text in UTF-16"),
    "utf-32": ("text\n".encode("utf-32"), "text in UTF-32"),
    "utf-32 big": (b"\0\0\xfe\xff" + "text\n".encode("utf-32-be"), "text in UTF-32"),
}
"""By a name: what is in the file, and what that is called."""

FORMATS: list[Format] = [
    gomr.chunk,
    gomr.lines,
    gomr.jsonl,
    gomr.csv,
    gomr.csv(quoted_newlines=False),
    gomr.whole_file,
]


def config(record_format: Format) -> gomr.MapReduceConfig:
    def mapper(ctx: gomr.Context, record: object) -> None:
        ctx.emit("size", len(record) if isinstance(record, bytes) else 0)

    return gomr.MapReduceConfig(mapper=mapper, input=record_format)


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_is_no_text_is_called_by_its_name(name: str) -> None:
    data, content = UNSUPPORTED[name]
    assert content_of(data[:HEAD_BYTES]) == content
    assert compression_of(data) == ""


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_it_is_refused_before_the_start_as_text_and_taken_as_bytes(name: str) -> None:
    data, content = UNSUPPORTED[name]
    for record_format in FORMATS:
        with pytest.raises(UsageError) as caught:
            run_local(config(record_format), {"good": TEXT, "bad.x": data})
        assert str(caught.value).startswith(
            f"--input bad.x is {content}, which is not read as text"
        )
    assert run_local(config(gomr.raw_bytes), data).pairs == [("size", len(data))]


@pytest.mark.parametrize(
    ("compress", "kind"),
    [
        (gzip.compress, "gzip"),
        (bz2.compress, "bz2"),
        (lzma.compress, "xz"),
        (zstandard.compress, "zstd"),
    ],
)
def test_a_compressed_archive_is_said_to_be_one(
    compress: Callable[[bytes], bytes], kind: str
) -> None:
    data = tarred()
    for record_format in FORMATS:
        with pytest.raises(DataError) as caught:
            run_local(config(record_format), {"a.tar.z": compress(data)}, mappers=2)
        assert str(caught.value) == (
            f"a.tar.z is a tar archive, compressed with {kind}, which is not read as text: "
            "unpack it first"
        )
    with pytest.raises(DataError, match=f"is gzip data, compressed with {kind} once more"):
        run_local(config(gomr.lines), compress(gzip.compress(TEXT)))
    assert run_local(config(gomr.raw_bytes), compress(data)).pairs == [("size", len(data))]


WORDS = [b"PAR1", b"PARE", b"ORC", b"PK", b"Obj", b"LZIP", b"%PDF-", b"SEQ", b"BZh9", b"ARROW1"]


@pytest.mark.parametrize("word", [*WORDS, b"Rar!", b"7z", b"SQLite format 3", b"]", b"ustar"])
@pytest.mark.parametrize("rest", [b"", b"\n", b" is how it begins\n", " \u00fc\r\n\tx\n".encode()])
def test_a_text_may_begin_with_such_a_word(word: bytes, rest: bytes) -> None:
    text = word + rest * 40 + word
    assert content_of(text[:HEAD_BYTES]) == ""
    assert run_local(config(gomr.lines), text).ledger.records_read == text.count(b"\n") + 1


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=2000))
def test_no_text_is_taken_for_anything_else(text: str) -> None:
    head = text.encode()[:HEAD_BYTES]
    assert content_of(head) == compression_of(head) == ""


def test_heads_that_are_short_say_nothing() -> None:
    for data, _ in UNSUPPORTED.values():
        assert content_of(data[:1]) == ""
    assert content_of(b"") == ""


def test_magic_bytes_of_compression() -> None:
    assert compression_of(b"\x1f\x8b\x08\0\0\0") == "gzip"
    assert compression_of(b"BZh91AY&SY") == "bz2"
    assert compression_of(b"\xfd7zXZ\0") == "xz"
    assert compression_of(b"\x28\xb5\x2f\xfd\0\0") == "zstd"
    for head in (b"", b"BZ", b"text", b"\xfd7zXZ", b"BZhou Enlai was", b"\x1f\x8b\0\0 text"):
        assert compression_of(head) == ""


def test_the_next_step_fits_the_content() -> None:
    steps = {content: not_text(content) for _, content in UNSUPPORTED.values()}
    assert steps["a zip archive"].endswith("unpack it first")
    assert "iconv -f UTF-16 -t UTF-8" in steps["text in UTF-16"]
    assert "gzip, bzip2, xz or zstd" in steps["lz4 data"]
    assert "decompress it" in steps["data of compress (.Z)"]
    assert steps["a parquet file"].endswith("convert it to lines of text first, such as jsonl")
