"""The parts people open: text, jsonl, csv or parquet, written as the reducer emits."""

from __future__ import annotations

import base64
import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol

from gomr_runtime.dataflow.output.column_types import CheckPair, ColumnTypes
from gomr_runtime.dataflow.output.parquet_part import ParquetRows, SetAside
from gomr_runtime.dataflow.pairs.keys import KeyRefused, kind_of, payload
from gomr_runtime.dataflow.pairs.pair_batch import BadPair
from gomr_runtime.dataflow.pairs.values import ValueRefused, thaw
from gomr_runtime.model.output_formats import OutputFormatName
from gomr_runtime.model.task import ColumnType

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
SLICE = 1_024
NO_JSON: Final = "jsonl output cannot hold NaN or an infinity"


class Sink(Protocol):
    """The file of a part."""

    def write(self, data: bytes, /) -> object: ...

    def set_aside(self) -> Path:
        """Begin the file anew; what was written so far is at the path that is returned."""


class Renderer(Protocol):
    """Pairs as the bytes of one output format."""

    def begin(self) -> bytes: ...

    def render(self, keys: list[Any], values: list[Any]) -> Iterable[bytes]:
        """What pairs with frozen values give to be written; BadPair for one without a place."""

    def end(self) -> Iterable[bytes]: ...

    def checker(self, *, adding: bool) -> CheckPair | None:
        """What checks pairs as they are emitted (see `ColumnTypes.checker`); None for nothing."""

    @property
    def columns(self) -> tuple[ColumnType, ...]:
        """The types found, where a column has one."""


class PartWriter:
    """One part: pairs in, bytes to the sink, with their count."""

    def __init__(self, output_format: OutputFormatName, name: str, sink: Sink) -> None:
        """name: the part's file name, for errors."""
        self.records = 0
        self._sink = sink
        self._renderer = _RENDERERS[output_format](name, sink.set_aside)
        self._write((self._renderer.begin(),))

    @property
    def columns(self) -> tuple[ColumnType, ...]:
        """The types of its columns so far, where the format has one for each."""
        return self._renderer.columns

    @property
    def takes_lines(self) -> bool:
        """Whether `add_text` may be called, since the part is lines of text."""
        return isinstance(self._renderer, _Text)

    def checker(self, *, adding: bool) -> CheckPair | None:
        """Return what checks pairs as they are emitted; None where any pair has a place."""
        return self._renderer.checker(adding=adding)

    def add(self, keys: list[Any], values: list[Any]) -> None:
        """Write pairs with frozen values; BadPair for one that cannot be written."""
        self._write(self._renderer.render(keys, values))
        self.records += len(keys)

    def add_text(self, text: bytes, records: int) -> None:
        """Lines of a text part that are rendered already."""
        self._write((text,))
        self.records += records

    def finish(self) -> None:
        """Write what is left."""
        self._write(self._renderer.end())

    def _write(self, pieces: Iterable[bytes]) -> None:
        for data in pieces:
            if data:
                self._sink.write(data)


class _Plain:
    """A format without a begin or an end, whose values may be of any type."""

    columns: tuple[ColumnType, ...] = ()

    def begin(self) -> bytes:
        return b""

    def end(self) -> Iterable[bytes]:
        return ()

    def checker(self, *, adding: bool) -> CheckPair | None:
        del adding
        return None


class _Text(_Plain):
    """`key<TAB>value`: str backslash-escaped, everything else as compact JSON."""

    def render(self, keys: list[Any], values: list[Any]) -> Iterable[bytes]:
        """Slices, so that one line that needs escapes does not slow down all of them."""
        starts = range(0, len(keys), SLICE)
        try:
            slices = [self._slice(keys[i : i + SLICE], values[i : i + SLICE]) for i in starts]
            return (b"".join(slices),)
        except BadPair:
            _find_bad(keys, values)  # by its number among all of them
            raise

    def _slice(self, keys: list[Any], values: list[Any]) -> bytes:
        types = {*map(type, keys), *map(type, values)}
        if types <= {str, int}:
            text = "".join([f"{k}\t{v}\n" for k, v in zip(keys, values, strict=True)])
            plain = (
                "\\" not in text
                and "\r" not in text
                and text.count("\t") == text.count("\n") == len(keys)
            )
            if plain:
                try:
                    return text.encode()
                except UnicodeEncodeError:
                    _find_bad(keys, values)
        keys = _checked(keys, values)
        lines = [f"{_cell(k)}\t{_cell(v)}\n" for k, v in zip(keys, map(thaw, values), strict=True)]
        return "".join(lines).encode()


class _JsonLines(_Plain):
    """`{"key": ..., "value": ...}` a line, UTF-8; NaN and infinities are refused."""

    def checker(self, *, adding: bool) -> CheckPair | None:
        del adding
        return _check_json

    def render(self, keys: list[Any], values: list[Any]) -> Iterable[bytes]:
        keys = _checked(keys, values)
        lines = []
        for i, (key, value) in enumerate(zip(keys, map(thaw, values), strict=True)):
            try:
                line = json.dumps(
                    {"key": key, "value": value},
                    ensure_ascii=False,
                    allow_nan=False,
                    default=_json_bytes,
                )
            except ValueError:
                raise BadPair(i, NO_JSON) from None
            lines.append(line + "\n")
        return ("".join(lines).encode(),)


