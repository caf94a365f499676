"""The child process: one attempt, or the description of the worker file, then the end.

It runs user code, so it holds neither gRPC nor credentials, and everything it is told and says
is JSON in checked frames.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import resource
import signal
import socket
import sys
import traceback
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

from gomr_runtime.codec.fields import to_json
from gomr_runtime.codec.typed_json import from_json
from gomr_runtime.dataflow.scratch import OPENED
from gomr_runtime.model.job import JobSpec
from gomr_runtime.model.layout import files as files_key
from gomr_runtime.model.task import TaskFailure, TaskSpec
from gomr_runtime.system.lifeline import die_with_parent
from gomr_runtime.worker.channel import MAX_ANSWER, Kind, frame

if TYPE_CHECKING:
    import ctypes

    from gomr_runtime.model.blob import Blobs
    from gomr_runtime.user_code.program import Program


@dataclass(frozen=True, slots=True)
class Request:
    """What to run. program: the folder with the copy of the program, whose hash is `sha256`. task
    and job: JSON, empty for a description. store: the URL of a directory store, "" when everything
    is read through the supervisor."""

    program: str
    sha256: str
    worker_name: str
    task: bytes = b""
    job: bytes = b""
    store: str = ""
    scratch: str = ""


def run(
    request: Request,
    channel: socket.socket,
    output: Connection,
    monitor: ctypes.Array[ctypes.c_longlong],
) -> None:
    """Entry point of the process; never returns."""
    code = 1
    try:
        isolate(output.fileno())
        os.register_at_fork(after_in_child=lambda: cut_off(channel))
        answer = attempt(request, channel, monitor) if request.task else describe(request)
        channel.sendall(answer)
        code = 0
    except BaseException:  # noqa: BLE001  (a defect: the supervisor shows what was printed)
        traceback.print_exc()
    finally:
        # Not a return: threads and exit handlers of user code must not hold up the result.
        for stream in (sys.stdout, sys.stderr):
            flush(stream)
        os._exit(code)


def isolate(output: int) -> None:
    """A session of its own, no terminal, no core dumps; all it prints goes to `output`."""
    os.setsid()
    die_with_parent(os.getppid())
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(OSError):  # rather this process than its supervisor
        Path("/proc/self/oom_score_adj").write_text("1000")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    # New objects: those of the forkserver are tied to its own files.
    sys.stdout, sys.stderr = (
        open(descriptor, "w", 1, "utf-8", "backslashreplace", closefd=False)  # noqa: SIM115
        for descriptor in (1, 2)
    )
    faulthandler.enable(file=2, all_threads=False)
    faulthandler.register(signal.SIGTERM, file=2, all_threads=False, chain=True)


def cut_off(channel: socket.socket) -> None:
    """In a process that user code forked: should it come back to the engine, nothing of what it
    writes is part of the attempt."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (channel.fileno, *(file.fileno for file in OPENED)):
        with contextlib.suppress(OSError, ValueError):  # closed already
            os.dup2(nothing, number(), inheritable=False)
    os.close(nothing)


def describe(request: Request) -> bytes:
    """A frame with the JobDescription of the worker file, or why it cannot be loaded."""
    from gomr_runtime.api.user_frames import calls
    from gomr_runtime.errors import GomrError

    try:
        program = load(request)
    except GomrError as error:
        frames = calls(error)
        failure = TaskFailure("user", str(error), error.detail, retry=False, frames=frames)
        return frame(Kind.FAILURE, to_json(failure))
    return frame(Kind.RESULT, to_json(program.description))


def attempt(
    request: Request, channel: socket.socket, monitor: ctypes.Array[ctypes.c_longlong]
) -> bytes:
    """A frame with the TaskResult or the TaskFailure of the attempt."""
    from gomr_runtime.dataflow.execute import execute, failure_of
    from gomr_runtime.errors import GomrError
    from gomr_runtime.model.monitor import Monitor
    from gomr_runtime.worker.diagnosis import record_in_flight, whereabouts

    task, spec = from_json(TaskSpec, request.task), from_json(JobSpec, request.job)
    blobs = open_blobs(request.store, channel)
    shared = cast(Monitor, memoryview(monitor).cast("B").cast("q"))
    try:
        spec = with_files(spec, blobs)
        program = load(request)
        result = execute(task, spec, program, blobs, Path(request.scratch), shared)
    except GomrError as error:
        return frame(Kind.FAILURE, to_json(failure_of(error, task)))
    except BaseException as error:  # noqa: BLE001  (user code may raise anything)
        failure = failure_of(error, task)
        if (record := record_in_flight(task, shared)) >= 0:  # KeyboardInterrupt, for one
            where = whereabouts(task, spec, program.description.format, blobs, shared)
            message = f"{failure.message} {where.words}"
            failure = replace(
                failure, kind="crash", message=message, record=record, place=where.place
            )
        return frame(Kind.FAILURE, to_json(failure))
    body = to_json(result)
    if len(body) > MAX_ANSWER:
        failure = TaskFailure(
            "user",
            f"{task.name}: its counters and bad records take {len(body):,} bytes, at most "
            f"{MAX_ANSWER:,} fit: use fewer counters or a lower --skip-bad-records",
            retry=False,
        )
        return frame(Kind.FAILURE, to_json(failure))
    return frame(Kind.RESULT, body)


def with_files(job: JobSpec, blobs: Blobs) -> JobSpec:
    """The job; its files, where they are in a table, read from there as they are needed."""
    if job.table is None:
        return job
    from gomr_runtime.errors import CorruptBlock, DataError
    from gomr_runtime.model.inputs.file_table import FileTable

    key = files_key(job.run, job.table.sha256)
    try:
        blob = blobs.open(f"store:{key}")
    except DataError as error:  # not the user's data
        raise CorruptBlock(f"{key} is missing: {error}") from None
    return replace(job, files=FileTable.stored(job.table, blob.read_at, key))


def load(request: Request) -> Program:
    """The program, executed up to its `gomr.run`."""
    from gomr_runtime.user_code.loading import Loader

    return Loader.of_folder(Path(request.program), request.sha256).load(request.worker_name)


def open_blobs(store_url: str, channel: socket.socket) -> Blobs:
    """Files directly where the store is a directory, else through the supervisor."""
    if store_url:
        from gomr_runtime.storage.local_blobs import LocalBlobs
        from gomr_runtime.storage.open_store import open_store

        return LocalBlobs(open_store(store_url).local_path)
    from gomr_runtime.worker.channel_blobs import BrokeredBlobs

    return BrokeredBlobs(channel)


def flush(stream: TextIO) -> None:
    """User code may have closed or replaced the stream; the result matters more than its last
    lines."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        stream.flush()
