"""Which workers take part, and how the first of them gets the run planned."""

from __future__ import annotations

import asyncio

from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime.codec.typed_json import Mismatch, from_json, shown
from gomr_runtime.errors import (
    EXIT_ENVIRONMENT,
    EXIT_OK,
    EXIT_USAGE,
    GomrError,
    RunConflict,
    UsageError,
    one_line,
)
from gomr_runtime.master.core.plan import Plan
from gomr_runtime.master.driver import Driver
from gomr_runtime.master.planning import make_plan
from gomr_runtime.master.recovery import RunPlanned
from gomr_runtime.master.sessions import Session
from gomr_runtime.model.job import JobDescription, JobSpec, difference
from gomr_runtime.model.summary import Failure
from gomr_runtime.model.task import TaskFailure
from gomr_runtime.rpc import connection
from gomr_runtime.scheduler.events import PlanningBegan, WorkerJoined


class Refusal(Exception):
    """The worker may not take part; it ends with `exit_code`."""

    def __init__(self, reason: str, exit_code: int = EXIT_ENVIRONMENT) -> None:
        super().__init__(one_line(reason))
        self.exit_code = exit_code


class Expired(Exception):
    """A lost worker came back: it may register again under a new name."""


class Admission:
    """Checks registrations; the description of the first worker decides the plan."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._planning = asyncio.Lock()

    async def register(self, register: pb.Register) -> Session:
        """The worker's session. Raises Refusal or Expired."""
        driver = self._driver
        check_identity(register, driver.job, driver.journal.epoch)
        await driver.ready.wait()  # or it would be planned beside what the store knows
        if driver.feed.ended:
            raise Refusal(f"run {driver.job.run} is over", EXIT_OK)
        if register.highest_epoch > driver.journal.epoch:
            raise await self._check_newer(register)
        if register.failure:
            raise self._cannot_load(register)
        if driver.sessions.is_expired(register.worker):
            raise Expired
        description = read_description(register, driver.job)
        plan = await self._plan(description)
        if plan.description != description:
            raise Refusal(
                f"worker {register.worker} describes the job differently from the first worker "
                f"({difference(description, plan.description)}): give all workers the same file"
            )
        return self._join(register.worker)

    def _join(self, worker: str) -> Session:
        driver = self._driver
        session = driver.sessions.find(worker) or driver.sessions.join(worker)
        driver.post(WorkerJoined(driver.now(), worker))
        if len(driver.sessions) >= driver.job.workers:
            driver.tell_workers_connected()
        return session

    async def _check_newer(self, register: pb.Register) -> Refusal:
        """End this master if there is the newer one that a worker has seen: the store knows."""
        driver = self._driver
        claim = f"worker {register.worker} has seen a newer master"
        try:
            await asyncio.to_thread(driver.journal.check_epoch)
        except RunConflict:
            conflict = RunConflict(f"run {driver.job.run}: {claim}")
            driver.supersede(conflict)
            return Refusal(str(conflict))
        except GomrError as error:  # the fence notices as well, and says it
            return Refusal(f"{claim}, and the store does not tell: {error}")
        return Refusal(f"{claim}, of epoch {register.highest_epoch}, and there is none")

    def _cannot_load(self, register: pb.Register) -> Refusal:
        try:
            failure = from_json(TaskFailure, register.failure)
        except Mismatch as mismatch:
            return Refusal(f"worker {register.worker}: unreadable failure: {mismatch}")
        if self._driver.plan is None:
            error = UsageError(failure.message, detail=failure.detail)
            error.failure = Failure(error.kind, str(error), frames=failure.frames)
            self._driver.fail(error)
        else:
            self._driver.feed.log(f"worker {register.worker}: {failure.message}", "warning")
        return Refusal(failure.message, EXIT_USAGE)

    async def _plan(self, description: JobDescription) -> Plan:
        driver = self._driver
        async with self._planning:
            if driver.plan is None:
                driver.post(PlanningBegan(driver.now()))
                try:
                    plan = await asyncio.to_thread(self._make_plan, description)
                except GomrError as error:
                    driver.fail(error)
                    raise Refusal(str(error), error.exit_code) from None
                driver.planned(RunPlanned(plan))
            assert driver.plan is not None
            return driver.plan

    def _make_plan(self, description: JobDescription) -> Plan:
        job = self._driver.job
        return self._driver.journal.write_plan(make_plan(job, description), job.files)


def check_identity(register: pb.Register, job: JobSpec, epoch: int) -> None:
    """Refusal for a worker of another run or of another version of GoMR."""
    if not 0 < len(register.worker) <= 200 or not register.worker.isprintable():
        raise Refusal("a worker's name is 1 to 200 printable characters")
    if register.run != job.run:
        raise Refusal(f"this is master {epoch} of run {job.run}, not of {shown(register.run)}")
    if register.version != connection.version():
        raise Refusal(
            f"worker {register.worker} has gomr_runtime {shown(register.version)}, the master "
            f"{connection.version()}: build both from the same version"
        )


def read_description(register: pb.Register, job: JobSpec) -> JobDescription:
    """What the worker file says of itself, from the very file that the client gave."""
    try:
        description = from_json(JobDescription, register.description)
    except Mismatch as error:
        raise Refusal(f"worker {register.worker}: unreadable description: {error}") from None
    if description.worker_sha256 != job.worker_sha256:
        raise Refusal(
            f"worker {register.worker} has another {job.worker_name} than the one the run was "
            "started with: build its image again, or start a new run"
        )
    return description
