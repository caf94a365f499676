"""The deployment `gomr/start` through a real work pool and a real process worker."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.flow.command import ROOT, Server, call, flow_run_of

PATIENCE = 120.0


def prefect(server: Server, checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "prefect", "--no-prompt", *arguments],
        cwd=checkout,
        env=server.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.fixture(scope="module")
def checkout(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A checkout of its own, deployed as the documentation says, with a worker that serves it."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("flows", "tasks", "gomr_runtime", "examples", "prefect.yaml"):
        (folder / name).symlink_to(ROOT / name)
    made = prefect(server, folder, "work-pool", "create", "gomr", "--type", "process")
    assert made.returncode == 0, made.stderr
    deployed = prefect(server, folder, "deploy", "--all")
    assert deployed.returncode == 0, deployed.stdout + deployed.stderr
    log = folder / "worker.log"
    with log.open("wb") as out:
        worker = subprocess.Popen(
            [sys.executable, "-m", "prefect", "worker", "start", "--pool", "gomr"],
            cwd=folder,
            env=server.environ,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
        )
    try:
        yield folder
    finally:
        family = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True)]
        worker.send_signal(signal.SIGINT)
        _, alive = psutil.wait_procs(family, timeout=30)
        for process in alive:
            process.kill()
        worker.wait(30)


def run_deployment(server: Server, checkout: Path, *arguments: str) -> str:
    """The id of the flow run that was asked for."""
    done = prefect(server, checkout, "deployment", "run", "gomr/start", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    runs = call(server, "/flow_runs/filter", {"sort": "EXPECTED_START_TIME_DESC", "limit": 1})
    return str(runs[0]["id"])


def state_when(server: Server, flow_run: str, wanted: set[str]) -> str:
    """The state of the flow run as soon as it is one of `wanted`."""
    deadline = time.monotonic() + PATIENCE
    while True:
        found = call(server, "/flow_runs/filter", {"flow_runs": {"id": {"any_": [flow_run]}}})
        state = str(found[0]["state"]["type"])
        if state in wanted:
            return state
        assert time.monotonic() < deadline, f"{flow_run} is still {state}"
        time.sleep(0.3)


FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def test_the_deployment_runs_by_a_schedule(server: Server, checkout: Path) -> None:
    created = prefect(
        server, checkout, "deployment", "schedule", "create", "gomr/start", "--interval", "15"
    )
    assert created.returncode == 0, created.stderr
    try:
        flow_run = scheduled_run(server)
    finally:
        prefect(server, checkout, "deployment", "schedule", "clear", "--accept-yes", "gomr/start")
    assert state_when(server, flow_run, FINAL) == "COMPLETED"
    outputs = list((checkout / "outputs").iterdir())
    assert any(json.loads((output / "_SUCCESS").read_text())["parts"] for output in outputs)
    log = (checkout / "worker.log").read_text()
    for line in ("All map tasks completed!", "Map reduce completed"):
        assert line in log


def scheduled_run(server: Server) -> str:
    """The id of the first flow run that a schedule made and that has begun."""
    begun = {"state": {"type": {"not_any_": ["SCHEDULED"]}}, "tags": {"all_": ["auto-scheduled"]}}
    deadline = time.monotonic() + PATIENCE
    while not (found := call(server, "/flow_runs/filter", {"flow_runs": begun})):
        assert time.monotonic() < deadline, "the schedule did not fire"
        time.sleep(0.3)
    return str(found[0]["id"])


GIVEN = """
given = {"options": {"worker": "w.py", "input": ["t.txt"], "workers": 2}}
print(flow.validate_parameters(given)["options"].workers, flow.name)
"""
LOAD = f"""
import sys
from prefect.flows import load_flow_from_entrypoint

flow = load_flow_from_entrypoint(sys.argv[1], use_placeholder_flow=False)
{GIVEN}"""
UNPICKLE = f"import sys, cloudpickle\nflow = cloudpickle.load(sys.stdin.buffer)\n{GIVEN}"
PICKLE = f"""
import subprocess, sys, cloudpickle
from flows.gomr import gomr

there = [sys.executable, "-c", {UNPICKLE!r}]
sys.exit(subprocess.run(there, input=cloudpickle.dumps(gomr)).returncode)
"""


@pytest.mark.parametrize(
    "command",
    [(PICKLE,), (LOAD, "flows/gomr.py:gomr"), (LOAD, "flows.gomr.gomr")],
    ids=["serve", "from_source", "deploy"],
)
def test_the_flow_is_whole_in_the_process_of_its_run(
    server: Server, checkout: Path, command: tuple[str, ...]
) -> None:
    """It gets there pickled by `gomr.serve()`, by its path from `from_source`, or by its module."""
    done = subprocess.run(
        [sys.executable, "-c", *command],
        cwd=checkout,
        env=server.environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "2 gomr\n"), done.stderr


def test_parameters_are_checked_by_the_server(server: Server, checkout: Path) -> None:
    wrong = {"worker": "worker.py", "input": ["text.txt"], "workers": 0}
    done = prefect(
        server, checkout, "deployment", "run", "gomr/start", "-p", f"options={json.dumps(wrong)}"
    )
    assert done.returncode == 1
    assert "workers" in done.stdout + done.stderr


def test_cancel_ends_a_deployments_run(server: Server, checkout: Path, folder: Path) -> None:
    (folder / "long.txt").write_text("line\n" * 5000)
    (folder / "slow.py").write_text(
        "import time\n"
        "import gomr_runtime as gomr\n"
        "def mapper(ctx: gomr.Context, line: str) -> None:\n"
        "    time.sleep(0.05)\n"
        "gomr.run(gomr.MapReduceConfig(mapper=mapper, input=gomr.lines))\n"
    )
    options = {
        "worker": str(folder / "slow.py"),
        "input": [str(folder / "long.txt")],
        "workers": 1,
        "run_id": "unwanted-2",
        "output": str(folder / "out"),
        "store": str(folder / "store"),
    }
    flow_run = run_deployment(server, checkout, "-p", f"options={json.dumps(options)}")
    assert state_when(server, flow_run, FINAL | {"RUNNING"}) == "RUNNING"
    deadline = time.monotonic() + PATIENCE
    while not masters(folder):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    state = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    call(server, f"/flow_runs/{flow_run}/set_state", state)
    assert state_when(server, flow_run, FINAL) == "CANCELLED"
    _, alive = psutil.wait_procs(masters(folder), timeout=30)
    assert alive == []
    assert not (folder / "out").exists()


def masters(folder: Path) -> list[psutil.Process]:
    """The masters and workers whose store is in `folder`."""
    return [
        process
        for process in psutil.process_iter(["name", "open_files"])
        if process.info["name"] in {"gomr-master", "gomr-worker"}
        and any(str(folder) in file.path for file in process.info["open_files"] or [])
    ]


def test_the_run_is_named_after_the_options(server: Server) -> None:
    assert flow_run_of(server, "unwanted-2")["state"]["type"] == "CANCELLED"
