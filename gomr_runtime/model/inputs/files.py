"""The input files of a job, and what a task reads of them. Plain values that travel as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gomr_runtime.codec.wire_types import (
    Count,
    Index,
    Name,
    Sha256,
    Word,
)

Compression = Literal["", "gzip", "bz2", "xz", "zstd"]


@dataclass(frozen=True, slots=True)
class InputFile:
    """One input, in input order.

    source: the name the user sees (`ctx.source`). location: an absolute path, `s3://bucket/key`,
    or `store:<key>` for an object in the run's own store. size: bytes as stored. version: changes
    when the content may have changed (mtime and size of a file, the etag of an object). content:
    what it holds, where its first bytes say that it is no text, such as "a zip archive".
    """

    source: Name
    location: Name
    size: Count
    compression: Compression = ""
    version: Name = ""
    content: Word = ""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes `[start, end)` of one input file; `end` is the file's size for a whole file."""

    file: InputFile
    start: Count
    end: Count

    def violation(self) -> str:
        """What is wrong with a piece that was received; "" for nothing."""
        if self.start <= self.end and (self.file.compression or self.end <= self.file.size):
            return ""
        return f"bytes {self.start} to {self.end} of {self.file.size} are no piece"


@dataclass(frozen=True, slots=True)
class FileRange:
    """Consecutive input files of a job, by their numbers: `first` from byte `start` on, `last` up
    to byte `end`, and all of those between. Of these, files without bytes count only where `empty`
    says so: where a file is one record. `Pieces` are the files in it."""

    first: Index
    start: Count
    last: Index
    end: Count
    empty: bool = False

    def violation(self) -> str:
        """What is wrong with a range that was received; "" for nothing."""
        if self.first < self.last or (self.first == self.last and self.start <= self.end):
            return ""
        return "it ends before it begins"


@dataclass(frozen=True, slots=True)
class TableRecord:
    """Where the files of a job are that are too many for `job.json`; see `file_table`.

    sha256: of the object, whose name it is. count: of files. size: of the object in bytes, of which
    the last `index_bytes` are its index.
    """

    sha256: Sha256
    count: Index
    size: Count
    index_bytes: Count

    def violation(self) -> str:
        """What is wrong with a record that was received; "" for nothing."""
        return "" if self.index_bytes <= self.size else "an index that is longer than its object"
