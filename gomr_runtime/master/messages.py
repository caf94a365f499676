"""Protobuf messages about attempts, from and to the values of the core."""

from __future__ import annotations

from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime.codec.typed_json import shown
from gomr_runtime.master.core.assignments import KINDS, InvalidMessage
from gomr_runtime.master.core.inputs import AttemptProgress
from gomr_runtime.model.ids import AttemptId, TaskId


def read_progress(message: pb.Progress) -> AttemptProgress:
    """InvalidMessage for what no attempt can have done."""
    attempt = attempt_id(message.attempt)
    if not 0 <= message.fraction <= 1 or message.done < 0:
        raise InvalidMessage(f"{attempt}: done {message.done}, that is {message.fraction:g} of it")
    return AttemptProgress(attempt, message.fraction, message.done)


def attempt_id(message: pb.Attempt) -> AttemptId:
    """InvalidMessage for a kind that does not exist; the scheduler refuses unknown numbers."""
    kind = KINDS.get(message.kind)
    if kind is None:
        raise InvalidMessage(f"no task is of kind {shown(message.kind)}")
    return AttemptId(TaskId(kind, message.index), message.attempt)


def attempt_message(attempt: AttemptId, nonce: str) -> pb.Attempt:
    return pb.Attempt(
        kind=attempt.task.kind, index=attempt.task.index, attempt=attempt.attempt, nonce=nonce
    )
