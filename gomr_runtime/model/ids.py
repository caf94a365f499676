"""The names of tasks and attempts."""

from __future__ import annotations

from dataclasses import dataclass

from gomr_runtime.model.task import TaskKind


@dataclass(frozen=True, slots=True, order=True)
class TaskId:
    kind: TaskKind
    index: int

    def __str__(self) -> str:
        return f"{self.kind}-{self.index}"


@dataclass(frozen=True, slots=True, order=True)
class AttemptId:
    """One try of one task; `attempt` counts from 1 and is never used twice, not even by a
    restarted master (it goes on above every attempt that the store knows)."""

    task: TaskId
    attempt: int

    def __str__(self) -> str:
        return f"{self.task}/{self.attempt}"
