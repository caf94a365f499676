"""The command line as a person uses it, in a process of its own."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
Launch = Callable[..., subprocess.Popen[str]]
Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Server:
    """A running Prefect server; `environ` is for processes that talk to it. password: as
    `user:password`, where it wants one."""

    api: str
    environ: dict[str, str]
    pid: int
    password: str = ""


def clean_environ() -> dict[str, str]:
    """This environment without what configures Prefect or GoMR and without any cluster, with the
    checkout's code."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "GOMR_"))}
    return environ | {"PYTHONPATH": str(ROOT), "KUBECONFIG": os.devnull}


def start(
    folder: Path, environ: dict[str, str], *arguments: str, stdin: str = ""
) -> subprocess.Popen[str]:
    """`python -m flows.gomr` in `folder`, in a session of its own as from a terminal."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.gomr", *arguments],
        cwd=folder,
        env=environ,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdin is not None
    process.stdin.write(stdin)
    process.stdin.close()
    process.stdin = None  # `communicate` would flush it
    return process


def run(folder: Path, environ: dict[str, str], *arguments: str) -> Done:
    process = start(folder, environ, *arguments)
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def wait_for_line(process: subprocess.Popen[str], words: str) -> list[str]:
    """Lines of stderr up to the one with `words`."""
    assert process.stderr is not None
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line)
        if words in line:
            return lines
    raise AssertionError(f"ended without {words!r}: {''.join(lines)}")


def call(server: Server, path: str, body: object) -> Any:
    """POST to the Prefect API."""
    headers = {"Content-Type": "application/json"}
    if server.password:
        headers["Authorization"] = f"Basic {base64.b64encode(server.password.encode()).decode()}"
    request = urllib.request.Request(server.api + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as reply:
        return json.load(reply)


def flow_run_of(server: Server, name: str) -> dict[str, Any]:
    found = call(server, "/flow_runs/filter", {"flow_runs": {"name": {"any_": [name]}}})
    assert len(found) == 1
    return dict(found[0])


def state_of(server: Server, name: str, wanted: str) -> str:
    """The state of the flow run, waiting until it is `wanted`, for ten seconds at most."""
    deadline = time.monotonic() + 10
    while True:
        state = str(flow_run_of(server, name)["state"]["type"])
        if state == wanted or time.monotonic() > deadline:
            return state
        time.sleep(0.1)


def steps_of(server: Server, name: str) -> dict[str, str]:
    """The states of the tasks of an ended flow run, by name with `_`. Waits until the server has
    them all in a final state, for ten seconds at most: it records them one after the other."""
    mine = {"flow_runs": {"id": {"any_": [flow_run_of(server, name)["id"]]}}}
    deadline = time.monotonic() + 10
    while True:
        tasks = call(server, "/task_runs/filter", mine | {"sort": "EXPECTED_START_TIME_ASC"})
        found = {task["name"].replace(" ", "_"): str(task["state"]["type"]) for task in tasks}
        open_ = {"PENDING", "RUNNING"} & set(found.values())
        if ("clean_up" in found and not open_) or time.monotonic() > deadline:
            return found
        time.sleep(0.1)
