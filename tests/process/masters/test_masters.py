"""Masters that are killed at each point of a run, and two masters at once (rows M1 and M3)."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime.errors import EXIT_CONFLICT
from gomr_runtime.model.summary import Summary
from gomr_runtime.rpc import connection
from gomr_runtime.runs.local import LocalRun
from tests.process.support.faulty_master import be_impatient
from tests.process.support.local_runs import Job, word_count
from tests.process.support.s3.s3_runs import MAPS, REDUCES, TASKS, TEXT

FAULTY = Path(__file__).parents[1] / "support" / "faulty_master.py"
BACK = 5.0  # seconds in which another master has the run in hand
SLACK = 25.0  # seconds that a busy machine may add
SECONDS = 30.0
POINTS = {
    "split": "before plan.json",
    "planned": "after plan.json",
    "map": "after commit/map-1",
    "barrier": "before maps",
    "sealed": "after maps",
    "reduce": "after commit/reduce-0",
    "promote": "after output-00000.txt",
    "before _SUCCESS": "before _SUCCESS",
    "after _SUCCESS": "after _SUCCESS",
}


@dataclass
class Struck:
    """A job whose first master meets `fault`, and what was seen of it."""

    job: Job
    flag: Path
    back: float = 0.0  # when another master was heard
    known: int = 0  # committed tasks that it found

    def see(self, event: pb.WatchEvent) -> None:
        if found := re.search(r"goes on: (\d+) tasks", event.log.text):
            self.known = int(found[1])
        if event.sequence >> 32 > 1 and not self.back:
            self.back = time.monotonic()

    @property
    def moment(self) -> float:
        return float(self.flag.read_text())

    @property
    def data(self) -> Path:
        return self.job.store / "runs" / self.job.run

    def committed_before(self) -> list[str]:
        """Tasks whose manifest was there when the fault struck."""
        began = time.time() - time.monotonic()
        found = (self.data / "commit").iterdir()
        return [path.name for path in found if path.stat().st_mtime - began <= self.moment]

    def check(self, summary: Summary, expected: list[bytes]) -> None:
        parts = [(self.job.store / part.key).read_bytes() for part in summary.parts]
        assert parts == expected
        assert sorted(path.name for path in (self.data / "commit").iterdir()) == TASKS
        for task in self.committed_before():
            assert len(list((self.data / "data" / task).iterdir())) == 1, f"{task} ran again"
        assert summary.lost_workers == 0
        assert summary.ledger.records_read == len(TEXT.splitlines())


@pytest.fixture
def struck(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Struck]:
    def made(fault: str) -> Struck:
        python = folder / "python"
        python.write_text(f'#!/bin/sh\nexec {sys.executable} -P {FAULTY} "$@"\n')
        python.chmod(0o755)
        flag = folder / "flag"
        monkeypatch.setenv("FAULT", fault)
        monkeypatch.setenv("FAULT_FLAG", str(flag))
        options = {"mappers": MAPS, "reducers": REDUCES, "max_attempts": 1, "lease": 30.0}
        job = Job(folder, word_count(), TEXT, options=options, python=str(python))
        return Struck(job, flag)

    return made


@pytest.mark.parametrize("point", POINTS)
def test_M1_a_master_killed_in_each_phase_is_followed_by_another(
    struck: Callable[[str], Struck], expected: list[bytes], point: str
) -> None:
    """Back within seconds, and no committed task runs again."""
    run = struck(f"kill {POINTS[point]}")
    summary = run.job.go(lambda _, event: run.see(event))
    run.check(summary, expected)
    took = run.back - run.moment
    print(f"{point}: another master after {took:.2f} s")  # for docs/faults.md: pytest -rP
    assert 0 < took < BACK + SLACK
    assert run.known >= len(run.committed_before()) or run.known == 0
    left = len(TASKS) - run.known
    # From the decision on it is the first master's summary that counts.
    expected_attempts = {left} if left else {0, len(TASKS)}
    assert summary.attempts in expected_attempts, "a committed task ran again"


@pytest.mark.parametrize(
    ("fault", "woken"),
    [
        ("before commit/map-1", "at once"),
        ("before maps", "at the end"),
        ("before output-00000.txt", "at once"),
        ("before _SUCCESS", "at the end"),
    ],
    ids=["map", "barrier", "promote", "success"],
)
def test_M3_a_stopped_master_is_replaced_and_has_no_effect_when_it_is_back(
    struck: Callable[[str], Struck],
    expected: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
    fault: str,
    woken: str,
) -> None:
    """It stands still in the middle of a write, while another does the rest, or a part of it."""
    monkeypatch.setattr(
        connection, "CLIENT_OPTIONS", connection.CLIENT_OPTIONS
    )  # taken back at the end
    be_impatient()
    run = struck(f"stop {fault}")
    with run.job.launch() as local:
        (first,) = [process for process in local._processes if process.name == "master"]

        def on_event(event: pb.WatchEvent) -> None:
            run.see(event)
            # When it ends it removes the socket, under which the other can be reached no more.
            settled = event.progress.workers == 2 or event.progress.phase == "promote"
            if run.back and settled and woken == "at once":
                first.signal(signal.SIGCONT)

        second = threading.Thread(target=replace_when_stopped, args=(local, first.pid))
        second.start()
        for event in local.messages():
            on_event(event)
        summary = local.result()
        second.join(SECONDS)
        first.signal(signal.SIGCONT)
        assert first.join(SECONDS)
        # Once it had decided how the run ends, the other carried out the same decision.
        decided = fault.endswith((".txt", "_SUCCESS"))
        assert first.returncode in ({EXIT_CONFLICT, 0} if decided else {EXIT_CONFLICT})
    run.check(summary, expected)
    took = run.back - run.moment
    print(f"{fault}, woken {woken}: another master after {took:.2f} s")


def replace_when_stopped(local: LocalRun, pid: int) -> None:
    """Start a second master once the first one stands still."""
    first = psutil.Process(pid)
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and first.status() != psutil.STATUS_STOPPED:
        os.sched_yield()
    local._start_master()
