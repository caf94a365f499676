"""Workers that die, stop, crawl, fill their disk, come and go (rows W of docs/faults.md)."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime.errors import EnvironmentFailed
from gomr_runtime.master.journal import Journal
from gomr_runtime.model.summary import Summary
from gomr_runtime.runs.local import LocalRun
from gomr_runtime.storage.open_store import open_store
from tests.process.support.crawl import STEPS, Crawl
from tests.process.support.local_runs import WAIT, Job, word_count

FAULTY = Path(__file__).parents[1] / "support" / "faulty_worker.py"
SLACK = 5.0  # seconds that a busy machine may add to what is measured
KILL = "import multiprocessing; os.kill(multiprocessing.parent_process().pid, signal.SIGKILL)"
ONCE = """
once = Path({folder!r}) / "once"
if not once.exists() and line.startswith("b"):
    once.touch()
    {act}
"""


def once(folder: Path, act: str) -> str:
    return word_count(ONCE.format(folder=str(folder), act=act))


# More than a small disk holds, and nothing in the end.
BIG = """
while not Path({folder!r}, "go").exists():
    time.sleep(0.001)
    ctx.progress()
for _ in range(300):
    number = int.from_bytes(os.urandom(7), "big")
    ctx.emit(line[0], number)
    ctx.emit(line[0], -number)
"""


def check_output(job: Job, summary: Summary) -> None:
    """Right counts, every record once, one commit a task."""
    assert job.counts(summary) == Counter(job.text.split())
    assert summary.ledger.records_read == len(job.text.splitlines())
    commits = job.store / "runs" / job.run / "commit"
    assert len(list(commits.iterdir())) == summary.mappers + summary.reducers


def attempt_committed(job: Job, task: str) -> int:
    journal = Journal(open_store(str(job.store)), job.run)
    return next(m.attempt.attempt for m in journal.read_commits() if str(m.attempt.task) == task)


class Clock:
    """When things happened; `noticed` is the moment at which a worker was said to be lost."""

    def __init__(self) -> None:
        self.struck = 0.0
        self.noticed = 0.0

    def see(self, event: pb.WatchEvent) -> None:
        if " is lost: " in event.log.text and not self.noticed:
            self.noticed = time.monotonic()

    @property
    def seconds(self) -> float:
        return self.noticed - self.struck


def test_W1_a_worker_killed_in_a_map_task(folder: Path) -> None:
    job = Job(folder, once(folder, KILL + "; time.sleep(60)"))
    summary = job.go()
    assert (folder / "once").exists()
    check_output(job, summary)
    assert summary.lost_workers == 1
    assert summary.attempts == 4 + 2 + 1


def test_W2_a_worker_killed_in_a_reduce_task(folder: Path) -> None:
    act = ONCE.format(folder=str(folder), act=KILL + "; time.sleep(60)").replace("line", "key")
    source = word_count().replace(
        "    ctx.emit(key,", act.replace("\n", "\n    ") + "ctx.emit(key,"
    )
    job = Job(folder, source)
    summary = job.go()
    assert (folder / "once").exists()
    check_output(job, summary)
    assert summary.lost_workers == 1
    assert summary.attempts == 4 + 2 + 1, "no map task was run again"


@pytest.mark.parametrize(("row", "point"), [("W2", "upload"), ("W3", "report"), ("W3", "ack")])
def test_W2_W3_a_worker_killed_around_its_report(
    folder: Path, monkeypatch: pytest.MonkeyPatch, row: str, point: str
) -> None:
    """Exactly one commit; what the master has heard of is not run again."""
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -P {FAULTY} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setenv("FAULT", point)
    monkeypatch.setenv("FAULT_FLAG", str(folder / "flag"))
    job = Job(folder, word_count(), python=str(python))
    summary = job.go()
    assert (folder / "flag").exists(), row
    check_output(job, summary)
    assert summary.lost_workers == 1
    # A worker asks for its next task before it stores its data: that one may be lost as well.
    assert summary.attempts - (4 + 2) in ({0, 1} if point == "ack" else {1, 2})
    stored = list((job.store / "runs" / job.run / "data").glob("*/*"))
    assert len(stored) == (7 if point == "report" else 6), "of one attempt nobody heard"


def test_W3_an_idle_worker_killed(folder: Path) -> None:
    clock = Clock()
    act = WAIT.format(folder=str(folder))
    job = Job(folder, word_count(act), options={"mappers": 1})

    def on_event(run: LocalRun, event: pb.WatchEvent) -> None:
        clock.see(event)
        if event.progress.workers == 2 and event.progress.running == 1 and not clock.struck:
            clock.struck = time.monotonic()
            os.kill(idle_worker(run), signal.SIGKILL)
        if clock.noticed:
            (folder / "go").touch()

    summary = job.go(on_event)
    check_output(job, summary)
    assert (summary.lost_workers, summary.attempts) == (1, 1 + 2)
    assert clock.seconds < 1 + SLACK, "its connection broke; no lease has to end"


def idle_worker(run: LocalRun) -> int:
    """The worker whose forkserver has no child."""
    for name, pid in run.pids.items():
        if name != "master" and len(psutil.Process(pid).children(recursive=True)) <= 2:
            return pid
    raise AssertionError("both are busy")


def test_W4_all_workers_killed_at_once(folder: Path) -> None:
    act = WAIT.format(folder=str(folder))
    job = Job(folder, word_count(f"if line == 'stop':\n{act}".replace("\n", "\n    ")))
    job.text += "stop\n"
    killed: list[int] = []

    def on_event(run: LocalRun, event: pb.WatchEvent) -> None:
        if event.progress.committed == 3 and not killed:
            killed.extend(pid for name, pid in run.pids.items() if name != "master")
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
            (folder / "go").touch()

    summary = job.go(on_event)
    assert len(killed) == 2
    check_output(job, summary)
    # Only the task that ran; once more if the second dead worker was given it meanwhile.
    assert summary.attempts - (4 + 2) in {1, 2}


STOPPED = """
import multiprocessing
here, me = Path({folder!r}), multiprocessing.parent_process().pid
if line == "stop" and not (here / "stopped").exists():
    (here / "struck").write_text(str(time.monotonic()))
    (here / "stopped").write_text(str(me))
    os.kill(me, signal.SIGSTOP)
