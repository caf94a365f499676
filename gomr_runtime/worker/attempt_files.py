"""What an attempt reads and writes: its pieces before, its files and what it printed after."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime.codec.typed_json import Mismatch
from gomr_runtime.dataflow.profile import stored
from gomr_runtime.errors import EnvironmentFailed, GomrError
from gomr_runtime.model import layout
from gomr_runtime.model.blob import Blobs
from gomr_runtime.model.inputs.pieces import Pieces
from gomr_runtime.model.job import JobSpec
from gomr_runtime.model.task import TaskFailure, TaskResult, TaskSpec
from gomr_runtime.storage.base import Store
from gomr_runtime.storage.blobs import StoreBlobs, TaskBlobs
from gomr_runtime.storage.s3.settings import S3Settings
from gomr_runtime.worker.child_handle import Child

if TYPE_CHECKING:
    from gomr_runtime.storage.s3.signed_reads import GrantedReads, TaskReads


@dataclass(slots=True)
class Running:
    """An attempt from its assignment to its report."""

    spec: TaskSpec
    epoch: int
    reads_query: str = ""
    reads: bytes = b""
    pieces: Pieces | None = None
    blobs: Blobs | None = None
    child: Child | None = None
    abandoned: bool = False

    def abandon(self) -> None:
        self.abandoned = True
        if self.child is not None:
            self.child.abandon()


def attempt_message(spec: TaskSpec) -> pb.Attempt:
    return pb.Attempt(kind=spec.kind, index=spec.index, attempt=spec.attempt, nonce=spec.nonce)


def name_of(spec: TaskSpec) -> str:
    return f"{spec.name}-{spec.attempt}-{spec.nonce}"


class AttemptFiles:
    """What attempts of one worker read and write, beside what their children do by themselves."""

    def __init__(
        self, store: Store, job: JobSpec, scratch: Path, log: Callable[[str], None]
    ) -> None:
        """Take where the files are.

        Args:
            store: That of the run.
            job: The run's.
            scratch: A directory of this worker alone.
            log: Hears what went wrong beside the attempt.
        """
        self.whole = StoreBlobs(store)
        self._store = store
        self._job = job
        self._scratch = scratch.resolve()  # user code may put a link there
        self._reads: GrantedReads | None = None
        self._log = log

    def close(self) -> None:
        """Let go of the connections for signed reads."""
        if self._reads is not None:
            self._reads.close()

    def prepare(self, running: Running, scratch: Path) -> None:
        """Make its scratch folder and the way in which it reads.

        Raises:
            EnvironmentFailed: The task is of another job.
        """
        scratch.mkdir(parents=True)
        spec, table = running.spec, self._job.table
        try:
            pieces = running.pieces = Pieces(self._job.files, spec.ranges)
        except Mismatch as error:
            raise EnvironmentFailed(
                f"{spec.name}: the master sent no task of this job: {error}"
            ) from None
        key = layout.files(spec.run, table.sha256) if table else ""
        granted = self._granted(running, pieces)
        running.blobs = TaskBlobs(self.whole, spec, pieces, granted, key)

    def _granted(self, running: Running, pieces: Pieces) -> TaskReads | None:
        """What the master has signed for the attempt."""
        if not running.reads_query:
            return None
        if self._reads is None:
            # obstore, where it is used
            from gomr_runtime.storage.s3.signed_reads import GrantedReads

            self._reads = GrantedReads(S3Settings.configured(), self._store.url)
        return self._reads.of_task(len(pieces), running.reads_query, running.reads)

    async def publish(
        self, spec: TaskSpec, result: TaskResult, scratch: Path
    ) -> TaskResult | TaskFailure:
        """Put the files where nothing else is ever written; the commit makes them count."""
        files = []
        began = time.monotonic()
        real = await asyncio.to_thread(os.path.realpath, scratch)
        if Path(real) != self._scratch / scratch.name:
            return TaskFailure("worker", f"{spec.name}: {scratch} is a link, no folder of ours")
        for file in result.files:
            key = layout.attempt_data(spec, file.role)
            try:
                await asyncio.to_thread(self._store.put_file, key, Path(file.path))
            except GomrError as error:
                return TaskFailure("storage", f"{spec.name}: {error}")
            files.append(replace(file, path="", key=key))
        return stored(replace(result, files=tuple(files)), time.monotonic() - began)

    async def store_log(self, running: Running, outcome: TaskResult | TaskFailure) -> None:
        """What the attempt printed and why it failed, beside the run's output: the machine and its
        logs may be gone when somebody looks."""
        said = running.child.output.text() if running.child else ""
        if isinstance(outcome, TaskFailure):
            said = "\n".join(filter(None, (said, outcome.message, outcome.detail)))
        if not said or (isinstance(outcome, TaskFailure) and outcome.kind == "storage"):
            return
        key = layout.log(running.spec.run, f"{name_of(running.spec)}.log")
        try:
            data = said.encode("utf-8", "backslashreplace")
            await asyncio.to_thread(self._store.put, key, data)
        except GomrError as error:
            self._log(f"{running.spec.name}: cannot store what it printed: {error}")
