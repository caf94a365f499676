"""The files that a task writes, in the scratch folder of its attempt."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, BinaryIO
from weakref import WeakSet

from gomr_runtime.dataflow.profile import timed

OPENED: WeakSet[BinaryIO] = WeakSet()
"""The scratch files that are open: a process that user code forks must not write to them."""


def open_scratch(path: Path) -> BinaryIO:
    """A file in the scratch folder, for writing from its beginning."""
    file = path.open("wb")
    OPENED.add(file)
    return file


class HashedFile:
    """A file in the scratch folder that knows its size and sha256 when it is closed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.size = 0
        self._sha = hashlib.sha256()
        self._file = open_scratch(path)

    def __enter__(self) -> HashedFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: Any, /) -> int:
        with timed("store"):
            self._sha.update(data)
            self.size += len(data)
            return self._file.write(data)

    def set_aside(self) -> Path:
        """Begin the file anew; what was written so far is at the path that is returned."""
        self._file.close()
        aside = self.path.with_name(f"{self.path.name}.aside")
        self.path.rename(aside)
        self.size = 0
        self._sha = hashlib.sha256()
        self._file = open_scratch(self.path)
        return aside

    def close(self) -> str:
        """The sha256 of everything written, in hex."""
        self._file.close()
        return self._sha.hexdigest()
