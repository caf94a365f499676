"""Parts whose columns held only None, under the types that the other parts of the job have.

A task does not know them. So before the parts of a run become its output, those of parquet that
differ are stored once more, under a key of their own: what the attempts committed stays as it is,
and whoever does it again, as a restarted master does, makes the same bytes.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from gomr_runtime.errors import CorruptBlock, PartLost
from gomr_runtime.model.summary import Part
from gomr_runtime.model.task import ColumnType
from gomr_runtime.storage.base import Store
from gomr_runtime.storage.parallel import Several

CHUNK = 4 << 20


def typed_parts(
    store: Store,
    parts: Sequence[Part],
    types: Sequence[ColumnType],
    key_of: Callable[[str], str],
    several: Several = map,
) -> tuple[Part, ...]:
    """Store parquet parts again with these types; return them with their new key, size and hash.

    A row group at a time is in memory.

    Args:
        store: Where the parts are.
        parts: As `untyped` names them.
        types: Of the columns of the job.
        key_of: The new key by the name of the part.
        several: How the parts without rows are gone through, which may be thousands.

    Raises:
        PartLost: A part is not there.
        CorruptBlock: It is not what its attempt wrote.
        StorageError: The store fails.
    """
    names = [column.type for column in types]
    one = partial(_typed_part, store, names, key_of)
    made = {part.name: part for part in several(one, [p for p in parts if not p.records])}
    made |= {part.name: part for part in map(one, [p for p in parts if p.records])}
    return tuple(made[part.name] for part in parts)


def _typed_part(store: Store, types: list[str], key_of: Callable[[str], str], part: Part) -> Part:
    from gomr_runtime.dataflow.output.parquet_part import retyped

    made = replace(part, key=key_of(part.name))

    def pieces() -> Iterator[bytes]:
        nonlocal made
        digest, size = hashlib.sha256(), 0
        for data in retyped(_StoredFile(store, part), types):
            digest.update(data)
            size += len(data)
            yield data
        made = replace(made, size=size, sha256=digest.hexdigest())

    try:
        _verify(store, part)
        store.put_pieces(made.key, pieces, 2 * part.size)
    except KeyError:
        raise PartLost(f"{part.name}: {part.key} is missing in {store.url}") from None
    return made


def _verify(store: Store, part: Part) -> None:
    digest, size = hashlib.sha256(), 0
    while chunk := store.get(part.key, size, CHUNK):
        digest.update(chunk)
        size += len(chunk)
    if size != part.size or digest.hexdigest() != part.sha256:
        raise CorruptBlock(
            f"{part.key} in {store.url} is not what its task wrote: {size} bytes, sha256 "
            f"{digest.hexdigest()[:12]}…, expected {part.size} and {part.sha256[:12]}…; run the "
            "job again"
        )


class _StoredFile(io.RawIOBase):
    """A stored object of known size as a file to read."""

    def __init__(self, store: Store, part: Part) -> None:
        self._store = store
        self._part = part
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._part.size}[whence]
        self._at = begin + offset
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        left = max(0, self._part.size - self._at)
        wanted = left if size < 0 else min(size, left)
        data = self._store.get(self._part.key, self._at, wanted) if wanted else b""
        self._at += len(data)
        return data
