"""The one seam between GoMR and wherever a run's data lives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

Pieces = Callable[[], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One stored object. `size` is in bytes; `version` changes whenever the content does."""

    key: str
    size: int
    version: str


class Store(Protocol):
    """Objects under `/`-separated keys; every method is blocking and safe to call from any thread.

    A put is all or nothing: an object is absent or whole. Methods raise `StorageError` once their
    own retries are spent, and `KeyError` for a key that is not there.
    """

    @property
    def url(self) -> str:
        """Where the store is, without credentials: `file:///…`, `s3://bucket/prefix`, `memory:`."""

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        """Read bytes `[start, start + length)` of the object.

        Args:
            key: The object's key, relative to the store.
            start: The offset of the first byte.
            length: The number of bytes; None reads to the object's end.
        """

    def info(self, key: str) -> ObjectInfo:
        """Size and version of the object."""

    def put(self, key: str, data: bytes) -> None:
        """Write the object, replacing one that is there."""

    def put_file(self, key: str, path: Path) -> None:
        """Move the local file `path` to `key`; the file is gone afterwards."""

    def put_pieces(self, key: str, pieces: Pieces, size: int) -> None:
        """Write an object that is nowhere as a whole yet, replacing one that is there.

        Args:
            key: Where it goes.
            pieces: Gives its bytes from the beginning, once for each try. What it raises ends it.
            size: Bytes, roughly.
        """

    def create(self, key: str, data: bytes) -> bool:
        """Write the object only if the key is free.

        The answer is final: a lost acknowledgement is settled by reading back before returning.

        Args:
            key: The object's key, relative to the store.
            data: The content. It must be unique to the caller (carry a nonce), so that reading back
                shows whose it is.

        Returns:
            False if another writer was first.
        """

    def copy(self, source: str, target: str) -> None:
        """Make `target` the same object as `source`, replacing what is there.

        The bytes do not pass through this process where the store can copy by itself. Doing it
        again changes nothing.
        """

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Every object whose key starts with `prefix`, in key order."""

    def delete(self, prefix: str) -> int:
        """Delete every object whose key starts with `prefix`; return how many there were."""

    def local_path(self, key: str) -> Path | None:
        """The object as a file of this machine, where the store is a directory; else None."""


@runtime_checkable
class Viewing(Protocol):
    """A store that can do without a copy of what it reads."""

    def view(self, key: str, start: int, length: int | None) -> memoryview:
        """The bytes of `Store.get`."""
