"""How a task reads: things of known size, opened by their location."""

from __future__ import annotations

from typing import Final, Protocol

STORE: Final = "store:"
"""Begins the location of an object of the run's own store; its key follows."""


class Blob(Protocol):
    """One readable thing of known size, a file or a stored object."""

    size: int

    @property
    def version(self) -> str:
        """As `InputFile.version`, of what is read now; "" where nobody can tell."""

    def read_at(self, offset: int, length: int) -> bytes:
        """At most `length` bytes from `offset`; fewer only at the end."""

    def close(self) -> None: ...


class Blobs(Protocol):
    """How a task reads. `location` is `InputFile.location` or `store:<key>` of the run's store."""

    def open(self, location: str) -> Blob:
        """Raises `DataError` when it is not there or may not be read."""
