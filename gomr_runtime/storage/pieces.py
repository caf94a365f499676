"""The pieces of input of a task that are too many for a message: they travel through the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gomr_runtime.codec import checked
from gomr_runtime.codec.typed_json import take
from gomr_runtime.errors import CorruptBlock, StorageError
from gomr_runtime.model.job import Piece

if TYPE_CHECKING:
    from gomr_runtime.storage.base import Store

LARGE_BYTES = 256 << 10
"""Of a task's pieces as JSON, roughly: so many do not travel in messages."""
LONGEST_NAME = 4 << 10

Split = tuple[Piece, ...]


def is_large(split: Split) -> bool:
    """Return whether the pieces are too many for a message; every master says the same."""
    if len(split) < LARGE_BYTES // LONGEST_NAME:
        return False
    size = sum(len(piece.file.source) + len(piece.file.location) + 128 for piece in split)
    return size > LARGE_BYTES


def encode_pieces(split: Split) -> bytes:
    """Return the pieces as bytes to store, with a checksum."""
    return checked.encode(split)


def read_pieces(store: Store, key: str) -> Split:
    """Return the pieces that are stored there.

    Raises:
        CorruptBlock: for anything else.
        StorageError: when nothing is there.
    """
    try:
        return decode_pieces(store.get(key))
    except KeyError:
        raise StorageError(f"{key} in {store.url} was there and is gone") from None
    except ValueError as error:
        raise CorruptBlock(f"{key} in {store.url} is damaged: {error}") from None


def decode_pieces(data: bytes) -> Split:
    """Return the pieces that `encode_pieces` stored.

    Raises:
        ValueError: for anything else.
    """
    rows = checked.decode(data)
    if not isinstance(rows, list):
        raise ValueError("not a list of pieces")
    return tuple(take(Piece, row) for row in rows)
