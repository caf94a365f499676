"""The gRPC side of the master: messages in, events and replies out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc.aio import EOF, ServicerContext

from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime._pb import run_pb2_grpc as services
from gomr_runtime.errors import one_line
from gomr_runtime.laws.results import asked_of
from gomr_runtime.master.admission import Admission, Expired, Refusal
from gomr_runtime.master.core.assignments import InvalidMessage, read_failure, read_result
from gomr_runtime.master.core.inputs import AttemptReported, HeartbeatReceived
from gomr_runtime.master.driver import Driver
from gomr_runtime.master.messages import attempt_id, read_progress
from gomr_runtime.master.sessions import Session as WorkerSession
from gomr_runtime.master.sessions import Stream
from gomr_runtime.model.task import TaskFailure, TaskResult
from gomr_runtime.scheduler.events import TaskWanted, WorkerLeft

REGISTER_SECONDS = 10.0  # from the stream's opening to the registration
MAX_SLOTS = 1024
LONGEST_REASON = 200  # characters of why a worker leaves

Context = ServicerContext[Any, Any]


class MasterService(services.MasterServicer):
    """Sessions of workers. reconnect_grace: seconds that a worker whose stream broke has to come
    back before it counts as dead; None where only its lease says so."""

    def __init__(self, driver: Driver, reconnect_grace: float | None) -> None:
        self._driver = driver
        self._admission = Admission(driver)
        self._grace = reconnect_grace

    async def Session(self, request_iterator: object, context: Context) -> None:  # noqa: N802
        session = await self._registered(context)
        if session is None:
            return
        outbox = session.open()
        reader = asyncio.create_task(self._read(context, session, outbox))
        try:
            while messages := await outbox.next():
                await context.write(pb.MasterMessages(messages=messages))
            if outbox.expired:
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "lost: register anew")
        finally:
            reader.cancel()
            self._closed(session, outbox)
        if reader.done() and not reader.cancelled() and (error := reader.exception()):
            self._refuse(session, error)
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, one_line(str(error)))

    def _refuse(self, session: WorkerSession, error: BaseException) -> None:
        """Give up a worker that said what no worker says; what it ran runs elsewhere."""
        driver, worker = self._driver, session.worker
        if not isinstance(error, InvalidMessage) or driver.sessions.find(worker) is not session:
            return
        reason = f"it said what no worker of this version says: {error}"
        driver.feed.log(one_line(f"worker {worker} is given up: {reason}"), "warning")
        driver.sessions.expire(worker)
        driver.post(WorkerLeft(driver.now(), worker, reason))

    async def _registered(self, context: Context) -> WorkerSession | None:
        try:
            first = await asyncio.wait_for(context.read(), REGISTER_SECONDS)
        except TimeoutError:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "no registration")
        if first is EOF or [m.WhichOneof("body") for m in first.messages] != ["register"]:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "register first")
        [request] = first.messages
        epoch = self._driver.journal.epoch
        try:
            session = await self._admission.register(request.register)
        except Refusal as refusal:
            refused = pb.Refused(reason=str(refusal), exit_code=refusal.exit_code)
            await _answer(context, pb.MasterMessage(epoch=epoch, refused=refused))
            return None
        except Expired:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "lost: register anew")
        await _answer(context, pb.MasterMessage(epoch=epoch, ack=pb.Ack(id=request.id)))
        return session

    async def _read(self, context: Context, session: WorkerSession, outbox: Stream) -> None:
        epoch = self._driver.journal.epoch
        try:
            while (several := await context.read()) is not EOF:
                for message in several.messages:
                    if message.id > session.handled:
                        self._handle(session, message)
                        session.handled = message.id
                    outbox.put(pb.MasterMessage(epoch=epoch, ack=pb.Ack(id=message.id)))
        finally:
            outbox.end()

    def _handle(self, session: WorkerSession, message: pb.WorkerMessage) -> None:
        driver, worker = self._driver, session.worker
        match message.WhichOneof("body"):
            case "heartbeat":
                self._heartbeat(worker, message.heartbeat)
            case "next":
                self._next(worker, message.next)
            case "report":
                self._report(worker, message.report)
            case "leave":
                driver.post(WorkerLeft(driver.now(), worker, message.leave.reason[:LONGEST_REASON]))
                driver.sessions.leave(worker)
            case other:
                raise InvalidMessage(f"unexpected {other} of worker {worker}")

    def _next(self, worker: str, wanted: pb.Next) -> None:
        named = tuple(map(attempt_id, wanted.running.attempts))
        running = named if wanted.HasField("running") else None
        count = min(wanted.count, MAX_SLOTS)
        self._driver.post(TaskWanted(self._driver.now(), worker, count, running))

    def _heartbeat(self, worker: str, heartbeat: pb.Heartbeat) -> None:
        driver = self._driver
        running = tuple(map(read_progress, heartbeat.running))
        room = min(heartbeat.room, MAX_SLOTS) if heartbeat.HasField("room") else None
        driver.post(HeartbeatReceived(driver.now(), worker, running, room))

    def _report(self, worker: str, report: pb.Report) -> None:
        driver = self._driver
        attempt, nonce = attempt_id(report.attempt), report.attempt.nonce
        outcome: TaskResult | TaskFailure
        plan = driver.plan
        assert plan is not None  # nobody is registered before there is one
        asked = asked_of(attempt.task.kind, driver.job, plan.description, len(plan.splits))
        if report.WhichOneof("outcome") == "result":
            outcome = read_result(driver.job.run, attempt, nonce, report.result, asked)
        else:
            outcome = read_failure(attempt, report.failure, asked)
        driver.post(AttemptReported(driver.now(), worker, attempt, nonce, report.epoch, outcome))

    def _closed(self, session: WorkerSession, outbox: Stream) -> None:
        driver = self._driver
        gone = session.closed(outbox)
        driver.sessions.check_idle()
        if gone and self._grace is not None and not driver.feed.ended and not session.left:
            loop = asyncio.get_running_loop()
            loop.call_later(self._grace, self._give_up, session)

    def _give_up(self, session: WorkerSession) -> None:
        driver = self._driver
        if session.outbox is None and driver.sessions.find(session.worker) is session:
            reason = f"its connection broke and it did not come back within {self._grace:g} s"
            driver.feed.log(f"worker {session.worker} is lost: {reason}", "warning")
            driver.sessions.expire(session.worker)
            driver.post(WorkerLeft(driver.now(), session.worker, reason))


async def _answer(context: Context, message: pb.MasterMessage) -> None:
    await context.write(pb.MasterMessages(messages=[message]))


class RunService(services.RunServicer):
    """The client's side."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.summary_told = asyncio.Event()

    async def Watch(  # noqa: N802
        self, request: pb.WatchRequest, context: Context
    ) -> AsyncIterator[pb.WatchEvent]:
        await self._check_run(request.run, context)
        async for event in self._driver.feed.after(request.after):
            yield event
            if event.WhichOneof("body") == "summary":
                self.summary_told.set()
        if self._driver.superseded:
            await context.abort(grpc.StatusCode.UNAVAILABLE, str(self._driver.error))

    async def Cancel(self, request: pb.CancelRequest, context: Context) -> pb.CancelReply:  # noqa: N802
        await self._check_run(request.run, context)
        self._driver.cancel(request.reason or "cancelled")
        return pb.CancelReply()

    async def Summary(self, request: pb.SummaryRequest, context: Context) -> pb.SummaryReply:  # noqa: N802
        await self._check_run(request.run, context)
        summary = self._driver.feed.last_summary
        if not summary:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"run {request.run} is not over yet")
        self.summary_told.set()
        return pb.SummaryReply(summary=summary)

    async def _check_run(self, run: str, context: Context) -> None:
        if run != self._driver.job.run:
            ours = self._driver.job.run
            await context.abort(
                grpc.StatusCode.NOT_FOUND, f"this is the master of run {ours}, not of {run!r}"
            )
