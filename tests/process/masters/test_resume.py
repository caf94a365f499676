"""Going on with a run: `--resume` and `--rerun`, by the real command and real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).parents[3]
SECONDS = 60.0
TEXT = "a b\nb c\nc d\nd e\n" * 50
# Every line mapped is written down; the last map task and the reducers stop where they are told.
WORKER = """
import os, time
from pathlib import Path
import gomr_runtime as gomr

HERE = Path({folder!r})

def say(word):
    descriptor = os.open(HERE / "said", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(descriptor, word.encode() + b"\\n")
    os.close(descriptor)

def stop_if_told(ctx, name):
    if (HERE / f"hold-{{name}}").exists():
        (HERE / "holding").touch()
        while (HERE / f"hold-{{name}}").exists():
            time.sleep(0.01)
            ctx.progress()
    if (HERE / f"fail-{{name}}").exists():
        raise ValueError(f"told to fail in {{name}}")

def mapper(ctx, line: str):
    if line == "stop":
        stop_if_told(ctx, "map")
    say("map " + line)
    ctx.counter("lines").add(1)
    for word in line.split():
        ctx.emit(word, 1)

def reducer(ctx, key, values: list[int]):
    if key == "stop":
        stop_if_told(ctx, "reduce")
    say("reduce " + key)
    ctx.emit(key, sum(values))

if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines))
"""


class Folder:
    """A worker file, its input and the runs started here."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.started: list[subprocess.Popen[str]] = []
        (path / "worker.py").write_text(WORKER.format(folder=str(path)))
        (path / "input.txt").write_text(TEXT + "stop\n")

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "worker.py", "--input", "input.txt", "--workers", "2", *arguments],
            cwd=self.path,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": "/tmp"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout, stderr."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=SECONDS)
        return process.returncode, out, err

    def first(self, *arguments: str) -> tuple[int, str, str]:
        given = ("--run-id", "r", "--mappers", "4", "--reducers", "2", "--json")
        return self.run(*given, *arguments)

    def begin(self, phase: str) -> subprocess.Popen[str]:
        """A run that stands still in `phase`, everything before it being committed."""
        (self.path / f"hold-{phase}").touch()
        process = self.start("--run-id", "r", "--mappers", "4", "--reducers", "2")
        commits = self.path / ".gomr/runs/r/commit"
        expected = 3 if phase == "map" else 5  # of 4 maps; and one of 2 reduces
        self.wait((self.path / "holding").exists)
        self.wait(lambda: commits.exists() and len(list(commits.iterdir())) == expected)
        return process

    def release(self, phase: str) -> None:
        (self.path / f"hold-{phase}").unlink()
        (self.path / "holding").unlink()

    def wait(self, happened: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not happened():
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.01)

    def said(self) -> Counter[str]:
        path = self.path / "said"
        return Counter(path.read_text().splitlines()) if path.exists() else Counter()

    def counts(self, output: str = "outputs/r") -> dict[str, int]:
        found = {}
        for part in sorted((self.path / output).glob("output-*.txt")):
            for line in part.read_text().splitlines():
                key, value = line.split("\t")
                found[key] = int(value)
        return found

    def processes(self) -> list[psutil.Process]:
        """Masters, workers and children of the runs started here."""
        found = []
        for process in psutil.process_iter():
            try:
                if str(self.path) in " ".join(process.cmdline()):
                    found.append(process)
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
        return found


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path)
    yield made
    for process in made.started:  # all have ended, unless the test failed
        with process:
            process.kill()


WORDS = Counter((TEXT + "stop").split())
LINES = Counter(f"map {line}" for line in (TEXT + "stop").splitlines())
KEYS = Counter(f"reduce {word}" for word in WORDS)


def check_complete(folder: Folder, stdout: str) -> None:
    """Right output, `_SUCCESS`, books and counters, and no data kept."""
    assert folder.counts() == WORDS
    summary = json.loads(stdout)
    success = json.loads((folder.path / "outputs/r/_SUCCESS").read_text())
    assert summary["state"] == "succeeded"
    assert success["counters"] == summary["counters"] == {"lines": 201}
    assert success["ledger"]["records_read"] == summary["ledger"]["records_read"] == 201
    assert summary["ledger"]["reduce_in"] == summary["ledger"]["written"]
    assert not (folder.path / ".gomr/runs/r").exists()


def test_E7_a_failed_run_goes_on_and_runs_no_committed_task_again(folder: Folder) -> None:
    (folder.path / "fail-reduce").touch()
    code, _, err = folder.first()
    assert (code, "told to fail in reduce" in err, "--resume r" in err) == (1, True, True)
    mapped = folder.said()
    assert {line: n for line, n in mapped.items() if line.startswith("map")} == LINES

    (folder.path / "fail-reduce").unlink()
    code, out, err = folder.run("--resume", "r", "--json")
    assert code == 0, err
    check_complete(folder, out)
    assert {line: n for line, n in folder.said().items() if line.startswith("map")} == LINES


@pytest.mark.parametrize("phase", ["map", "reduce"])
def test_E7_a_cancelled_run_goes_on(folder: Folder, phase: str) -> None:
    process = folder.begin(phase)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    folder.release(phase)
    code, out, err = folder.run("--resume", "r", "--json")
    assert code == 0, err
    check_complete(folder, out)
    assert folder.said() >= LINES + KEYS
    again = folder.said() - LINES - KEYS
    # The task that was held was in the middle of it; no other was run again.
    assert not [line for line in again if line.startswith("map")] or phase == "map"


