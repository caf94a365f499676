"""The compiled part of GoMR; `gomr_runtime.compiled` says when it is used."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, final

from typing_extensions import Buffer

VERSION: int

@final
class Pairs:
    """Pairs of one key kind (int of 64 bits, str, bytes) and one value kind (those, or float).

    The first pair taken decides on the kinds; `clear` forgets them. Keys are order-preserving
    payloads, so that sorting is by bytes. With a mode other than `plain`, a key has one row
    whose value is the sum; that ends by itself when it hardly saves rows.
    """

    def __init__(
        self,
        other: Callable[..., None],
        other_many: Callable[[tuple[Any, Any]], None],
        full: Callable[[], None],
        limit: int,
        mode: Literal["plain", "sum", "count"],
        only: int,
        trial: int,
        monitor: Buffer | None,
    ) -> None:
        """other: `ctx.emit` for a pair that is not taken; other_many: the same for what
        `emit_many` got as a pair. full: called when more than `limit` bytes are held. mode
        `count`: every value is worth 1. only: the number of the value kind to take, 0 for any.
        trial: pairs after which summing must have saved a fifth of the rows. monitor: see
        `execution.Monitor`; a pair is a tick."""

    def emit(self, key: Any, value: Any) -> None: ...
    def emit_many(self, pairs: Iterable[tuple[Any, Any]], /) -> None: ...
    def count(self, keys: Iterable[Any], /) -> None: ...
    def sort(self, partitions: int, where: Buffer | None = None, /) -> list[int]:
        """Put the rows in order by partition, then key, equal keys as they came; the bounds of
        the partitions, `partitions + 1` of them. where: uint32 for each row; by default the fixed
        hash decides. Until `clear` no pair is taken."""

    def lower(self, payload: bytes, /) -> int:
        """Of rows sorted as one partition, how many have a key below `payload`."""

    def body(
        self, start: int, end: int, most_rows: int, most_bytes: int, /
    ) -> tuple[int, int, bytes]:
        """The first of the sorted rows [start, end) as a frame's body: rows taken (at least one),
        bytes of the key column, both columns."""

    def lists(self, start: int, end: int, /) -> tuple[list[Any], list[Any]]:
        """Keys and values of rows [start, end) as they came."""

    def clear(self) -> None:
        """Forget every row."""

    def close(self) -> None:
        """Send every pair to `other` from now on."""

    def open(self) -> None:
        """Take pairs again."""

    @property
    def rows(self) -> int: ...
    @property
    def taken(self) -> int: ...
    @property
    def key_kind(self) -> int: ...
    @property
    def value_kind(self) -> int: ...
    @property
    def summing(self) -> bool: ...
    @property
    def closed(self) -> bool: ...
    @property
    def nbytes(self) -> int: ...
