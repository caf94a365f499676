"""The compiled part of GoMR; `gomr_runtime.system.compiled` says when it is used."""

from collections.abc import Callable, Iterable
from typing import Any, Literal, final

from typing_extensions import Buffer

VERSION: int

Column = tuple[int, int, Buffer, Buffer, int]
"""(kind, bytes of an offset or 0, offsets, data, first row): an Arrow array without nulls. Where
the width is 0, `data` has 8 bytes a row."""

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
        other_many: Callable[..., None],
        other_count: Callable[..., None],
        full: Callable[[], None],
        limit: int,
        mode: Literal["plain", "sum", "count"],
        keys: int,
        only: int,
        trial: int,
        ticks: Buffer | None,
        secret: bytes,
    ) -> None:
        """other: `ctx.emit` for a pair that is not taken. other_many: `ctx.emit_many`, for one
        such, or for what is no iterable of pairs. other_count: `ctx.count`, for what is none of
        keys. full: called when more than `limit` bytes are held. mode `count`: every value is
        worth 1. keys: the kinds of keys to take, a bit for each. only: the number of the value
        kind to take, 0 for any.
        trial: pairs after which summing must have saved a fifth of the rows. ticks: a word of 64
        bits that grows by one a pair, as `TICKS` of `model.monitor`. secret:
        32 random bytes for the hash of the table; nothing that can be read here depends on them but
        `misses`."""

    def emit(self, key: Any, value: Any) -> None: ...
    def emit_many(self, pairs: Iterable[tuple[Any, Any]], /) -> None: ...
    def count(self, keys: Iterable[Any], /) -> None: ...
    def columns(self, keys: Column, values: Column, start: int, end: int, /) -> int:
        """A pair for each of rows [start, end), as long as they can be taken: the first that was
        not. ValueError for columns that do not hold so many rows."""

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
    def work(self) -> int:
        """How many bytes of keys the last `sort` looked at, but for groups of a few rows."""

    @property
    def misses(self) -> int:
        """How many entries of other keys were looked at, while summing."""

    @property
    def closed(self) -> bool: ...
    @property
    def nbytes(self) -> int: ...

@final
class Merge:
    """Sorted runs of one key kind, merged into a window of groups.

    Values of a key are in the order of the runs. The last group of the window may go on in what
    is still to come. Methods take a number of groups, from the first on.
    """

    def __init__(self, runs: int, key_kind: int) -> None: ...
    def feed(self, run: int, value_kind: int, rows: int, keys: Buffer, values: Buffer, /) -> None:
        """The columns of a run's next frame: the first of every run before anything else, then
        whenever `step` asks. ValueError for columns that do not hold so many rows."""

    def end(self) -> None:
        """The run that `step` asked for has no more frames."""

    def step(self, most_rows: int, most_bytes: int, /) -> int:
        """Take rows into the window: the number of a run whose next frame is needed, -1 for a
        full window, -2 when all rows are in it."""

    def keys(self, groups: int, /) -> list[Any]:
        """Native keys (see `dataflow.batch`)."""

    def lists(self, groups: int, unpack: Callable[[bytes], Any], /) -> list[list[Any]]: ...
    def columns(self, groups: int, /) -> tuple[int, int, bytes, bytes, bytes] | None:
        """(value kind, rows, first row of each group and the end as uint32, keys, values), the
        columns as frames have them. None where the values are not of one kind."""

    def sums(self, groups: int, /) -> list[int] | None: ...
    def text(self, groups: int, summed: bool, /) -> bytes | None: ...
    def rows(self, groups: int, /) -> int: ...
    def drop(self, groups: int, /) -> None:
        """Forget the first groups; with 0 the rows of the first, which goes on."""

    @property
    def groups(self) -> int: ...
    @property
    def nbytes(self) -> int:
        """Bytes of the window but its first key, which stays while its values come and go."""

@final
class Lines:
    """Lines `key<TAB>value` of str and int of 64 bits; everything else goes to `other`."""

    def __init__(
        self,
        other: Callable[..., None],
        other_many: Callable[..., None],
        full: Callable[[], None],
        limit: int,
    ) -> None:
        """As for `Pairs`; limit: bytes of text."""

    def emit(self, key: Any, value: Any) -> None: ...
    def emit_many(self, pairs: Iterable[tuple[Any, Any]], /) -> None: ...
    def columns(self, keys: Column, values: Column, start: int, end: int, /) -> int:
        """A line for each of rows [start, end), as `Pairs.columns`."""

    def take(self) -> tuple[int, bytes]:
        """(lines, text) so far, which are forgotten."""

    def close(self) -> None: ...
    def open(self) -> None: ...
    @property
    def closed(self) -> bool: ...
