"""How a task reads files of this machine and objects of a store that is a directory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gomr_runtime.errors import DataError
from gomr_runtime.model.blob import STORE
from gomr_runtime.system.file_blob import FileBlob


class LocalBlobs:
    """Blobs over absolute paths and, by `store_path`, over the objects of a directory store."""

    def __init__(self, store_path: Callable[[str], Path | None]) -> None:
        """`store_path` gives the file of an object's key, None where there is no such file."""
        self._store_path = store_path

    def open(self, location: str) -> FileBlob:
        """Raises DataError when it is not there or may not be read."""
        if not location.startswith(STORE):
            return FileBlob(location)
        try:
            path = self._store_path(location.removeprefix(STORE))
        except KeyError:
            raise DataError(f"{location} is not in the store") from None
        if path is None:
            raise DataError(f"{location} is not a file of this machine")
        return FileBlob(path)
