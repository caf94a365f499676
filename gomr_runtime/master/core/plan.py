"""How a run is cut up, and what is committed of it."""

from __future__ import annotations

from dataclasses import dataclass

from gomr_runtime.errors import StorageError
from gomr_runtime.model.ids import AttemptId, TaskId
from gomr_runtime.model.inputs.pieces import Split
from gomr_runtime.model.job import JobDescription
from gomr_runtime.model.task import TaskResult


@dataclass(frozen=True, slots=True)
class Plan:
    """How a run is cut up: decided once, after the first worker described itself."""

    description: JobDescription
    splits: tuple[Split, ...]
    sample: Split

    def ranges_of(self, task: TaskId) -> Split:
        if task.kind == "map":
            return self.splits[task.index]
        return self.sample if task.kind == "sample" else ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """A commit: which attempt of a task won and what it made. generation: how often what the task
    committed before was proven bad."""

    epoch: int
    attempt: AttemptId
    nonce: str
    result: TaskResult
    generation: int = 0


class Unfinished(StorageError):
    """It is decided that the run succeeded, but not all of its output is made."""
