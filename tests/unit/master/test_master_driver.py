"""What a master tells those who watch, from its driver on."""

from __future__ import annotations

import asyncio

import pytest

from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime.errors import GomrError, JobFailed
from gomr_runtime.master.core.plan import Plan
from gomr_runtime.master.driver import Driver
from gomr_runtime.master.feed import Feed
from gomr_runtime.master.journal import Journal
from gomr_runtime.master.recovery import RunPlanned, Succession
from gomr_runtime.model.job import Format, JobDescription, JobSpec
from gomr_runtime.scheduler.state import Phase
from gomr_runtime.storage.memory import MemoryStore

SHA = "0" * 64
JOB = JobSpec("run-1", (), 1, 2, 1, SHA, "worker.py")


async def ended_in_the_map(error: GomrError | None) -> list[pb.WatchEvent]:
    """All events of a run that fails in its map with `error`, or is cancelled there."""
    journal = Journal(MemoryStore(), JOB.run)
    journal.take_epoch()
    feed = Feed(journal.epoch)
    driver = Driver(journal, Succession(JOB, journal.epoch, 0.0), feed)
    description = JobDescription(Format("lines"), False, "", "user", "hash", "", False, SHA)
    driver.planned(RunPlanned(Plan(description, ((), ()), ())))
    running = asyncio.create_task(driver.run())
    while driver.core.scheduler.state.phase is not Phase.MAP or not feed.progress_due():  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    if error is None:
        driver.cancel("seen enough")
    else:
        driver.fail(error)
    assert await asyncio.wait_for(running, 10) != 0
    return [event async for event in feed.after(0)]


@pytest.mark.parametrize("error", [None, JobFailed("map-0 failed")], ids=["cancelled", "failed"])
def test_a_run_that_ends_in_the_map_is_never_told_to_be_further(error: GomrError | None) -> None:
    events = asyncio.run(asyncio.wait_for(ended_in_the_map(error), 30))
    phases = [event.progress.phase for event in events if event.WhichOneof("body") == "progress"]
    assert set(phases) <= {"wait", "map"}
    assert "map" in phases
    assert events[-1].WhichOneof("body") == "summary"