def _check_json(key: Any, value: Any) -> None:
    if key.__class__ in _FINITE and value.__class__ in _FINITE:
        return
    if not _is_finite(key):
        raise KeyRefused(NO_JSON)
    if not _is_finite(value):
        raise ValueRefused(NO_JSON)


def _is_finite(value: Any) -> bool:
    kind = type(value)
    if kind is float:
        return math.isfinite(value)
    try:
        if kind is list or kind is tuple:
            return all(map(_is_finite, value))
        return kind is not dict or all(map(_is_finite, value.values()))
    except RecursionError:  # refused as such
        return True


_FINITE: Final = frozenset({str, int, bool, bytes, type(None)})


class _Columns(_Plain):
    """A format whose columns, `key` and `value`, have one type each."""

    def __init__(self, types: ColumnTypes) -> None:
        self._types = types

    @property
    def columns(self) -> tuple[ColumnType, ...]:  # type: ignore[override]
        return self._types.columns

    def checker(self, *, adding: bool) -> CheckPair | None:
        return self._types.checker(adding=adding)


class _Csv(_Columns):
    """A header, then a row a pair."""

    def begin(self) -> bytes:
        return b"key,value\r\n"

    def render(self, keys: list[Any], values: list[Any]) -> Iterable[bytes]:
        keys = _checked(keys, values)
        self._types.check(keys, values)
        text = io.StringIO(newline="")
        rows = zip(map(_csv_cell, keys), map(_csv_cell, values), strict=True)
        csv.writer(text).writerows(rows)
        return (text.getvalue().encode(),)


class _Parquet(_Columns):
    """Row groups of two columns."""

    def __init__(self, types: ColumnTypes, set_aside: SetAside) -> None:
        super().__init__(types)
        self._rows = ParquetRows(set_aside)

    def end(self) -> Iterator[bytes]:
        return self._rows.end([column.type for column in self._types.columns])

    def render(self, keys: list[Any], values: list[Any]) -> Iterator[bytes]:
        keys = _checked(keys, values)
        self._types.check(keys, values)
        return self._rows.add(keys, values, [column.type for column in self._types.columns])


_RENDERERS: Final[dict[OutputFormatName, Callable[[str, SetAside], Renderer]]] = {
    "text": lambda name, set_aside: _Text(),
    "jsonl": lambda name, set_aside: _JsonLines(),
    "csv": lambda name, set_aside: _Csv(ColumnTypes("csv", name)),
    "parquet": lambda name, set_aside: _Parquet(ColumnTypes("parquet", name), set_aside),
}
"""By format: (the part's file name for errors, see `Sink.set_aside`) to what writes it."""


def _cell(value: Any) -> str:
    if type(value) is str:
        return value.translate(_ESCAPES)
    if type(value) is int:
        return str(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_json_bytes)


def _csv_cell(value: Any) -> str:
    if type(value) is str:
        return value
    return "" if value is None else _cell(value) if type(value) is not bytes else value.hex()


def normal_keys(keys: list[Any]) -> list[Any]:
    """The keys as they are known: -0.0 is 0.0, in tuples too. Of values it is another number."""
    if {float, tuple}.isdisjoint(map(type, keys)):
        return keys
    return list(map(_normal, keys))


def _normal(key: Any) -> Any:
    if type(key) is float:
        return key + 0.0
    return tuple(map(_normal, key)) if type(key) is tuple else key


def _json_bytes(value: Any) -> dict[str, str]:
    if type(value) is bytes:
        return {"$bytes": base64.b64encode(value).decode()}
    raise TypeError(type(value).__name__)


def _checked(keys: list[Any], values: list[Any]) -> list[Any]:
    """The keys as they are written. Raises BadPair."""
    _check(keys, values)
    return normal_keys(keys)


def _check(keys: list[Any], values: list[Any]) -> None:
    if set(map(type, keys)) <= {int, bool, type(None)} and str not in set(map(type, values)):
        return
    try:
        "".join([k for k in keys if type(k) is str]).encode()
        "".join([v for v in values if type(v) is str]).encode()
    except UnicodeEncodeError:
        _find_bad(keys, values)
    if not set(map(type, keys)) <= {int, bool, type(None), str, bytes}:
        _find_bad(keys, values)


def _find_bad(keys: list[Any], values: list[Any]) -> None:
    for i, (key, value) in enumerate(zip(keys, values, strict=True)):
        try:
            payload(kind_of(key), key)
            if type(value) is str:
                value.encode()
        except (KeyRefused, ValueRefused) as error:
            raise BadPair(i, str(error)) from None
        except UnicodeEncodeError:
            raise BadPair(i, f"value {value!r:.80} holds a lone surrogate") from None
