"""A store in this process's memory: for tests of code that takes a `Store`."""

from __future__ import annotations

import builtins
import itertools
import sys
import threading
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path

from gomr_runtime.errors import StorageError
from gomr_runtime.storage.base import ObjectInfo, Pieces
from gomr_runtime.storage.keys import check_key, check_prefix, check_range
from gomr_runtime.system.own_files import read_regular


class MemoryStore:
    """Objects in a dict, gone with it. Safe from any thread, not shared between processes."""

    def __init__(self) -> None:
        self._objects: dict[str, tuple[bytes, int]] = {}
        self._versions = itertools.count(1)
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return "memory:"

    def get(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        check_range(check_key(key), start, length)
        with self._lock:
            data, _ = self._objects[key]
        return data[start:] if length is None else data[start : start + length]

    def info(self, key: str) -> ObjectInfo:
        check_key(key)
        with self._lock:
            data, version = self._objects[key]
        return ObjectInfo(key, len(data), str(version))

    def put(self, key: str, data: bytes) -> None:
        check_key(key)
        with self._lock:
            self._objects[key] = (bytes(data), next(self._versions))

    def put_file(self, key: str, path: Path) -> None:
        check_key(key)
        try:
            self.put(key, read_regular(path, sys.maxsize))
            path.unlink()
        except OSError as error:
            raise StorageError(f"cannot read {path} for {key}: {error.strerror}") from None

    def put_pieces(self, key: str, pieces: Pieces, size: int) -> None:
        del size
        self.put(key, b"".join(pieces()))

    def create(self, key: str, data: bytes) -> bool:
        check_key(key)
        with self._lock:
            if key in self._objects:
                return self._objects[key][0] == data
            self._objects[key] = (bytes(data), next(self._versions))
        return True

    def copy(self, source: str, target: str) -> None:
        check_key(source)
        check_key(target)
        with self._lock:
            self._objects[target] = (self._objects[source][0], next(self._versions))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        check_prefix(prefix)
        with self._lock:
            found = [
                ObjectInfo(key, len(data), str(version))
                for key in self._keys(prefix)
                for data, version in (self._objects[key],)
            ]
        return iter(found)

    def delete(self, prefix: str) -> int:
        if not check_prefix(prefix):
            raise StorageError("an empty prefix would delete the whole store")
        with self._lock:
            keys = self._keys(prefix)
            for key in keys:
                del self._objects[key]
        return len(keys)

    def local_path(self, key: str) -> Path | None:
        check_key(key)
        return None

    def _keys(self, prefix: str) -> builtins.list[str]:
        keys = sorted(self._objects)
        first = bisect_left(keys, prefix)
        return builtins.list(
            itertools.takewhile(
                lambda key: key.startswith(prefix), itertools.islice(keys, first, None)
            )
        )
