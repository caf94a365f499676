"""Real masters and workers on this machine, from the launcher to the parts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime.errors import (
    Cancelled,
    EnvironmentFailed,
    RunConflict,
    UsageError,
)
from gomr_runtime.runs.local import LocalRun
from tests.process.support.local_runs import CANARY, HEAD, WAIT, Job, word_count


def committed(event: pb.WatchEvent, phase: str = "map") -> int:
    progress = event.progress
    return progress.committed if progress.phase == phase else 0


def test_word_count_is_right_and_quick(folder: Path) -> None:
    job = Job(folder, word_count())
    started = time.monotonic()
    summary = job.go()
    seconds = time.monotonic() - started

    assert job.counts(summary) == Counter(job.text.split())
    # On a busy machine one worker may do all of the map; then a line says so before these.
    assert job.log_lines()[-3:] == [
        "All workers connected", "All map tasks completed!", "Map reduce completed",
    ]  # fmt: skip
    assert (summary.state, summary.exit_code, summary.mappers) == ("succeeded", 0, 4)
    assert summary.ledger.records_read == 200
    assert (job.store / f"outputs/{job.run}/_SUCCESS").exists()
    assert seconds < 15, "about 1.5 s on an idle machine"


def test_an_empty_input_gives_empty_parts(folder: Path) -> None:
    job = Job(folder, word_count(), text="")
    summary = job.go()
    assert [part.size for part in summary.parts] == [0, 0]


def test_events_are_numbered_and_end_with_the_summary(folder: Path) -> None:
    job = Job(folder, word_count())
    job.go()
    numbers = [event.sequence for event in job.events]
    assert numbers == sorted(set(numbers))
    assert job.events[-1].WhichOneof("body") == "summary"


def test_E6_four_runs_at_once_in_one_store(folder: Path) -> None:
    jobs = []
    for n in range(4):
        (folder / f"{n}").mkdir()
        text = f"a {n}\n" * 100
        job = Job(folder / f"{n}", word_count(), text, f"run-{n}", shared_store=folder / "store")
        jobs.append(job)
    with ThreadPoolExecutor(4) as pool:
        summaries = list(pool.map(Job.go, jobs))
    for n, (job, summary) in enumerate(zip(jobs, summaries, strict=True)):
        assert job.counts(summary) == {"a": 100, str(n): 100}
        assert summary.ledger.records_read == 100


def test_M1_a_killed_master_goes_on_without_running_committed_maps_again(folder: Path) -> None:
    held = folder / "held"
    held.mkdir()
    act = WAIT.format(folder=str(held))
    # Map 3 waits; the others commit before the master is killed.
    body = f"if line == 'stop':\n{act.replace(chr(10), chr(10) + '    ')}"
    source = word_count(f"print('mapped', line)\n{body}")
    lines = ["a b", "b c", "c d", "d e"] * 50
    job = Job(folder, source, text="\n".join([*lines, "stop"]) + "\n")
    masters: list[int] = []

    def on_event(run: LocalRun, event: pb.WatchEvent) -> None:
        if committed(event) == 3 and not masters:
            masters.append(run.pids["master"])
            os.kill(masters[0], signal.SIGKILL)
        if masters and any("goes on: 3 tasks" in line for line in job.log_lines()):
            (held / "go").touch()

    summary = job.go(on_event)
    assert masters
    assert "master 2 goes on: 3 tasks are committed" in job.log_lines()
    assert job.counts(summary) == Counter(job.text.split())
    # The second master started the waiting map and the reduces, and nothing else.
    assert summary.attempts == 1 + 2
    data = job.store / "runs" / job.run / "data"
    assert [len(list((data / f"map-{n}").iterdir())) for n in range(3)] == [1, 1, 1]


def test_M4_a_master_is_started_three_times_and_not_once_more(folder: Path) -> None:
    held = folder / "held"
    held.mkdir()
    job = Job(folder, word_count(WAIT.format(folder=str(held))))
    killed: set[int] = set()

    def on_event(run: LocalRun, event: pb.WatchEvent) -> None:
        pid = run.pids.get("master")
        if event.progress.running and pid and pid not in killed:
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)

    with pytest.raises(EnvironmentFailed, match="master was killed by SIGKILL"):
        job.go(on_event)
    assert len(killed) == 3


def test_cancel_ends_the_run(folder: Path) -> None:
    held = folder / "held"
    held.mkdir()
    job = Job(folder, word_count(WAIT.format(folder=str(held))))

    def on_event(run: LocalRun, event: pb.WatchEvent) -> None:
        if event.progress.running:
            run.cancel("enough seen")

    with pytest.raises(Cancelled, match="enough seen"):
        job.go(on_event)
    assert job.summary is not None
    assert job.summary.state == "cancelled"


def test_W11_an_import_error_ends_the_run_at_once(folder: Path) -> None:
    source = HEAD + "def helper():\n    raise ValueError('not today')\n\nhelper()\n" + word_count()
    job = Job(folder, source)
    with pytest.raises(UsageError, match=r"worker.py cannot be loaded: .*not today") as caught:
        job.go()
    assert "in helper" in caught.value.detail


def test_W11_a_crash_on_import_ends_the_run_at_once(folder: Path) -> None:
    job = Job(folder, HEAD + "os.abort()\n" + word_count())
    with pytest.raises(UsageError, match=r"worker.py cannot be loaded: it died of SIGABRT"):
        job.go()


def test_W11_a_child_killed_while_it_loads_the_worker_file_is_no_failure(folder: Path) -> None:
    act = (
        f"once = Path({str(folder / 'once')!r})\n"
        "if not once.exists():\n    once.touch()\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    job = Job(folder, HEAD + act + word_count(), options={"max_attempts": 1})
    assert job.counts(job.go()) == Counter(job.text.split())
    assert (folder / "once").exists()


def test_bad_records_with_chunks_are_refused(folder: Path) -> None:
    source = word_count().replace(", input=gomr.lines", "")
    job = Job(folder, source, options={"skip_bad_records": 1})
    with pytest.raises(UsageError, match=r"use input=gomr.lines"):
        job.go()


def test_E7_a_run_id_is_used_once(folder: Path) -> None:
    Job(folder, word_count()).go()
    with pytest.raises(RunConflict, match="exists already"):
        Job(folder, word_count()).go()


def test_children_see_neither_grpc_nor_secrets_and_have_their_own_session(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOMR_S3_SECRET_KEY", CANARY)
    look = (
        "ctx.emit('grpc', int('grpc' in sys.modules))\n"
        f"ctx.emit('secret', int({CANARY!r} in str(os.environ)))\n"
        "ctx.emit('leader', int(os.getsid(0) == os.getpid()))\n"
        "ctx.emit('stdin', len(sys.stdin.read()))"
    )
    job = Job(folder, word_count(look), text="a\n", options={"mappers": 1})
    found = job.counts(job.go())
    assert found == {"a": 1, "grpc": 0, "secret": 0, "leader": 1, "stdin": 0}


def test_the_supervisor_stays_small(folder: Path) -> None:
    held = folder / "held"
    held.mkdir()
    job = Job(folder, word_count(WAIT.format(folder=str(held))))
    looked: list[tuple[str, int]] = []

    def on_event(run: LocalRun, event: pb.WatchEvent) -> None:
        if event.progress.running and not looked:
            worker = psutil.Process(run.pids["worker-0"])
            maps = Path(f"/proc/{worker.pid}/maps").read_text()
            looked.append((maps, worker.memory_info().rss))
            assert worker.cmdline()[0] == "gomr-worker"
            assert psutil.Process(run.pids["master"]).cmdline()[0] == "gomr-master"
            (held / "go").touch()

    job.go(on_event)
    maps, resident = looked[0]
    assert "pyarrow" not in maps
    assert "numpy" not in maps
    assert resident < 150 << 20


LAUNCHER = """
import sys
from pathlib import Path
from tests.process.support.local_runs import Job, word_count
job = Job(Path(sys.argv[1]), Path(sys.argv[2]).read_text())
job.go(lambda run, event: print(event.progress.running, flush=True))
"""


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 143), (signal.SIGINT, -signal.SIGINT)],
)
def test_E5_a_launcher_that_is_ended_leaves_nothing(
    folder: Path, number: signal.Signals, code: int
) -> None:
    held = folder / "held"
    held.mkdir()
    source = folder / "source.py"
    source.write_text(word_count(WAIT.format(folder=str(held))))
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(folder), str(source)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TMPDIR": tempfile.gettempdir()},
        cwd=Path(__file__).parents[3],
    )
    with launcher:
        assert launcher.stdout is not None
        assert any(line.strip() == "2" for line in launcher.stdout)
        launcher.send_signal(number)
        launcher.wait(20)
    assert launcher.returncode == code
    job = Job(folder, "")
    _, alive = psutil.wait_procs(job.processes(), timeout=10)
    assert alive == []
    if number is signal.SIGKILL:  # nobody is left to remove the folders
        for path in [*Path(tempfile.gettempdir()).iterdir(), *job.store.glob(".scratch-*")]:
            subprocess.run(["rm", "-r", "--", str(path)], check=True)
