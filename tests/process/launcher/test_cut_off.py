"""Workers that a silent network cuts off from their master (row N1 of docs/faults.md)."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime.runs.local import LocalRun
from tests.process.support.local_runs import WAIT, Job, word_count
from tests.process.support.wire import Wire, wire_to

LEASE = 3.0  # seconds
SLACK = 5.0  # seconds that a busy machine may add to what is measured


@pytest.fixture
def wire() -> Iterator[Wire]:
    with (
        tempfile.TemporaryDirectory(prefix="w-", dir="/tmp") as folder,
        wire_to(Path(folder), "w0") as wire,
    ):
        yield wire


@pytest.mark.parametrize("restored", [True, False], ids=["restored", "for good"])
@pytest.mark.parametrize("way", ["to", "from", "both"])
def test_N1_a_worker_is_cut_off_from_the_master(
    folder: Path, wire: Wire, way: str, restored: bool
) -> None:
    """In the middle of a map task: it runs elsewhere, and what comes of the first is refused."""
    source = word_count(WAIT.format(folder=str(folder)))
    options = {"lease": LEASE, "mappers": 2, "heartbeat": 0.2}
    job = Job(folder, source, python=str(wire.python), options=options)
    moments: dict[str, float] = {}

    def on_event(_: LocalRun, event: pb.WatchEvent) -> None:
        if len(list(folder.glob("at-*"))) == 2 and "cut" not in moments:
            moments["cut"] = time.monotonic()
            wire.silence(way)
        if " is lost: " in event.log.text and "noticed" not in moments:
            moments["noticed"] = time.monotonic()
            if restored:
                wire.restore()
            (folder / "go").touch()

    summary = job.go(on_event)
    seconds = moments["noticed"] - moments["cut"]
    print(f"{way}: lost after {seconds:.1f} s")
    assert seconds < LEASE + 1 + SLACK
    assert sum(wire.held.values()), "it had something to say or to hear"
    assert job.counts(summary) == Counter(job.text.split())
    assert summary.lost_workers == 1
    commits = job.store / "runs" / job.run / "commit"
    assert len(list(commits.iterdir())) == summary.mappers + summary.reducers
    assert summary.attempts == 2 + 2 + 1
