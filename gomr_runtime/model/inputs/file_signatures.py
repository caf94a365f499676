"""What the first bytes of a file say: its compression, or a format that is no text."""

from __future__ import annotations

import re

from gomr_runtime.model.inputs.files import Compression

HEAD_BYTES = 1024  # how much of a file these functions want to see

_BZ2 = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")  # block size, then a block or the end
_ZSTD_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
_LZMA = re.compile(rb"\x5d\0\0.{2}(\xff{8}|.{5}\0{3})", re.DOTALL)  # dictionary and length

_UNSUPPORTED: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a zip archive"),
    (b"PK\x05\x06", "a zip archive"),
    (b"PK\x07\x08", "a zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a rar archive"),
    (b"MSCF\0\0\0\0", "a cabinet archive"),
    (b"\x04\x22\x4d\x18", "lz4 data"),
    (b"\x02\x21\x4c\x18", "lz4 data"),
    (b"\x1f\x9d", "data of compress (.Z)"),
    (b"LZIP\x01", "lzip data"),
    (b"\x89LZO\0\r\n\x1a\n", "lzop data"),
    (b"\xff\x06\0\0sNaPpY", "snappy data"),
    (b"Obj\x01", "an Avro file"),
    (b"ARROW1\0\0", "an Arrow file"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"SEQ\x04", "a Hadoop sequence file"),
    (b"SEQ\x05", "a Hadoop sequence file"),
    (b"SEQ\x06", "a Hadoop sequence file"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office file"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy file"),
)
# These names are words that a text may begin with: what follows has to be binary.
_UNSUPPORTED_IF_BINARY: tuple[tuple[bytes, str], ...] = (
    (b"PAR1", "a parquet file"),
    (b"PARE", "an encrypted parquet file"),
    (b"ORC", "an ORC file"),
    (b"%PDF-", "a PDF file"),
)
_UNICODE: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xfe\0\0", "UTF-32"),
    (b"\0\0\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)
_MARKED = re.compile(
    b"|".join(
        [
            *(re.escape(name) for name, _ in (*_UNSUPPORTED, *_UNSUPPORTED_IF_BINARY, *_UNICODE)),
            _LZMA.pattern,
        ]
    ),
    re.DOTALL,
)
_BINARY = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_TAR_BLOCK = 512
_TAR_SUM = slice(148, 156)


def compression_of(head: bytes) -> Compression:
    """Return the compression of a file that begins with `head`, "" for none.

    Args:
        head: The first `HEAD_BYTES` bytes, or all of a shorter file.
    """
    if head.startswith(b"\x1f\x8b\x08"):
        return "gzip"
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    if head.startswith(b"\x28\xb5\x2f\xfd") or _ZSTD_SKIPPABLE.match(head):
        return "zstd"
    return "bz2" if _BZ2.match(head) else ""


def content_of(head: bytes) -> str:
    """Return what a file holds that is no text, such as "a zip archive"; "" for anything else.

    Args:
        head: The first `HEAD_BYTES` bytes, or all of a shorter file.
    """
    if not _MARKED.match(head):  # nearly all files; there may be millions
        return "a tar archive" if _is_tar(head) else ""
    found = next((name for magic, name in _UNSUPPORTED if head.startswith(magic)), "")
    if found:
        return found
    if _LZMA.match(head):
        return "lzma data"
    for magic, name in _UNSUPPORTED_IF_BINARY:
        if head.startswith(magic) and _BINARY.search(head):
            return name
    encoding = next((name for bom, name in _UNICODE if head.startswith(bom)), "")
    if encoding:
        return f"text in {encoding}"
    return "a tar archive" if _is_tar(head) else ""


def not_text(content: str, compression: Compression = "") -> str:
    """Return why a file with this `content_of` cannot be read as text, and what to do.

    Args:
        content: What the file holds.
        compression: What it was compressed with around that.
    """
    around = f", compressed with {compression}" if compression else ""
    if "UTF-" in content:
        step = f"convert it first, as in `iconv -f {content[-6:]} -t UTF-8`"
    elif "archive" in content:
        step = "unpack it first"
    elif "data" in content.split():
        step = "decompress it first, or compress it with gzip, bzip2, xz or zstd"
    else:
        step = "convert it to lines of text first, such as jsonl"
    return f"is {content}{around}, which is not read as text: {step}"


def _is_tar(head: bytes) -> bool:
    """The header of the archive's first member carries a checksum of itself."""
    if len(head) < _TAR_BLOCK or not head[0]:
        return False
    digits = head[_TAR_SUM].strip(b" \0")
    if not re.fullmatch(rb"[0-7]{1,7}", digits):
        return False
    blanked = head[: _TAR_SUM.start] + b" " * 8 + head[_TAR_SUM.stop : _TAR_BLOCK]
    return sum(blanked) == int(digits, 8)
