"""A Prefect server that goes while a job runs costs what it is not told, and nothing else."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest

from tests.flow.away_runs import STEPS
from tests.flow.command import Launch, Server, call, flow_run_of, state_of, steps_of, wait_for_line
from tests.flow.conftest import WORKER

TEXT = "the quick brown fox jumps over the lazy dog\n" * 200
EXPECTED = "".join(
    f"{word}\t{count}\n"
    for word, count in sorted({word: 200 + 200 * (word == "the") for word in TEXT.split()}.items())
)
FAILING = """\
import gomr_runtime as gomr


def mapper(ctx: gomr.Context, line: str) -> None:
    raise RuntimeError("not this line")


if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, input=gomr.lines))
"""
HELD = """\
import pathlib
import time
import gomr_runtime as gomr


def mapper(ctx: gomr.Context, line: str) -> None:
    pathlib.Path({at!r}).touch()
    while not pathlib.Path({go!r}).exists():
        time.sleep(0.01)
        ctx.progress()
    ctx.emit(line, 1)


if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, input=gomr.lines))
"""


class Runs:
    """Flow runs one after the other in one process, each with the server away from some step on."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def go(self, run: str, turns: dict[str, str], **case: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"run": run, "turns": turns} | case) + "\n")
        self._process.stdin.flush()
        return dict(json.loads(self._process.stdout.readline()))


@pytest.fixture(scope="module")
def runs(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    folder = tmp_path_factory.mktemp("away")
    (folder / "text.txt").write_text(TEXT)
    (folder / "worker.py").write_text(WORKER)
    (folder / "failing.py").write_text(FAILING)
    environ = {k: v for k, v in server.environ.items() if k != "PREFECT_API_URL"}
    command = [sys.executable, "-m", "tests.flow.away_runs", str(urlsplit(server.api).port)]
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Runs(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(60) == 0


def is_whole(done: dict[str, Any]) -> None:
    assert (done["code"], done["message"]) == (0, "")
    assert done["output"] == EXPECTED
    assert done["done"], "no _SUCCESS"
    assert not done["left"], "intermediates go after success"


@pytest.mark.parametrize("step", STEPS)
def test_P1_killed_in_each_step(runs: Runs, step: str) -> None:
    done = runs.go(f"gone-{step.replace('_', '-')}", {step: "gone"})
    is_whole(done)
    (line,) = done["said"]
    assert "missed how the run ended" in line
    assert "\n" not in line


def test_P2_silent_from_a_step_on(runs: Runs) -> None:
    done = runs.go("silent", {"deploy": "silent"})
    is_whole(done)
    (line,) = done["said"]
    assert "missed how the run ended" in line
    assert "no answer within 1 s" in line


@pytest.mark.parametrize("status", ["429", "500"])
def test_P3_answers_errors_and_asks_for_an_hour(runs: Runs, status: str) -> None:
    done = runs.go(f"status-{status}", {"wait_for_map": status})
    is_whole(done)
    (line,) = done["said"]
    assert status in line


@pytest.mark.parametrize(("mode", "back"), [("gone", "wait_for_reduce"), ("silent", "clean_up")])
def test_P4_one_that_comes_back_misses_nothing(
    server: Server, runs: Runs, mode: str, back: str
) -> None:
    name = f"back-{mode}"
    done = runs.go(name, {"start_store": mode, back: "up"}, patience=60.0)
    is_whole(done)
    assert done["said"] == []
    assert state_of(server, name, "COMPLETED") == "COMPLETED"
    assert steps_of(server, name) == dict.fromkeys(STEPS, "COMPLETED")
    mine = {"flow_runs": {"id": {"any_": [flow_run_of(server, name)["id"]]}}}
    shown = {a["key"]: a["data"] for a in call(server, "/artifacts/filter", mine)}
    assert set(shown) == {"gomr-map", "gomr-reduce", "gomr-summary", "gomr-parts"}
    assert shown["gomr-map"] == shown["gomr-reduce"] == 100.0


def test_P1_the_error_of_a_failed_job_is_its_own(runs: Runs) -> None:
    done = runs.go("failing", {"wait_for_map": "gone"}, worker="failing.py")
    assert done["code"] == 1
    assert "RuntimeError: not this line" in done["message"]
    assert not done["done"]


def test_P1_the_run_of_a_deployment_ends_well_too(runs: Runs) -> None:
    done = runs.go("deployed", {"wait_for_map": "gone"}, deployed=True)
    is_whole(done)


def test_P2_interrupted_while_the_server_is_stopped(
    launch: Launch, server: Server, folder: Path
) -> None:
    at, go = folder / "at", folder / "go"
    (folder / "held.py").write_text(HELD.format(at=str(at), go=str(go)))
    process = launch(
        folder, server.environ, "--input", "text.txt", "--run-id", "stopped", "held.py"
    )
    wait_for_line(process, "All workers connected")
    family = psutil.Process(process.pid).children(recursive=True)
    stopped = psutil.Process(server.pid)
    stopped.suspend()
    try:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=100)
    finally:
        stopped.resume()
    assert process.returncode == 130
    missed, last = err.splitlines()[-2:]
    assert "missed how the run ended" in missed
    assert last == "gomr: interrupted"
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
