"""Files of this machine as blobs, to read from any offset."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from gomr_runtime.errors import DataError


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


def _unreadable(path: str, error: OSError | ValueError) -> DataError:
    cause = error.strerror if isinstance(error, OSError) else str(error)
    return DataError(f"cannot read {path}: {cause}")
