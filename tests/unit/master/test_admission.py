"""Registrations while a master is still on its way."""

from __future__ import annotations

import asyncio

import pytest

import gomr_runtime
from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime.codec.fields import to_json
from gomr_runtime.master.admission import Admission
from gomr_runtime.master.core.plan import Manifest, Plan
from gomr_runtime.master.driver import Driver
from gomr_runtime.master.feed import Feed
from gomr_runtime.master.journal import Journal
from gomr_runtime.master.recovery import RunPlanned, Succession
from gomr_runtime.model.ids import AttemptId, TaskId
from gomr_runtime.model.job import Format, JobDescription, JobSpec
from gomr_runtime.model.task import Ledger, TaskResult
from gomr_runtime.storage.memory import MemoryStore

SHA = "0" * 64
DESCRIPTION = JobDescription(Format("lines"), False, "", "user", "hash", "", False, SHA)
JOB = JobSpec("run-1", (), 1, 2, 1, SHA, "worker.py")
PLAN = Plan(DESCRIPTION, ((), ()), ())


@pytest.mark.asyncio
async def test_M1_a_worker_that_comes_while_the_store_is_replayed_waits_for_it() -> None:
    """Else the run would be planned a second time, and without the commits."""
    journal = Journal(MemoryStore(), JOB.run)
    journal.write_plan(PLAN, ())
    journal.take_epoch()
    driver = Driver(journal, Succession(JOB, journal.epoch, 0.0), Feed(journal.epoch))
    register = pb.Register(
        run=JOB.run,
        worker="w",
        description=to_json(DESCRIPTION).decode(),
        version=gomr_runtime.__version__,
    )
    joining = asyncio.create_task(Admission(driver).register(register))
    _, waiting = await asyncio.wait({joining}, timeout=0.2)
    assert waiting == {joining}
    done = Manifest(1, AttemptId(TaskId("map", 0), 1), "n", TaskResult((), Ledger()))
    driver.planned(RunPlanned(PLAN, (done,)))
    running = asyncio.create_task(driver.run())
    assert (await asyncio.wait_for(joining, 5)).worker == "w"
    driver.cancel("seen enough")
    assert await asyncio.wait_for(running, 5) == 130
    assert driver.core.scheduler.state.committed_attempts("map") == [done.attempt]
    assert driver.core.scheduler.state.live_workers == 1
