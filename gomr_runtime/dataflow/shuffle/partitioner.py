"""Which partition a key belongs to: by hash, by the user's function, or by cut points."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from gomr_runtime.api.user_frames import describe, place_of, user_frames
from gomr_runtime.dataflow.pairs.frames import user_keys
from gomr_runtime.dataflow.pairs.hashing import partition_one
from gomr_runtime.dataflow.pairs.keys import Kind, decode_payload, payload
from gomr_runtime.errors import GomrError, RecordFailed


class Partitioner(Protocol):
    """Assigns native keys of one kind to `partitions` reducers."""

    partitions: int
    hashes: bool
    """True when a column may be partitioned by `hashing.hash_column` instead."""

    def assign(self, kind: Kind, keys: Sequence[Any]) -> list[int]:
        """The partition of each key, in order."""


class HashPartitioner:
    """The default: a fixed hash of the encoded key."""

    hashes = True

    def __init__(self, partitions: int) -> None:
        self.partitions = partitions

    def assign(self, kind: Kind, keys: Sequence[Any]) -> list[int]:
        if self.partitions == 1:
            return [0] * len(keys)
        known: dict[Any, int] = {}
        found: list[int] = []
        for key in keys:
            where = known.get(key)
            if where is None:
                raw = key if type(key) is bytes else payload(kind, key)
                where = known[key] = partition_one(kind, raw, self.partitions)
            found.append(where)
        return found


class UserPartitioner:
    """`partitioner(key, n)` of the worker file, asked once for each distinct key of a column."""

    hashes = False

    def __init__(self, function: Callable[[Any, int], int], partitions: int, task: str) -> None:
        """task: the name of the task that asks, for errors."""
        self.partitions = partitions
        self.task = task
        self._function = function

    def assign(self, kind: Kind, keys: Sequence[Any]) -> list[int]:
        distinct = list(dict.fromkeys(keys))
        where = {
            native: self.ask(key)
            for native, key in zip(distinct, user_keys(kind, distinct), strict=True)
        }
        return [where[key] for key in keys]

    def ask(self, key: Any) -> int:
        """The partition of a key as it was emitted. RecordFailed for an answer that is none."""
        try:
            answer = self._function(key, self.partitions)
        except (GomrError, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001  (user code may raise anything)
            raise RecordFailed(
                f"{self._asked(key)}: {describe(error)}", detail=user_frames(error)
            ) from None
        if type(answer) is not int or not 0 <= answer < self.partitions:
            raise RecordFailed(
                f"{self._asked(key)} returned {_shown(answer)}: "
                f"return an int from 0 to {self.partitions - 1}",
                detail=place_of(self._function),
            )
        return answer

    def _asked(self, key: Any) -> str:
        return f"{self.task}, partitioner({key!r:.80}, {self.partitions})"


def _shown(answer: object) -> str:
    """What a partitioner returned, with its type where the value does not tell what is wrong."""
    if type(answer) is int or answer is None:
        return f"{answer!r:.80}"
    return f"{answer!r:.80} ({type(answer).__name__})"


class CutPartitioner:
    """Total order: partition i holds the keys from cut i - 1 up to, not including, cut i."""

    hashes = False

    def __init__(self, cuts: Sequence[bytes], partitions: int) -> None:
        """cuts: at most `partitions - 1` encoded keys, ascending."""
        self.partitions = partitions
        self._cuts = list(cuts)

    def below(self, kind: Kind) -> int:
        """How many cuts are of kinds that come before."""
        return sum(1 for cut in self._cuts if cut[0] < kind)

    def payloads(self, kind: Kind) -> list[bytes]:
        """The cuts of one kind without their kind byte."""
        return [cut[1:] for cut in self._cuts if cut[0] == kind]

    def assign(self, kind: Kind, keys: Sequence[Any]) -> list[int]:
        same = [decode_native(cut) for cut in self._cuts if cut[0] == kind]
        below = self.below(kind)
        if not same or kind is Kind.NONE:  # None is equal to its cut, and has no order
            return [below + len(same)] * len(keys)
        return [below + bisect_right(same, key) for key in keys]


def decode_native(encoded: bytes) -> Any:
    """An encoded key as its native form."""
    kind = Kind(encoded[0])
    raw = encoded[1:]
    if kind in (Kind.BYTES, Kind.TUPLE, Kind.NEGATIVE_BIG, Kind.POSITIVE_BIG):
        return raw
    return decode_payload(kind, raw)


def encode_native(kind: Kind, key: Any) -> bytes:
    """A native key as its encoded form."""
    return bytes((kind,)) + (key if type(key) is bytes else payload(kind, key))


class KeySample:
    """Every n-th encoded key of a stream; n doubles whenever too much is held."""

    def __init__(self, most_keys: int = 200_000, most_bytes: int = 32 << 20) -> None:
        self.keys: list[bytes] = []
        self._most_keys = most_keys
        self._most_bytes = most_bytes
        self._bytes = 0
        self._step = 1
        self._next = 0  # how many keys to pass over before the next one is taken

    def add(self, kind: Kind, keys: Sequence[Any]) -> None:
        """Take what is due of these native keys."""
        while self._next < len(keys):
            encoded = encode_native(kind, keys[self._next])
            self.keys.append(encoded)
            self._bytes += len(encoded)
            self._next += self._step
            while len(self.keys) > 1 and (
                len(self.keys) > self._most_keys or self._bytes > self._most_bytes
            ):
                self._halve()
        self._next -= len(keys)

    def _halve(self) -> None:
        if len(self.keys) % 2:  # the last one stays, so the one after it is passed over
            self._next += self._step
        del self.keys[1::2]
        self._bytes = sum(map(len, self.keys))
        self._step *= 2


def choose_cuts(encoded: list[bytes], partitions: int) -> list[bytes]:
    """Cut points for `partitions` reducers from a sample of encoded keys: its quantiles, distinct
    and ascending (there may be fewer than asked when the sample has few distinct keys)."""
    ordered = sorted(encoded)
    wanted = (
        [ordered[i * len(ordered) // partitions] for i in range(1, partitions)] if ordered else []
    )
    return list(dict.fromkeys(wanted))
