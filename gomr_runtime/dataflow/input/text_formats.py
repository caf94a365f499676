"""Formats whose record is one line: lines, jsonl, csv without quoted newlines.

A span is converted in bulk. Only where that fails is it taken line by line, so that the bad lines
alone are set apart, each with its offset.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from json import scanner
from typing import Any, NoReturn

from gomr_runtime.dataflow.input.block import BOM, bad_record, not_utf8, too_long
from gomr_runtime.dataflow.input.digits import MOST_DIGITS, check_digits, may_hold_too_many
from gomr_runtime.dataflow.input.lines import Span
from gomr_runtime.model.inputs.files import InputFile
from gomr_runtime.model.task import BadRecord


@dataclass(frozen=True, slots=True)
class LineFormat:
    """How lines become records.

    bulk: non-empty lines to records, ValueError if any of them is bad. one: a single line,
    ValueError saying why it is bad. blank: the bytes an empty line may consist of; None where an
    empty line is a record. header_bytes: what to leave out at the start of the file.
    """

    bulk: Callable[[list[str]], Sequence[Any]]
    one: Callable[[str], Any]
    blank: bytes | None = None
    header_bytes: int = 0


@dataclass(slots=True)
class Converted:
    """The records of a span; `bad` by index, `skipped` empty lines."""

    records: Sequence[Any]
    skipped: int
    bad: dict[int, BadRecord]


def convert(span: Span, file: InputFile, how: LineFormat, max_record: int) -> Converted:
    """Every line of `span` as a record, a bad record or an empty line."""
    if span.data is None:
        bad = bad_record(file, span.offset, 0, too_long(span.size, max_record))
        return Converted([None], 0, {0: bad})
    try:
        lines = _decoded(span, how)
        full = [line for line in lines if line] if how.blank is not None else lines
        return Converted(how.bulk(full), len(lines) - len(full), {})
    except (ValueError, RecursionError):  # a UnicodeDecodeError is a ValueError
        return _one_by_one(span, file, how)


def _decoded(span: Span, how: LineFormat) -> list[str]:
    assert span.data is not None
    lead = lead_bytes(span, how)
    data = span.data[lead:] if lead else span.data
    if not data:
        return []
    text = data.decode()
    if "\r\n" in text:
        text = text.replace("\r\n", "\n")
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return lines


def lead_bytes(span: Span, how: LineFormat) -> int:
    """Bytes at the start of the span that are no record: a header or a byte order mark."""
    if span.offset or span.data is None:
        return 0
    if how.header_bytes:
        return how.header_bytes
    return len(BOM) if span.data.startswith(BOM) else 0


def byte_lines(span: Span, lead: int) -> Iterator[tuple[int, bytes | bytearray]]:
    """Every line of a span with its offset in the file and without its end."""
    assert span.data is not None
    offset = span.offset + lead
    lines = span.data[lead:].split(b"\n")
    last = lines.pop()
    for line in lines:
        yield offset, line[:-1] if line.endswith(b"\r") else line
        offset += len(line) + 1
    if last:
        yield offset, last


def is_blank(line: bytes | bytearray, how: LineFormat) -> bool:
    return how.blank is not None and not line.strip(how.blank)


def _one_by_one(span: Span, file: InputFile, how: LineFormat) -> Converted:
    records: list[Any] = []
    bad: dict[int, BadRecord] = {}
    skipped = 0
    for offset, line in byte_lines(span, lead_bytes(span, how)):
        if is_blank(line, how):
            skipped += 1
            continue
        record = None
        try:
            record = how.one(line.decode())
        except UnicodeDecodeError as error:
            cause = not_utf8(offset + error.start)
            bad[len(records)] = bad_record(file, offset, len(records), cause)
        except RecursionError:
            bad[len(records)] = bad_record(file, offset, len(records), "it is nested too deeply")
        except ValueError as error:
            bad[len(records)] = bad_record(file, offset, len(records), str(error))
        records.append(record)
    return Converted(records, skipped, bad)


def _same(lines: list[str]) -> list[str]:
    return lines


def _itself(line: str) -> str:
    return line


LINES = LineFormat(_same, _itself)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _whole_number(digits: str) -> int:
    check_digits(digits)
    return int(digits)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
# What may hold a number that takes long: to call a function for each number does, too.
_CAREFUL = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_whole_number)
# decode() without its two regular expressions; the stubs take the class for its own argument
_scan: Callable[[str, int], tuple[Any, int]] = scanner.make_scanner(_DECODER)  # type: ignore[arg-type]


def _json_lines(lines: list[str]) -> list[Any]:
    values: list[Any] = []
    append = values.append
    if max(map(len, lines), default=0) > MOST_DIGITS:
        return [_decoder_for(line).decode(line) for line in lines]
    for line in lines:
        try:
            value, end = _scan(line, 0)
        except StopIteration:
            end = -1
        append(value if end == len(line) else _DECODER.decode(line))
    return values


def _decoder_for(line: str) -> json.JSONDecoder:
    return _CAREFUL if may_hold_too_many(line) else _DECODER


def _json_line(line: str) -> Any:
    try:
        return _decoder_for(line).decode(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at column {error.colno}") from None


JSONL = LineFormat(_json_lines, _json_line, blank=b" \t\r")


class CsvRows:
    """Rows of a csv file with header `names`, as dicts."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def bulk(self, lines: list[str]) -> list[dict[str, str]]:
        rows = parse_lines(lines)
        if any(length != len(self._names) for length in set(map(len, rows))):
            raise ValueError("a short or long row")
        # zip(..., strict=True) in a comprehension takes three times as long.
        return list(map(dict, map(zip, repeat(self._names), rows)))

    def one(self, line: str) -> dict[str, str]:
        return row_dict(self._names, parse_lines([line])[0])


def parse_lines(lines: list[str]) -> list[list[str]]:
    """One row a line; ValueError where quotes do not close on their line."""
    try:
        # An open quote swallows the empty line at the end, or a line before it.
        rows = list(csv.reader([*lines, ""]))
    except csv.Error as error:
        raise ValueError(f"not csv: {error}") from None
    if len(rows) != len(lines) + 1:
        raise ValueError("a quote is not closed on its line; use gomr.csv for quoted newlines")
    rows.pop()
    return rows


def row_dict(names: Sequence[str], row: list[str]) -> dict[str, str]:
    """The row by column name; ValueError for a short or long one."""
    if len(row) != len(names):
        raise ValueError(f"the row has {len(row)} fields, the header has {len(names)}")
    return dict(zip(names, row, strict=True))
