"""Plans as the pieces that tasks read."""

from __future__ import annotations

from collections.abc import Sequence

from gomr_runtime.dataflow.input import splits
from gomr_runtime.model.inputs.files import InputFile, Piece
from gomr_runtime.model.inputs.pieces import Pieces
from gomr_runtime.model.job import Format


def plan_splits(
    files: Sequence[InputFile], record_format: Format, tasks: int
) -> list[tuple[Piece, ...]]:
    """The pieces of each map task."""
    return [
        tuple(Pieces(files, ranges)) for ranges in splits.plan_splits(files, record_format, tasks)
    ]


def sample_pieces(files: Sequence[InputFile], record_format: Format) -> tuple[Piece, ...]:
    """What total order reads first."""
    return tuple(Pieces(files, splits.plan_sample(files, record_format)))
