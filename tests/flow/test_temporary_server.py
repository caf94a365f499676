"""The Prefect server that a command starts for itself: nobody else's, and gone with it."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from flows.temporary_server import TemporaryServer
from gomr_runtime.errors import EnvironmentFailed
from tests.flow.command import Server, clean_environ, wait_for_line

# As `python -m flows.gomr`, on a machine where nobody listens at the usual port.
COMMAND = """\
import sys
import flows.server

flows.server.LOCAL_API = "http://127.0.0.1:9/api"
from flows.cli import main

sys.exit(main(sys.argv[1:]))
"""
HELD = """\
import pathlib
import time
import gomr_runtime as gomr


def mapper(ctx: gomr.Context, line: str) -> None:
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
        ctx.progress()
    ctx.emit(line, 1)


def reducer(ctx: gomr.Context, key: str, values: list[int]) -> None:
    ctx.emit(key, sum(values))


if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines))
"""
Begin = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def begin(server: Server, tmp_path: Path) -> Iterator[Begin]:
    """Starts the command in a folder of its own. The database of the tier's server, which a
    temporary one shares as on anybody's machine, is made already: that takes half a minute."""
    home = {"PREFECT_HOME": server.environ["PREFECT_HOME"]}
    (tmp_path / "held.py").write_text(HELD)
    (tmp_path / "text.txt").write_text("a\nb\na\n")
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "--input", "text.txt", *arguments, "held.py"],
            cwd=tmp_path,
            env=clean_environ() | home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=30)


def server_of(client: subprocess.Popen[str]) -> psutil.Process:
    children = psutil.Process(client.pid).children()
    (server,) = [child for child in children if "server_process.py" in " ".join(child.cmdline())]
    return server


def status(url: str, **headers: str) -> tuple[int, str]:
    """The status of a request, and which origin it allows."""
    request = urllib.request.Request(url, b"{}", {"Content-Type": "application/json"} | headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            return reply.status, reply.headers.get("Access-Control-Allow-Origin", "")
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("Access-Control-Allow-Origin", "")


def test_P1_it_is_for_its_command_alone_and_the_job_outlives_it(
    begin: Begin, tmp_path: Path
) -> None:
    client = begin("--run-id", "kept", "--workers", "1", "--runtime", "local")
    wait_for_line(client, "All workers connected")
    server = server_of(client)
    (listening,) = [c for c in server.net_connections() if c.status == psutil.CONN_LISTEN]
    assert listening.laddr.ip == "127.0.0.1"
    api = f"http://127.0.0.1:{listening.laddr.port}/api"
    assert status(f"{api}/flow_runs/filter")[0] == 401
    assert status(f"{api}/flow_runs/filter", Origin="http://evil.example")[1] == ""

    password = server.environ()["PREFECT_SERVER_API_AUTH_STRING"]
    family = psutil.Process(client.pid).children(recursive=True)
    assert {"gomr-master", "gomr-worker"} <= {process.name() for process in family}
    for process in [psutil.Process(client.pid), *family]:
        assert password not in "\0".join(process.cmdline())
        assert process == server or password not in process.environ().values()

    server.kill()
    (tmp_path / "go").touch()
    out, err = client.communicate(timeout=100)
    assert client.returncode == 0, err
    (part,) = (tmp_path / "outputs" / "kept").glob("output-*.txt")
    assert part.read_text() == "a\t2\nb\t1\n"
    assert f"gomr: Prefect ({api}) missed how the run ended" in err
    assert password not in out + err
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []


def test_nothing_stays_when_the_command_is_killed_while_it_starts(begin: Begin) -> None:
    client = begin()
    wait_for_line(client, "starting a temporary server")
    server = server_of(client)
    os.kill(client.pid, 9)
    client.communicate(timeout=20)  # to the end: who reads its output is not kept waiting
    _, alive = psutil.wait_procs([server], timeout=10)
    assert alive == []


@pytest.mark.parametrize(
    ("name", "value", "how"),
    [
        ("PYTHONHOME", "/nowhere", "ended with exit code 1"),
        ("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "0", "does not answer after 0 s"),
    ],
)
def test_one_that_does_not_start_is_told_with_what_it_said(name: str, value: str, how: str) -> None:
    environ = clean_environ() | {name: value}
    with TemporaryServer(environ) as server, pytest.raises(EnvironmentFailed, match=how) as failed:
        server.wait()
    assert ("No module named 'encodings'" in failed.value.detail) == (name == "PYTHONHOME")
    assert "PREFECT_API_AUTH_STRING" not in environ