elif line == "stop":
    os.kill(int((here / "stopped").read_text()), signal.SIGCONT)
    logs = here / "logs"
    while not any("starting over" in path.read_text() for path in logs.glob("worker-*")):
        time.sleep(0.01)
        ctx.progress()
"""


def test_W5_a_stopped_worker_is_refused_when_it_comes_back(folder: Path) -> None:
    """Its child finishes meanwhile, so it comes back with a result: too late."""
    lease = 1.5
    job = Job(folder, word_count(STOPPED.format(folder=str(folder))), options={"lease": lease})
    job.text += "stop\n"
    clock = Clock()
    summary = job.go(lambda _, event: clock.see(event))
    check_output(job, summary)
    clock.struck = float((folder / "struck").read_text())
    assert lease - 0.5 < clock.seconds < lease + 1 + SLACK
    assert summary.lost_workers == 1
    assert summary.attempts == 4 + 2 + 1
    assert attempt_committed(job, "map-3") == 2
    logs = job.log_of("worker-0") + job.log_of("worker-1")
    assert logs.count("starting over under a new name") == 1
    assert len({process.pid for process in job.processes()}) == 0


def test_W6_a_child_that_holds_the_interpreter_lock_keeps_its_lease(folder: Path) -> None:
    """For longer than the lease, and for longer than its worker could be silent."""
    hold = "import ctypes\nif line == 'stop': ctypes.PyDLL(None).sleep(3)"
    job = Job(folder, word_count(hold), options={"lease": 1.0, "heartbeat": 0.2})
    job.text += "stop\n"
    summary = job.go()
    check_output(job, summary)
    assert (summary.lost_workers, summary.attempts) == (0, 4 + 2)


@pytest.mark.parametrize("backups", [True, False])
def test_W7_a_worker_ten_times_slower_gets_a_backup(folder: Path, backups: bool) -> None:
    options = {"workers": 3, "mappers": 9, "backups": backups, "backup_floor": 0.3}
    source = word_count(STEPS.format(folder=str(folder)))
    job = Job(folder, source, text="a b\n" * 450, options=options)
    crawl: list[Crawl] = []

    def on_event(run: LocalRun, event: pb.WatchEvent) -> None:
        if event.progress.running == 3 and not crawl:
            crawl.append(Crawl(run.pids["worker-0"]))
            crawl[0].start()
            (folder / "go").touch()

    try:
        summary = job.go(on_event)
    finally:
        for one in crawl:
            one.end()
    check_output(job, summary)
    assert summary.lost_workers == 0
    extra = summary.attempts - 9 - 2
    assert extra >= 1 if backups else extra == 0


def test_W8_a_worker_told_to_end_gives_its_task_back_at_once(folder: Path) -> None:
    act = WAIT.format(folder=str(folder))
    job = Job(folder, word_count(act), options={"lease": 60.0, "max_attempts": 1})
    clock = Clock()
    told: list[int] = []

    def on_event(run: LocalRun, event: pb.WatchEvent) -> None:
        clock.see(event)
        if event.progress.running == 2 and not told:
            told.append(run.pids["worker-0"])
            clock.struck = time.monotonic()
            os.kill(told[0], signal.SIGTERM)
        if told and event.progress.running == 2 and run.pids.get("worker-0") != told[0]:
            (folder / "go").touch()

    started = time.monotonic()
    summary = job.go(on_event)
    assert time.monotonic() - started < 30, "the lease alone takes 60 s"
    check_output(job, summary)
    assert summary.lost_workers == 1, "and it is not charged as a failure"
    assert not psutil.pid_exists(told[0])


@pytest.fixture
def full_disk() -> Iterator[Callable[[LocalRun, int], None]]:
    """Puts a file system of next to no size over the scratch space of a worker."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("needs root, to mount a small tmpfs")
    mounted: list[str] = []

    def mount(run: LocalRun, slot: int) -> None:
        place = str(run._scratch / f"w{slot}")
        command = ["mount", "-t", "tmpfs", "-o", "size=64k", "gomr-test", place]
        subprocess.run(command, check=True, capture_output=True)
        mounted.append(place)

    yield mount
    for place in mounted:
        subprocess.run(["umount", "-l", place], check=True, capture_output=True)
    if mounted:
        shutil.rmtree(Path(mounted[0]).parent)  # they were in the launcher's way


