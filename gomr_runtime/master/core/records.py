"""What the journal keeps, as bytes and back: plan, manifests, marks of epochs. Pure.

Whatever is read comes back typed and in its ranges, or as Mismatch (a ValueError) that says where.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from gomr_runtime.codec import checked
from gomr_runtime.codec.typed_json import Mismatch, shown, take
from gomr_runtime.codec.wire_types import Index, Many, Moment, Name, Nonce, Positive
from gomr_runtime.model.ids import AttemptId, TaskId
from gomr_runtime.model.inputs.files import FileRange
from gomr_runtime.model.inputs.pieces import Split
from gomr_runtime.model.job import JobDescription
from gomr_runtime.model.summary import Summary
from gomr_runtime.model.task import TaskKind, TaskResult


@dataclass(frozen=True, slots=True)
class PlanRecord:
    """A plan as it is stored."""

    description: JobDescription
    splits: Many[Many[FileRange]]
    sample: Many[FileRange]


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


def encode_plan(description: JobDescription, splits: tuple[Split, ...], sample: Split) -> bytes:
    """A range for a task, however many files it reads."""
    return checked.encode({"description": description, "splits": splits, "sample": sample})


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
