"""A worker: pulls attempts from the master, runs each in a child process, publishes and reports.

It holds the credentials and the connection; it never runs user code and never imports Arrow.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime.codec.fields import to_json
from gomr_runtime.codec.typed_json import Mismatch, from_json
from gomr_runtime.dataflow.execute import failure_of
from gomr_runtime.errors import EXIT_OK, EXIT_SIGTERM, EnvironmentFailed, GomrError
from gomr_runtime.laws.results import asked_of
from gomr_runtime.model.blob import Blobs
from gomr_runtime.model.inputs.pieces import Pieces
from gomr_runtime.model.job import JobDescription, JobSpec
from gomr_runtime.model.task import TaskFailure, TaskResult, TaskSpec
from gomr_runtime.rpc import connection
from gomr_runtime.storage.base import Store
from gomr_runtime.system.streams import say
from gomr_runtime.worker import forkserver
from gomr_runtime.worker.answers import progress_of, read_answer, read_description
from gomr_runtime.worker.attempt_files import AttemptFiles, Running, attempt_message, name_of
from gomr_runtime.worker.channel import BadFrame
from gomr_runtime.worker.child_handle import Child, Ended, Limits, NotStarted
from gomr_runtime.worker.child_main import Request
from gomr_runtime.worker.diagnosis import LAST_LINES, diagnose, record_in_flight, whereabouts
from gomr_runtime.worker.master_link import Identity, Lost, Session

if TYPE_CHECKING:
    pass

MOST_MAPS = 2**32 - 1  # in a run: a worker does not know how many there are
LOADS = 2  # of the worker file, where the first one crashes
LEAVE_SECONDS = 1.0  # for the master to hear a goodbye


@dataclass(frozen=True, slots=True)
class Settings:
    """program: the folder with its copy. scratch: a directory of this worker alone. slots: attempts
    at a time. trust: of a master on another machine."""

    run: str
    master: str
    token: str
    program: Path
    scratch: Path
    slots: int
    trust: connection.Trust | None = None
    name: str = field(
        default_factory=lambda: f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    )


class Supervisor:
    """One worker process; `run` returns its exit code."""

    def __init__(self, settings: Settings, store: Store, job: JobSpec) -> None:
        self._settings = settings
        self._store = store
        self._job = job
        self._local = store.url.startswith("file:")
        self._files = AttemptFiles(store, job, settings.scratch, _log)
        self._limits = Limits(job.memory, job.task_timeout)
        self._description: JobDescription | None = None
        self._running: dict[str, Running] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(settings.slots)
        self._used = 0
        self._epoch = 0
        self._defect: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._session = Session(settings.master, settings.token, self._say_room, settings.trust)

    async def run(self, terminated: asyncio.Event) -> int:
        """Until the master says that the run is over, or `terminated` is set."""
        work = asyncio.create_task(self._work())
        end = asyncio.create_task(terminated.wait())
        heart = asyncio.create_task(self._beat())
        watched: set[asyncio.Future[Any]] = {work, end, heart, self._defect}
        try:
            await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
            for failed in (self._defect, heart):
                if failed.done():
                    failed.result()
            if work.done():
                return work.result()
            await self._leave()
            return EXIT_SIGTERM
        finally:
            for task in watched:
                task.cancel()
            await self._abandon_all()
            self._files.close()

    async def _work(self) -> int:
        identity = await self._describe()
        incarnation = 0
        while True:
            incarnation += 1
            name = f"{self._settings.name}.{incarnation}"
            try:
                async for message in self._session.run(replace(identity, worker=name)):
                    code = self._handle(message)
                    if code is not None:
                        return code
            except Lost:
                _log("the master gave this worker up; starting over under a new name")
                self._session.forget()
                await self._abandon_all()

    async def _describe(self) -> Identity:
        """Load the worker file in a child: user imports may be slow, huge, or crash. A child that
        dies gets a second chance: it may have been killed for something else."""
        description = failure = ""
        for _ in range(LOADS):
            child = Child(self._request(), self._limits, None)
            try:
                said = read_description(*await child.answer(), self._job.worker_sha256)
            except (Ended, BadFrame, NotStarted) as error:
                message = f"{self._job.worker_name} cannot be loaded: {error}"
                detail = child.output.last_lines(LAST_LINES)
                failure = to_json(TaskFailure("user", message, detail=detail)).decode()
                if isinstance(error, Ended) and error.reason == "crash":
                    continue
            else:
                if isinstance(said, JobDescription):
                    description, failure = to_json(said).decode(), ""
                    self._description = said
                else:
                    failure = to_json(said).decode()
            break
        forkserver.sweep(set(), _log)
        return Identity(self._settings.run, "", description, failure)

    # Messages of the master.

    def _handle(self, message: pb.MasterMessage) -> int | None:
        """Act on the message; the exit code when it was the last one."""
        match message.WhichOneof("body"):
            case "assign":
                self._begin(message.assign, message.epoch)
            case "abandon":
                self._abandon(message.abandon)
            case "finished":
                return EXIT_OK
            case "refused":
                _log(f"refused: {message.refused.reason}")
                return message.refused.exit_code
        return None

    def _begin(self, assign: pb.Assign, epoch: int) -> None:
        try:
            spec = from_json(TaskSpec, assign.task)
        except Mismatch as error:
            raise EnvironmentFailed(
                f"the master of epoch {epoch} sent no task: {error}; use one version for both"
            ) from None
        running = Running(spec, epoch, assign.reads_query, assign.reads)
        self._running[name_of(spec)] = running
        self._used += 1
        task = asyncio.create_task(self._attempt(running))
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _abandon(self, abandon: pb.Abandon) -> None:
        wanted = abandon.attempt
        for running in self._running.values():
            spec = running.spec
            same = (spec.kind, spec.index, spec.attempt)
            if same == (wanted.kind, wanted.index, wanted.attempt) and (
                wanted.nonce in {"", spec.nonce}
            ):
                running.abandon()

    def _say_room(self) -> None:
        """How many more attempts fit; also said first on every new stream."""
        if self._session.highest_epoch > self._epoch:
            # A new master knows nothing of what an earlier one had started.
            for running in self._running.values():
                if running.epoch < self._session.highest_epoch:
                    running.abandon()
            self._session.forget()
            self._epoch = self._session.highest_epoch
        named = pb.Running(
            attempts=[attempt_message(other.spec) for other in self._running.values()]
        )
        self._session.send(pb.WorkerMessage(next=pb.Next(count=self._room, running=named)))

    @property
    def _room(self) -> int:
        return max(0, self._settings.slots - self._used)

    # Attempts.

    async def _attempt(self, running: Running) -> None:
        name = name_of(running.spec)
        scratch = self._settings.scratch / name
        room_told = False
        try:
            async with self._slots:
                outcome = await self._outcome(running, scratch)
            if outcome is not None:
                await self._files.store_log(running, outcome)
            self._used -= 1
            room_told = True
            if isinstance(outcome, TaskFailure) and not running.abandoned:
                # First, so that the master knows of it when it chooses what to give us next.
                self._report(running, outcome)
                outcome = None
            if not running.abandoned:
                self._say_room()
            if isinstance(outcome, TaskResult):
                outcome = await self._files.publish(running.spec, outcome, scratch)
            if outcome is not None and not running.abandoned:
                self._report(running, outcome)
        finally:
            self._running.pop(name, None)
            if not room_told:
                self._used -= 1
            if running.abandoned:
                self._say_room()
            await asyncio.to_thread(shutil.rmtree, scratch, True)

    async def _outcome(self, running: Running, scratch: Path) -> TaskResult | TaskFailure | None:
        """What the child made of it; None when it was abandoned."""
        if running.abandoned:
            return None
        try:
            await asyncio.to_thread(self._files.prepare, running, scratch)
        except GomrError as error:
            return failure_of(error, running.spec)
        except OSError as error:
            return TaskFailure("worker", f"{running.spec.name}: scratch space: {error.strerror}")
        assert running.pieces is not None
        local = self._local and not running.pieces.far
        request = self._request_for(running.spec, running.pieces, scratch, local=local)
        child = running.child = Child(request, self._limits, None if local else running.blobs)
        assert self._description is not None
        asked = asked_of(running.spec.kind, self._job, self._description, MOST_MAPS)
        try:
            kind, body = await child.answer()
            return await asyncio.to_thread(read_answer, kind, body, asked, scratch, child.peak)
        except Ended as ended:
            return None if ended.reason == "abandoned" else await self._diagnose(running, ended)
        except BadFrame as error:
            name = f"{running.spec.name}, attempt {running.spec.attempt}"
            return TaskFailure("crash", f"{name}: {error}")
        except NotStarted as error:
            return TaskFailure("worker", f"{running.spec.name}: {error}")
        finally:
            self._sweep()

    def _request(self) -> Request:
        """For a description; with a task, for an attempt."""
        job = self._job
        return Request(str(self._settings.program), job.worker_sha256, job.worker_name)

    def _request_for(
        self, spec: TaskSpec, pieces: Pieces, scratch: Path, *, local: bool
    ) -> Request:
        """For an attempt; the files of a table are read by the child."""
        pieces = pieces.alone()
        files = () if self._job.table else pieces.files if pieces.ranges else ()
        return replace(
            self._request(),
            task=to_json(replace(spec, ranges=pieces.ranges)),
            job=to_json(replace(self._job, files=files)),
            store=self._store.url if local else "",
            scratch=str(scratch),
        )

    async def _diagnose(self, running: Running, ended: Ended) -> TaskFailure:
        child = running.child
        assert child is not None
        assert self._description is not None
        monitor = list(child.monitor)
        where = await asyncio.to_thread(
            whereabouts,
            running.spec,
            self._job,
            self._description.format,
            running.blobs or cast(Blobs, self._files.whole),
            monitor,
        )
        return diagnose(
            cast(Literal["crash", "timeout", "memory"], ended.reason),
            str(ended),
            running.spec,
            where,
            record_in_flight(running.spec, monitor),
            child.output.last_lines(LAST_LINES),
        )

    def _report(self, running: Running, outcome: TaskResult | TaskFailure) -> None:
        spec = running.spec
        if isinstance(outcome, TaskFailure):
            outcome = replace(outcome, attempt=spec.attempt)
        text = to_json(outcome).decode("utf-8", "surrogateescape")
        report = pb.Report(attempt=attempt_message(spec), epoch=running.epoch)
        if isinstance(outcome, TaskResult):
            report.result = text
        else:
            _log(f"{spec.name} failed: {outcome.message}")
            report.failure = text
        self._session.send(pb.WorkerMessage(report=report), keep=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log(f"defect in the worker, please report it: {error!r}")
            if not self._defect.done():
                self._defect.set_exception(error)

    # Life.

    async def _beat(self) -> None:
        """Heartbeats; without a master for two leases what runs here runs elsewhere by now."""
        while True:
            await asyncio.sleep(self._job.heartbeat)
            if self._session.connected:
                self._session.beat(self._heartbeat())
            elif time.monotonic() - self._session.disconnected_since > 2 * self._job.lease:
                for running in self._running.values():
                    running.abandon()

    def _heartbeat(self) -> pb.Heartbeat:
        heartbeat = pb.Heartbeat(room=self._room)
        for running in self._running.values():
            spec = running.spec
            done, fraction = progress_of(running.child.monitor if running.child else None)
            progress = pb.Progress(attempt=attempt_message(spec), fraction=fraction, done=done)
            heartbeat.running.append(progress)
        return heartbeat

    def _sweep(self) -> None:
        children = [running.child for running in self._running.values() if running.child]
        if all(child.pid for child in children if not child.over):
            forkserver.sweep({child.pid for child in children if not child.over}, _log)

    async def _abandon_all(self) -> None:
        for running in self._running.values():
            running.abandon()
        if self._tasks:
            await asyncio.wait(set(self._tasks), timeout=8.0)

    async def _leave(self) -> None:
        if self._session.connected:
            self._session.send(pb.WorkerMessage(leave=pb.Leave(reason="SIGTERM")), keep=True)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._session.settled(), LEAVE_SECONDS)


def _log(text: str) -> None:
    say(f"gomr-worker: {text}")
