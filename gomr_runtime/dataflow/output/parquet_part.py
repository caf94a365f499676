"""Parquet parts: row groups as they fill, and the same rows under a schema that is known later."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from gomr_runtime.laws.columns import TITLES

GROUP_ROWS: Final = 1_000_000
GROUP_BYTES: Final = 64 << 20
REWRITTEN_BYTES: Final = 16 << 20
PAGE_BYTES: Final = 1 << 20
"""Bytes of a row group that is written again, and of what is read of a column at once."""
SetAside = Callable[[], Path]
"""Begins the part's file anew; what was written so far is at the path that it returns."""


class Readable(Protocol):
    """A file as pyarrow reads it."""

    def read(self, size: int = -1, /) -> bytes: ...

    def seek(self, offset: int, whence: int = 0, /) -> int: ...

    def tell(self) -> int: ...

    def close(self) -> None: ...

    @property
    def closed(self) -> bool: ...


class ParquetRows:
    """Rows as row groups. A group ends at the row that completes `GROUP_ROWS` or `GROUP_BYTES`,
    however the rows arrive: equal rows give equal bytes. What is written before a column has a type
    is written again when it has one."""

    def __init__(self, set_aside: SetAside) -> None:
        self._set_aside = set_aside
        self._keys: list[Any] = []
        self._values: list[Any] = []
        self._bytes = 0
        self._written = _Written()
        self._types: list[str] = []  # with which the writer was opened
        self._writer: Any = None

    def add(self, keys: Sequence[Any], values: Sequence[Any], types: list[str]) -> Iterator[bytes]:
        """Yield what the rows give to be written.

        Args:
            keys: Keys of one type or None.
            values: The same for values.
            types: The types of both columns with these rows in them, "" while all are None.
        """
        for key, value in zip(keys, values, strict=True):
            self._keys.append(key)
            self._values.append(value)
            self._bytes += _cell_bytes(key) + _cell_bytes(value)
            if self._bytes >= GROUP_BYTES or len(self._keys) >= GROUP_ROWS:
                yield from self._flush(types)

    def end(self, types: list[str]) -> Iterator[bytes]:
        """Yield what is left; the file is whole then."""
        if self._keys or self._writer is None:
            yield from self._flush(types)
        self._writer.close()
        yield from self._written.collect()

    def _flush(self, types: list[str]) -> Iterator[bytes]:
        import pyarrow as pa

        if self._writer is None:
            self._open(types)
        elif self._types != types:
            yield from self._open_again(types)
        columns = [self._keys, self._values]
        self._writer.write_table(pa.table(columns, schema=self._writer.schema))
        self._keys, self._values, self._bytes = [], [], 0
        yield from self._written.collect()

    def _open(self, types: list[str]) -> None:
        import pyarrow.parquet as pq

        self._types = list(types)
        self._writer = pq.ParquetWriter(self._written, _schema(types))

    def _open_again(self, types: list[str]) -> Iterator[bytes]:
        """The row groups so far held only None in a column whose type is known now."""
        import pyarrow.parquet as pq

        self._writer.close()
        yield from self._written.collect()
        path = self._set_aside()
        self._written = _Written()
        self._open(types)
        with pq.ParquetFile(path, buffer_size=PAGE_BYTES) as file:
            for table in _groups(file, self._writer.schema):
                self._writer.write_table(table)
                yield from self._written.collect()
        path.unlink()


def retyped(source: Readable, types: Sequence[str]) -> Iterator[bytes]:
    """Yield a part with these types of its columns, where they held only None.

    Args:
        source: The part.
        types: Of both columns; "" for one that holds only None in all parts.
    """
    import pyarrow.parquet as pq

    written = _Written()
    file = pq.ParquetFile(source, buffer_size=PAGE_BYTES)
    with file, pq.ParquetWriter(written, _schema(types)) as writer:
        for table in _groups(file, writer.schema):
            writer.write_table(table)
            yield from written.collect()
    yield from written.collect()


def _groups(file: Any, schema: Any) -> Iterator[Any]:
    """The rows of a file with the types of `schema`, as row groups that are cut where they have
    many bytes: the process that reads them may have little memory."""
    import pyarrow as pa

    for i in range(file.num_row_groups):
        group = file.metadata.row_group(i)
        most = max(1, group.num_rows * REWRITTEN_BYTES // max(1, group.total_byte_size))
        if most >= group.num_rows:
            yield file.read_row_group(i, use_threads=False).cast(schema)
            continue
        for batch in file.iter_batches(most, row_groups=[i], use_threads=False):
            yield pa.Table.from_batches([batch]).cast(schema)
            pa.default_memory_pool().release_unused()


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

    def collect(self) -> Iterator[bytes]:
        """Let go of what was written so far, piece by piece."""
        self._pieces.reverse()
        while self._pieces:
            yield self._pieces.pop()


def _cell_bytes(cell: Any) -> int:
    return len(cell) if type(cell) in (str, bytes) else 8


def _schema(types: Sequence[str]) -> Any:
    import pyarrow as pa

    known = {
        "": pa.null(),
        "bool": pa.bool_(),
        "int": pa.int64(),
        "float": pa.float64(),
        "str": pa.string(),
        "bytes": pa.binary(),
    }
    return pa.schema(list(zip(TITLES, (known[name] for name in types), strict=True)))