@pytest.mark.parametrize("phase", ["map", "reduce"])
def test_E7_a_run_whose_every_process_was_killed_goes_on(folder: Folder, phase: str) -> None:
    process = folder.begin(phase)
    for victim in folder.processes():
        victim.kill()
    process.kill()
    process.communicate(timeout=SECONDS)
    before = folder.said()
    folder.release(phase)
    code, out, err = folder.run("--resume", "r", "--json")
    assert code == 0, err
    check_complete(folder, out)
    if phase == "reduce":
        assert not [line for line in folder.said() - before if line.startswith("map")]
    assert not list((folder.path / ".gomr").glob(".scratch*"))


def test_E7_what_differs_is_named_and_nothing_starts(folder: Folder) -> None:
    (folder.path / "fail-reduce").touch()
    assert folder.first("--param", "x=1")[0] == 1
    for arguments, words in (
        (("--param", "x=2"), "--param x was '1' and is '2'"),
        ((), "--param x was '1' and is not set"),
        (("--param", "x=1", "--reducers", "3"), "--reducers was 2 and is 3"),
        (("--param", "x=1", "--mappers", "5"), "--mappers was 4 and is 5"),
        (("--param", "x=1", "--output-format", "jsonl"), "--output-format was text"),
        (("--param", "x=1", "--input", "worker.py"), "the input was 1 files and is 2"),
    ):
        code, _, err = folder.run("--resume", "r", *arguments)
        assert (code, words in err) == (2, True), err
    with (folder.path / "input.txt").open("a") as file:
        file.write("one more\n")
    code, _, err = folder.run("--resume", "r", "--param", "x=1")
    assert code == 2
    assert "input.txt had 805 bytes and has 814" in err


def test_E7_changed_worker_code_needs_rerun_and_then_runs_everything(folder: Folder) -> None:
    (folder.path / "fail-reduce").touch()
    assert folder.first()[0] == 1
    worker = folder.path / "worker.py"
    worker.write_text(worker.read_text().replace('"fail-', '"never-').replace("sum(v", "-sum(v"))
    code, _, err = folder.run("--resume", "r")
    assert (code, "worker.py has changed" in err, "--rerun" in err) == (2, True, True)
    (folder.path / "said").unlink()
    code, out, err = folder.run("--resume", "r", "--rerun", "--json")
    assert code == 0, err
    assert folder.counts() == {word: -n for word, n in WORDS.items()}
    assert folder.said() == LINES + KEYS
    assert json.loads(out)["counters"] == {"lines": 201}


def test_E7_a_complete_run_does_nothing(folder: Folder) -> None:
    assert folder.first("--keep")[0] == 0
    said = folder.said()
    code, out, err = folder.run("--resume", "r", "--json")
    assert (code, "nothing is left to do" in err or json.loads(out)["state"]) == (0, "succeeded")
    # Its output again, because it is asked for.
    code, out, err = folder.run("--resume", "r", "--output", "elsewhere", "--keep", "--json")
    assert code == 0, err
    assert folder.counts("elsewhere") == WORDS
    code, out, err = folder.run("--resume", "r", "--overwrite", "--json")
    assert code == 0, err
    assert folder.counts() == WORDS
    assert folder.said() == said
    # Its data is removed now; the output still says that it is complete.
    assert not (folder.path / ".gomr/runs/r").exists()
    code, out, _ = folder.run("--resume", "r", "--json")
    assert (code, json.loads(out)["counters"]) == (0, {"lines": 201})
    assert folder.said() == said


def test_E7_a_live_run_is_followed(folder: Folder) -> None:
    """One process looks after it, a second one watches, a third may not take its name."""
    process = folder.begin("map")
    watching = folder.start("--resume", "r", "--json")
    lines = iter(watching.stderr or ())
    assert any("following it" in line for line in lines)
    code, _, err = folder.run("--run-id", "r")
    assert (code, "in progress" in err) == (5, True), err
    code, _, err = folder.run("--resume", "r", "--rerun")
    assert (code, "in progress" in err) == (5, True), err
    folder.release("map")
    out, err = watching.communicate(timeout=SECONDS)
    assert watching.returncode == 0, err
    assert json.loads(out)["counters"] == {"lines": 201}
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    assert folder.counts() == WORDS
    assert folder.said() == LINES + KEYS
    assert not (folder.path / ".gomr/runs/r").exists()


def test_E7_who_follows_a_run_learns_of_its_failure_and_may_leave(folder: Folder) -> None:
    process = folder.begin("map")
    watching, *leaving = (folder.start("--resume", "r") for _ in range(4))
    for one in (watching, *leaving):
        assert any("following it" in line for line in one.stderr or ())
    for one in leaving:
        one.send_signal(signal.SIGINT)
        one.communicate(timeout=SECONDS)
        assert one.returncode == 130
    (folder.path / "fail-map").touch()
    folder.release("map")
    _, err = watching.communicate(timeout=SECONDS)
    assert (watching.returncode, "told to fail in map" in err) == (1, True), err
    process.communicate(timeout=SECONDS)
    assert process.returncode == 1


def test_E7_a_run_that_never_was_is_named(folder: Folder) -> None:
    code, _, err = folder.run("--resume", "nobody")
    assert (code, "--resume nobody: there is no data" in err) == (2, True)
    assert not (folder.path / ".gomr").exists()


def test_resume_needs_workers(folder: Folder) -> None:
    command = [sys.executable, "worker.py", "--input", "input.txt", "--resume", "r"]
    done = subprocess.run(
        command, cwd=folder.path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    assert (done.returncode, "--resume needs --workers" in done.stderr) == (2, True)
