"""A key's values as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

from gomr_runtime.api.context import ContextMisused


class OnePass:
    """A key's values as an iterator.

    Asking for a second pass raises instead of giving nothing, and so does reading on after the call
    that got the values.
    """

    __slots__ = ("_source", "_started")

    def __init__(self, source: Iterator[Any]) -> None:
        self._source = source
        self._started = False

    def __iter__(self) -> OnePass:
        if self._started:
            raise RuntimeError("values can be read once; annotate list[...] to read them again")
        self._started = True
        return self

    def __next__(self) -> Any:
        return next(self._source)

    def __getitem__(self, index: object) -> NoReturn:
        raise TypeError("values are an Iterator, which has no items; annotate list[...]")

    def end(self) -> None:
        """The call that got the values has returned."""
        self._source = _Over()
        self._started = False  # so that a loop over them says why


class _Over(Iterator[Any]):
    """The values of a key whose call is over."""

    def __next__(self) -> NoReturn:
        raise ContextMisused(
            "these values could be read until the call that got them returned: keep list(values)"
        )


# What user code sees of it, as in "'Iterator' object ...", is what it has annotated.
OnePass.__name__ = OnePass.__qualname__ = "Iterator"
