"""What the journal keeps, as bytes and back: plan, manifests, marks of epochs. Pure.

Whatever is read comes back typed and in its ranges, or as Mismatch (a ValueError) that says where.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, cast

from gomr_runtime.codec import checked
from gomr_runtime.codec.typed_json import Mismatch, shown, take
from gomr_runtime.codec.wire_types import AtMost, Count, Index, Many, Moment, Name, Nonce, Positive
from gomr_runtime.model.ids import AttemptId, TaskId
from gomr_runtime.model.job import InputFile, JobDescription, Piece, Summary, TaskKind, TaskResult
from gomr_runtime.storage.pieces import Split

Row = Annotated[tuple[Count, ...], AtMost(3)]
"""A piece: the number of its file, start and end."""


@dataclass(frozen=True, slots=True)
class PlanRecord:
    """A plan as it is stored."""

    description: JobDescription
    splits: Many[Many[Row]]
    sample: Many[Row]
    pieces: Nonce = ""


@dataclass(frozen=True, slots=True)
class ManifestRecord:
    """A manifest as it is stored, but for its task."""

    epoch: Positive
    generation: Index
    attempt: Index
    nonce: Nonce
    result: TaskResult


@dataclass(frozen=True, slots=True)
class Mark:
    """Of the log of epochs: a master started, or, with `end`, decided how the run ends. sources:
    under which keys the attempts stored the files of its output."""

    nonce: Nonce
    at: Moment
    end: Summary | None = None
    sources: Many[Name] = ()

    def violation(self) -> str:
        """What is wrong with a mark that was read; "" for nothing."""
        files = len(self.end.files) if self.end is not None else 0
        return "" if len(self.sources) == files else f"{len(self.sources)} keys of {files} files"


def encode_plan(
    description: JobDescription,
    splits: tuple[Split, ...],
    sample: Split,
    pieces: str,
    files: tuple[InputFile, ...],
) -> bytes:
    """Pieces as rows of (file number, start, end): thousands of files stay small."""
    numbers = {file: number for number, file in enumerate(files)}

    def rows(split: Split) -> list[list[int]]:
        return [[numbers[piece.file], piece.start, piece.end] for piece in split]

    return checked.encode(
        {
            "pieces": pieces,  # a nonce, too
            "description": description,
            "splits": [rows(split) for split in splits],
            "sample": rows(sample),
        }
    )


def decode_splits(
    record: PlanRecord, files: tuple[InputFile, ...]
) -> tuple[tuple[Split, ...], Split]:
    """The splits and the sample of a plan over these files. Raises Mismatch."""

    def split(rows: tuple[tuple[int, ...], ...]) -> Split:
        return tuple(_piece(row, files) for row in rows)

    return tuple(split(rows) for rows in record.splits), split(record.sample)


def _piece(row: tuple[int, ...], files: tuple[InputFile, ...]) -> Piece:
    if len(row) != 3 or row[0] >= len(files):
        raise Mismatch(f"{list(row)} is no piece of {len(files):,} files")
    piece = Piece(files[row[0]], row[1], row[2])
    if words := piece.violation():
        raise Mismatch(words)
    return piece


def decode_attempt(found: Any) -> tuple[AttemptId, ManifestRecord]:
    """The attempt that won, and all else of a manifest. Raises Mismatch."""
    fields = dict(found) if isinstance(found, dict) else {}
    task = fields.pop("task", None)
    record = take(ManifestRecord, fields)
    if not isinstance(task, list) or len(task) != 2:
        raise Mismatch(f"task: {shown(task)} is no kind with its number")
    kind, index = task
    if kind not in ("sample", "map", "reduce") or type(index) is not int:
        raise Mismatch(f"task: {shown(kind)} {shown(index)} is no task")
    return AttemptId(TaskId(cast(TaskKind, kind), index), record.attempt), record
