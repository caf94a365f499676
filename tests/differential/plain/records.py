"""The bytes of a file as the records that a mapper gets."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zstandard

from tests.differential.plain.api import Format
from tests.differential.plain.keys import Refused


def files_of(arguments: list[str], folder: Path) -> list[tuple[str, bytes]]:
    """(`ctx.source`, content) of every input in order: that of the arguments, inside a directory
    by the bytes of the name."""
    found: list[tuple[str, bytes]] = []
    for argument in arguments:
        path = folder / argument
        if not path.is_dir():
            found.append((argument, plain(path.read_bytes())))
            continue
        inside = {str(file.relative_to(path)): file for file in path.rglob("*") if file.is_file()}
        visible = [n for n in inside if not any(part[0] in "._" for part in n.split("/"))]
        found += [(n, plain(inside[n].read_bytes())) for n in sorted(visible, key=os.fsencode)]
    return found


def plain(data: bytes) -> bytes:
    """Decompressed, where its first bytes say that it is compressed."""
    if data.startswith(b"\x1f\x8b\x08"):
        return gzip.decompress(data)
    if data.startswith(b"BZh"):
        return bz2.decompress(data)
    if data.startswith(b"\xfd7zXZ\x00"):
        return lzma.decompress(data)
    if data.startswith(b"\x28\xb5\x2f\xfd"):
        return zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return data


def records_of(data: bytes, given: Format, *, fine: bool) -> Iterator[Any]:
    """Every record, or the Refused that stands in its place. fine: chunks of one line each, else
    one chunk a file; a mapper may see no difference."""
    if given.name == "raw_bytes":
        yield data
        return
    data = data.removeprefix(b"\xef\xbb\xbf")
    if given.name == "whole_file":
        yield decoded(data)
    elif given.name == "csv" and given.quoted_newlines:
        yield from _quoted_rows(data)
    elif given.name == "csv":
        yield from _rows(data)
    elif given.name == "chunk":
        yield from _chunks(data, fine=fine)
    else:
        for line in lines_of(data):
            if given.name == "lines":
                yield decoded(line)
            elif line.strip(b" \t\r"):
                yield _json(line)


def decoded(data: bytes) -> Any:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return Refused("not_utf8")


def lines_of(data: bytes) -> list[bytes]:
    """Without their ends, `\\n` or `\\r\\n`."""
    lines = data.split(b"\n")
    last = lines.pop()
    return [line.removesuffix(b"\r") for line in lines] + ([last] if last else [])


def _chunks(data: bytes, *, fine: bool) -> Iterator[Any]:
    *lines, last = data.split(b"\n") if fine else [data]
    yield from (decoded(line + b"\n") for line in lines)
    if last:
        yield decoded(last)


def _json(line: bytes) -> Any:
    def refuse(name: str) -> Any:
        raise ValueError(name)

    text = decoded(line)
    if isinstance(text, Refused):
        return text
    try:
        return json.loads(text, parse_constant=refuse)
    except ValueError:
        return Refused("not_json")


def _quoted_rows(data: bytes) -> Iterator[Any]:
    text = io.StringIO(data.decode(errors="surrogateescape"), newline="")
    rows: list[list[Any]] = list(csv.reader(text))
    yield from _dicts([[Refused("not_utf8")] if _undecoded(row) else row for row in rows])


def _undecoded(row: list[str]) -> bool:
    return any("\udc80" <= c <= "\udcff" for cell in row for c in cell)


def _rows(data: bytes) -> Iterator[Any]:
    """A row a line."""
    rows: list[list[Any]] = []
    for line in lines_of(data):
        text = decoded(line)
        rows += [[text]] if isinstance(text, Refused) else list(csv.reader([text]))
    yield from _dicts(rows)


def _dicts(rows: list[list[Any]]) -> Iterator[Any]:
    names = rows[0] if rows else []
    for row in rows[1:]:
        if row and isinstance(row[0], Refused):
            yield row[0]
        elif row:
            yield (
                dict(zip(names, row, strict=True)) if len(row) == len(names) else Refused("csv_row")
            )