def test_W10_a_worker_whose_disk_is_full_is_left_out(
    folder: Path, full_disk: Callable[[LocalRun, int], None]
) -> None:
    """Its attempts fail by its own fault and are made elsewhere; then it gets no more."""
    source = word_count(BIG.format(folder=str(folder)))
    job = Job(folder, source, options={"mappers": 12, "max_attempts": 1})

    def on_event(event: pb.WatchEvent) -> None:
        job.events.append(event)
        if event.log.text == "All workers connected":
            (folder / "go").touch()

    with job.launch() as run:
        full_disk(run, 0)
        for event in run.messages():
            on_event(event)
        summary = run.result()
    check_output(job, summary)
    assert "scratch space: No space left on device" in " ".join(job.log_lines())
    failed = job.log_of("worker-0").count("No space left on device")
    assert 1 <= failed <= 3, "quarantined"
    assert job.log_of("worker-1").count("No space left on device") == 0
    assert summary.attempts == 12 + 2 + failed


def test_W10_all_disks_full_end_the_run(
    folder: Path, full_disk: Callable[[LocalRun, int], None]
) -> None:
    (folder / "go").touch()
    job = Job(folder, word_count(BIG.format(folder=str(folder))), options={"max_lost": 3})
    with job.launch() as run:
        full_disk(run, 0)
        full_disk(run, 1)
        with pytest.raises(EnvironmentFailed, match="No space left on device") as caught:
            run.result()
    assert caught.value.exit_code == 3
    assert "map-" in str(caught.value)
    assert not (job.store / f"outputs/{job.run}/_SUCCESS").exists()


def test_W12_a_worker_added_and_one_taken_away(folder: Path) -> None:
    act = WAIT.format(folder=str(folder))
    options = {"workers": 1, "mappers": 6, "lease": 60.0}
    job = Job(folder, word_count(act), options=options)
    steps: list[str] = []

    def on_event(run: LocalRun, event: pb.WatchEvent) -> None:
        progress = event.progress
        if not steps and progress.running == 1:
            run._start_worker(1)
            steps.append("added")
        elif steps == ["added"] and progress.running == 2:
            os.kill(run.pids["worker-0"], signal.SIGTERM)
            steps.append("taken")
            (folder / "go").touch()

    summary = job.go(on_event)
    assert steps == ["added", "taken"]
    check_output(job, summary)
    assert summary.lost_workers == 1
    assert summary.attempts == 6 + 2 + 1
