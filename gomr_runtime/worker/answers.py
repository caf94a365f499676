"""The border between a supervisor and its child: what a child may say, typed and in its ranges.

User code shares the child's channel, its files and its counters, and may write there what it likes:
whatever does not check out is an error of that attempt alone. Pure, but for looking at the files.
"""

from __future__ import annotations

import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gomr_runtime.codec.typed_json import Mismatch, from_json, shown
from gomr_runtime.codec.wire_types import INT64
from gomr_runtime.errors import one_line
from gomr_runtime.laws.results import Asked, wrong_failure, wrong_result
from gomr_runtime.model.job import JobDescription
from gomr_runtime.model.monitor import DONE, TOTAL
from gomr_runtime.model.task import ResultFile, TaskFailure, TaskResult
from gomr_runtime.worker.channel import MAX_ANSWER, BadFrame, Kind
from gomr_runtime.worker.channel_blobs import CHUNK, RANGE

if TYPE_CHECKING:
    import ctypes

MOST_OPEN = 4_096  # locations that a child holds open; a merge holds 256
LONGEST_LOCATION = 64 << 10  # bytes
MOST_BYTES = {
    Kind.RESULT: MAX_ANSWER,
    Kind.FAILURE: MAX_ANSWER,
    Kind.OPEN: LONGEST_LOCATION,
    Kind.READ: RANGE.size,
    Kind.VERSION: RANGE.size,
    Kind.CLOSE: RANGE.size,
}
"""Of the body of each kind of frame that a child sends; others come from its supervisor alone."""
UNREADABLE = "did user code write to descriptors that are not its own?"


@dataclass(frozen=True, slots=True)
class Question:
    """About a location that the child has opened. offset and length: of a READ, in bytes."""

    handle: int
    offset: int
    length: int


def check_length(kind: Kind, length: int) -> None:
    """BadFrame for a frame that no child sends; before its body is read."""
    most = MOST_BYTES.get(kind)
    if most is None:
        raise BadFrame(f"the child sent a frame {kind.name}; {UNREADABLE}")
    if length > most:
        raise BadFrame(
            f"the child's frame {kind.name} has {length:,} bytes, at most {most:,} belong there; "
            f"{UNREADABLE}"
        )


def read_location(body: bytes, opened: int) -> str:
    """What an OPEN asks for; BadFrame when it is no location, or one too many.

    Args:
        opened: How many the child holds open.
    """
    if opened >= MOST_OPEN:
        raise BadFrame(f"the child holds {opened:,} locations open; {UNREADABLE}")
    if not body or b"\0" in body:
        raise BadFrame(f"the child asked for no location; {UNREADABLE}")
    return body.decode("utf-8", "surrogateescape")


def read_question(body: bytes) -> Question:
    """What a READ, VERSION or CLOSE asks; BadFrame for what is none."""
    try:
        question = Question(*RANGE.unpack(body))
    except struct.error:
        raise BadFrame(f"the child's question makes no sense; {UNREADABLE}") from None
    if question.length > CHUNK or question.offset > INT64 - CHUNK:
        raise BadFrame(
            f"the child asked for {question.length:,} bytes from {question.offset:,}; {UNREADABLE}"
        )
    return question


def read_description(kind: Kind, body: bytes, sha256: str) -> JobDescription | TaskFailure:
    """What a child says of the worker file; BadFrame when it is nothing that a child says.

    Args:
        sha256: Of the program that it was to load.
    """
    try:
        if kind is Kind.FAILURE:
            return from_json(TaskFailure, body)
        description = from_json(JobDescription, body)
    except Mismatch as error:
        raise BadFrame(f"the child's description is not readable: {error}; {UNREADABLE}") from None
    if description.worker_sha256 != sha256:
        raise BadFrame(f"the child describes another program; {UNREADABLE}")
    return description


def read_answer(
    kind: Kind, body: bytes, asked: Asked, scratch: Path, peak: int
) -> TaskResult | TaskFailure:
    """What became of an attempt, by its child; BadFrame when it is nothing that a child says.

    Args:
        asked: What the attempt was asked for.
        scratch: Where its files are; each is looked at.
        peak: The most bytes of memory that it was seen to use.
    """
    try:
        if kind is Kind.FAILURE:
            failure = from_json(TaskFailure, body)
            _refuse(wrong_failure(failure, asked))
            return replace(failure, message=one_line(failure.message))
        result = from_json(TaskResult, body)
    except Mismatch as error:
        raise BadFrame(f"the child's answer is not readable: {error}; {UNREADABLE}") from None
    _refuse(wrong_result(result, asked) or _wrong_files(result.files, scratch))
    return replace(result, peak_rss=max(result.peak_rss, peak))


def _refuse(words: str) -> None:
    if words:
        raise BadFrame(f"the child's answer cannot be: {words}; {UNREADABLE}")


def _wrong_files(files: Sequence[ResultFile], scratch: Path) -> str:
    for file in files:
        name = shown(file.path)
        try:
            path = Path(file.path)
            status = path.lstat() if path.parent == scratch else None
        except (OSError, ValueError) as error:
            return f"file {file.role}: {name} cannot be looked at: {type(error).__name__}"
        if status is None or not stat.S_ISREG(status.st_mode):
            return f"file {file.role}: {name} is no file in its scratch folder"
        if status.st_size != file.size:
            return f"file {file.role} has {status.st_size:,} bytes instead of {file.size:,}"
        if file.key:
            return f"file {file.role} is stored already"
    return ""


def progress_of(monitor: ctypes.Array[ctypes.c_longlong] | None) -> tuple[int, float]:
    """Bytes or pairs done, and which fraction of all: by what a child left in its monitor."""
    done, total = (monitor[DONE], monitor[TOTAL]) if monitor else (0, 0)
    fraction = min(1.0, max(0.0, done / total)) if total > 0 else 0.0
    return max(0, done), fraction
