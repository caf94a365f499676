"""The deployment `gomr/start`, started as docs/prefect.md says, on a machine with an empty HOME."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
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


def documented(heading: str) -> list[str]:
    """The commands under a heading of docs/prefect.md, a text for each block of them."""
    page = (ROOT / "docs" / "prefect.md").read_text(encoding="utf-8")
    section = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"(?:^    .*\n)+", section, re.MULTILINE)
    return [textwrap.dedent(block) for block in blocks]


@dataclass(frozen=True)
class Machine:
    """A person's machine: a checkout, an empty home, and a port of its own for the server."""

    checkout: Path
    home: Path
    port: int

    @property
    def environ(self) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            "KUBECONFIG": os.devnull,
            "PREFECT_SERVER_API_PORT": str(self.port),
        }

    def start(self, commands: str, output: Path) -> subprocess.Popen[bytes]:
        """Begin what the page says, as it stands there but for the port."""
        with output.open("wb") as out:
            return subprocess.Popen(
                ["bash", "-ec", commands.replace("127.0.0.1:4200", f"127.0.0.1:{self.port}")],
                cwd=self.checkout,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
            )

    def run(self, commands: str) -> str:
        """Do what the page says; what was printed."""
        output = self.home.with_name("output")
        code = self.start(commands, output).wait(3 * PATIENCE)
        assert code == 0, f"{commands}\n{output.read_text()}"
        return output.read_text()


pytestmark = pytest.mark.timeout(600)  # the first test starts a server with an empty database


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    folder = tmp_path_factory.mktemp("machine")
    (folder / "home").mkdir()
    (folder / "checkout").mkdir()
    for path in ROOT.iterdir():
        if path.name not in {"outputs", ".gomr", ".git"}:
            (folder / "checkout" / path.name).symlink_to(path)
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    return Machine(folder / "checkout", folder / "home", port)


@pytest.fixture(scope="module")
def server(machine: Machine) -> Iterator[Server]:
    """The server that stays, started as the page says."""
    (start,) = documented("A server that stays")
    home = machine.home / ".prefect"
    try:
        machine.run(start)
        profiles = tomllib.loads((home / "profiles.toml").read_text())
        password = profiles["profiles"][profiles["active"]]["PREFECT_API_AUTH_STRING"]
        pid = int((home / "server.pid").read_text())
        api = f"http://127.0.0.1:{machine.port}/api"
        yield Server(api, machine.environ | {"PREFECT_API_URL": api}, pid, password)
    finally:
        machine.run(".venv/bin/prefect server stop")


@pytest.fixture(scope="module")
def checkout(server: Server, machine: Machine) -> Iterator[Path]:
    """The checkout, deployed as the page says, with a worker that serves it."""
    deploy, work, *_ = documented("As a deployment")
    machine.run(deploy)
    worker = machine.start(work, machine.checkout / "worker.log")
    try:
        yield machine.checkout
    finally:
        family = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True)]
        for process in family[1:2] or family:
            process.send_signal(signal.SIGINT)
        _, alive = psutil.wait_procs(family, timeout=30)
        for process in alive:
            process.kill()
        worker.wait(30)


def test_the_server_that_stays_is_its_users_alone(server: Server, machine: Machine) -> None:
    request = urllib.request.Request(
        f"{server.api}/flow_runs/filter", b"{}", {"Content-Type": "application/json"}
    )
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(request, timeout=10)
    process = psutil.Process(server.pid)
    assert server.password not in "\0".join(process.cmdline())
    assert (machine.home / ".prefect" / "profiles.toml").stat().st_mode & 0o777 == 0o600
    listening = [c for c in process.net_connections() if c.status == psutil.CONN_LISTEN]
    assert {c.laddr.ip for c in listening} == {"127.0.0.1"}


def test_a_run_as_the_page_says(checkout: Path, machine: Machine) -> None:
    deploy, _, _, given, *_ = documented("As a deployment")
    environment = "".join(deploy.splitlines(keepends=True)[:2])
    assert "Completed" in machine.run(environment + given)


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
