"""The parts people open: text, jsonl, csv or parquet, written as the reducer emits."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
from collections.abc import Callable
from typing import Any, Protocol

from gomr_runtime.dataflow.batch import BadPair
from gomr_runtime.dataflow.keys import KeyRefused, kind_of, payload
from gomr_runtime.dataflow.values import Packed, ValueRefused, thaw
from gomr_runtime.errors import JobFailed

_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
SLICE = 1_024
GROUP_ROWS = 1_000_000
GROUP_BYTES = 64 << 20
Render = Callable[[list[Any], list[Any]], bytes]


class Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...


class PartWriter:
    """One part: pairs in, bytes to the sink, with their count, size and sha256."""

    def __init__(self, output_format: str, name: str, sink: Sink) -> None:
        """name: the part's file name, for errors."""
        self.records = 0
        self.size = 0
        self._sink = sink
        self._sha = hashlib.sha256()
        self._renderer = _RENDERERS[output_format](name)
        self._write(self._renderer.begin())

    def add(self, keys: list[Any], values: list[Any]) -> None:
        """Write pairs with frozen values; BadPair for one that cannot be written."""
        self._write(self._renderer.render(keys, values))
        self.records += len(keys)

    def add_text(self, text: bytes, records: int) -> None:
        """Lines of a text part that are rendered already."""
        self._write(text)
        self.records += records

    def finish(self) -> str:
        """Write what is left; the sha256 of the part in hex."""
        self._write(self._renderer.end())
        return self._sha.hexdigest()

    def _write(self, data: bytes) -> None:
        if data:
            self._sha.update(data)
            self.size += len(data)
            self._sink.write(data)


class _Text:
    """`key<TAB>value`: str backslash-escaped, everything else as compact JSON."""

    def __init__(self, name: str) -> None:
        del name

    def begin(self) -> bytes:
        return b""

    def end(self) -> bytes:
        return b""

    def render(self, keys: list[Any], values: list[Any]) -> bytes:
        """Slices, so that one line that needs escapes does not slow down all of them."""
        starts = range(0, len(keys), SLICE)
        try:
            return b"".join(
                [self._slice(keys[i : i + SLICE], values[i : i + SLICE]) for i in starts]
            )
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


class _JsonLines:
    """`{"key": ..., "value": ...}` a line, UTF-8; NaN and infinities are refused."""

    def __init__(self, name: str) -> None:
        del name

    def begin(self) -> bytes:
        return b""

    def end(self) -> bytes:
        return b""

    def render(self, keys: list[Any], values: list[Any]) -> bytes:
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
                raise BadPair(i, "jsonl output cannot hold NaN or an infinity") from None
            lines.append(line + "\n")
        return "".join(lines).encode()


class _Columns:
    """Shared by csv and parquet: two columns, `key` and `value`, each of one scalar type."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.types: list[type | None] = [None, None]

    def check(self, keys: list[Any], values: list[Any]) -> None:
        for i, (title, column) in enumerate((("key", keys), ("value", values))):
            for kind in sorted(
                set(map(type, column)) - {type(None)}, key=lambda kind: kind.__name__
            ):
                known = self.types[i]
                if kind in (Packed, tuple):
                    raise JobFailed(
                        f"{self._name}: column {title} holds containers; use --output-format jsonl"
                    )
                if known is not None and kind is not known:
                    first, second = sorted((known.__name__, kind.__name__))
                    raise JobFailed(
                        f"{self._name}: column {title} holds both {first} and {second}; "
                        "emit one type or use --output-format jsonl"
                    )
                self.types[i] = kind


class _Csv(_Columns):
    def begin(self) -> bytes:
        return b"key,value\r\n"

    def end(self) -> bytes:
        return b""

    def render(self, keys: list[Any], values: list[Any]) -> bytes:
        keys = _checked(keys, values)
        self.check(keys, values)
        text = io.StringIO(newline="")
        rows = zip(map(_csv_cell, keys), map(_csv_cell, values), strict=True)
        csv.writer(text).writerows(rows)
        return text.getvalue().encode()


class _Written(io.RawIOBase):
    """Takes what the parquet writer writes, to be collected after every row group."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self._pieces.append(bytes(data))
        self._size += len(self._pieces[-1])
        return len(self._pieces[-1])

    def tell(self) -> int:
        return self._size

    def collect(self) -> bytes:
        data = b"".join(self._pieces)
        self._pieces.clear()
        return data


class _Parquet(_Columns):
    """A row group ends at the row that completes a million of them or `GROUP_BYTES`, however the
    rows arrive: equal rows give equal bytes."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._keys: list[Any] = []
        self._values: list[Any] = []
        self._bytes = 0
        self._written = _Written()
        self._writer: Any = None

    def begin(self) -> bytes:
        return b""

    def render(self, keys: list[Any], values: list[Any]) -> bytes:
        keys = _checked(keys, values)
        self.check(keys, values)
        for key, value in zip(keys, values, strict=True):
            self._keys.append(key)
            self._values.append(value)
            self._bytes += _cell_bytes(key) + _cell_bytes(value)
            if self._bytes >= GROUP_BYTES or len(self._keys) >= GROUP_ROWS:
                self._flush()
        return self._written.collect()

    def end(self) -> bytes:
        if self._keys or self._writer is None:
            self._flush()
        self._writer.close()
        return self._written.collect()

    def _flush(self) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if self._writer is None:
            types = [_arrow_type(kind) for kind in self.types]
            schema = pa.schema([("key", types[0]), ("value", types[1])])
            self._writer = pq.ParquetWriter(self._written, schema)
        schema = self._writer.schema
        try:
            table = pa.table([self._keys, self._values], schema=schema)
        except (pa.ArrowException, OverflowError) as error:
            raise JobFailed(
                f"{self._name}: {error}; use --output-format jsonl for such values"
            ) from None
        self._writer.write_table(table)
        self._keys, self._values, self._bytes = [], [], 0


_RENDERERS: dict[str, Callable[[str], Any]] = {
    "text": _Text,
    "jsonl": _JsonLines,
    "csv": _Csv,
    "parquet": _Parquet,
}


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


def _cell_bytes(cell: Any) -> int:
    return len(cell) if type(cell) in (str, bytes) else 8


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


def _arrow_type(kind: type | None) -> Any:
    import pyarrow as pa

    known = {int: pa.int64(), float: pa.float64(), str: pa.string(), bool: pa.bool_()}
    if kind is None:
        return pa.null()
    return known.get(kind, pa.binary())


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
