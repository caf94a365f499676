"""An object of a store as a blob."""

from __future__ import annotations

from collections.abc import Callable

from gomr_runtime.errors import DataError


class StoredBlob:
    """One object, read by ranges; `name` is for messages.

    version: Of the content that `read` gives, and no other; "" where it may be any.
    """

    def __init__(
        self,
        name: str,
        size: int,
        read: Callable[[int, int], bytes | memoryview],
        version: str = "",
    ) -> None:
        self.size = size
        self.version = version
        self._name = name
        self._read = read

    def read_at(self, offset: int, length: int) -> bytes:
        return bytes(self.view_at(offset, length))

    def view_at(self, offset: int, length: int) -> bytes | memoryview:
        """The same bytes, where they came in."""
        length = min(length, self.size - offset)
        if length <= 0:
            return b""
        try:
            data = self._read(offset, length)
        except KeyError:
            raise DataError(f"{self._name} was deleted while it was read") from None
        if len(data) != length:
            raise DataError(
                f"{self._name}, byte {offset}: {len(data)} bytes instead of {length}: "
                "it changed while it was read"
            )
        return data

    def close(self) -> None:
        pass
