"""How a task reads files of this machine and objects of a store that is a directory."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gomr_runtime.errors import DataError
from gomr_runtime.model.job import InputFile

if TYPE_CHECKING:
    from gomr_runtime.dataflow.execute import Blob, Blobs

STORE = "store:"


def version_of(status: os.stat_result) -> str:
    """Return the `InputFile.version` of a local file: it changes when the content may have."""
    return f"{status.st_size}-{status.st_mtime_ns}"


class FileBlob:
    """A regular file by its descriptor; closed by `close` or at the end of a `with`."""

    def __init__(self, path: str | Path) -> None:
        """Raises DataError naming `path` when it is not a file that can be read."""
        self.path = os.fspath(path)
        try:
            self._descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except (OSError, ValueError) as error:
            raise _unreadable(self.path, error) from None
        status = os.fstat(self._descriptor)
        if not stat.S_ISREG(status.st_mode):
            os.close(self._descriptor)
            raise DataError(f"cannot read {self.path}: not a regular file")
        self.size = status.st_size

    @property
    def version(self) -> str:
        """As `InputFile.version`, of the file as it is at this moment."""
        return version_of(os.fstat(self._descriptor))

    def read_at(self, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset`; fewer only at the end of the file."""
        try:
            data = os.pread(self._descriptor, length, offset)
            if len(data) == length or not data:
                return data
            parts = [data]
            while data and (length := length - len(data)):  # one call moves at most 2 GiB
                offset += len(data)
                data = os.pread(self._descriptor, length, offset)
                parts.append(data)
        except OSError as error:
            raise _unreadable(self.path, error) from None
        return b"".join(parts)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> FileBlob:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class BytesBlob:
    """Bytes in memory as a blob."""

    version = ""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read_at(self, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset`; fewer only at the end."""
        return self._data[offset : offset + length]

    def close(self) -> None:
        """Nothing to give back."""


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


def open_input(blobs: Blobs, file: InputFile) -> Blob:
    """The input opened and proven to be what was planned; DataError when it changed since."""
    blob = blobs.open(file.location)
    try:
        check_unchanged(blob, file)
    except BaseException:
        blob.close()
        raise
    return blob


def check_unchanged(blob: Blob, file: InputFile) -> None:
    """Raise DataError unless size and version are those of the plan.

    It is worth calling again after the last read: the version of a file is looked up each time.
    An object of the run's own store is held to its size: its key is the hash of its content.
    """
    changed = f"{file.source}: input changed while the run went on"
    if blob.size != file.size:
        raise DataError(
            f"{changed} ({file.size} bytes when it started, {blob.size} now); run again"
        )
    if file.location.startswith(STORE) or not file.version:
        return
    if blob.version not in {"", file.version}:
        raise DataError(f"{changed}: it was written to, or replaced; run again")


def _unreadable(path: str, error: OSError | ValueError) -> DataError:
    cause = error.strerror if isinstance(error, OSError) else str(error)
    return DataError(f"cannot read {path}: {cause}")
