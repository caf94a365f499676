"""Signals that end `python worker.py`: the exit code says which, and nothing stays behind."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.process.support.worker_commands import Command, mapper

WAITING = 'open("reached", "w").close()\nwhile True: time.sleep(0.01)'
STUBBORN = """\
while True:
    try:
        open("reached", "w").close()
        time.sleep(0.01)
    except: pass"""
NAMES = {signal.SIGTERM: "ended by SIGTERM", signal.SIGHUP: "ended by SIGHUP"}


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def assert_nothing_left(command: Command, temporary: Path) -> None:
    assert list(temporary.iterdir()) == []
    assert {path.name for path in command.folder.iterdir()} <= {
        "worker.py", "input.txt", "reached", temporary.name, "__pycache__",
    }  # fmt: skip


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    path = tmp_path / "tmp"
    path.mkdir()
    return path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_run_in_one_process(tmp_path: Path, temporary: Path, number: signal.Signals) -> None:
    command = Command(tmp_path, mapper(WAITING))
    process = command.start(
        "--input", "input.txt", "--input", "-", environ={"TMPDIR": str(temporary)}
    )
    wait_for(tmp_path / "reached", process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    how = NAMES.get(number, "interrupted")
    assert err.decode() == f"gomr: {how}; nothing was published\n"
    assert out == b""
    assert_nothing_left(command, temporary)


def test_user_code_that_lets_nothing_through(tmp_path: Path, temporary: Path) -> None:
    command = Command(tmp_path, mapper(STUBBORN))
    process = command.start(environ={"TMPDIR": str(temporary)})
    wait_for(tmp_path / "reached", process)
    deadline = time.monotonic() + 60
    while process.poll() is None:
        assert time.monotonic() < deadline
        process.send_signal(signal.SIGTERM)
        time.sleep(0.05)
    process.communicate()
    assert process.returncode == 143
    assert_nothing_left(command, temporary)


def test_nohup_and_handlers_of_the_programs_own_stay(tmp_path: Path, temporary: Path) -> None:
    own = 'signal.signal(signal.SIGTERM, lambda *_: open("heard", "w").close())\ndef mapper'
    body = 'open("reached", "w").close()\nwhile not os.path.exists("heard"): time.sleep(0.01)'
    command = Command(tmp_path, mapper(body).replace("def mapper", own))
    environ = {"TMPDIR": str(temporary)}
    process = command.start(environ=environ, through='trap "" HUP; exec "$@"')
    wait_for(tmp_path / "reached", process)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 0
    assert command.rows() == ["a b\t1", "b c\t1"]


def test_a_terminal_that_goes_away(tmp_path: Path, temporary: Path) -> None:
    """The kernel says so with SIGHUP; what is printed then has nowhere to go."""
    command = Command(tmp_path, mapper(WAITING))
    leader, follower = pty.openpty()
    process = command.start(
        stdout=follower,
        stderr=follower,
        environ={"TMPDIR": str(temporary)},
        through=f'exec "$@" <{os.ttyname(follower)}',  # which makes it the session's terminal
    )
    os.close(follower)
    wait_for(tmp_path / "reached", process)
    os.close(leader)
    assert process.wait(60) == 129
    assert_nothing_left(command, temporary)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM])
def test_a_run_with_workers(tmp_path: Path, temporary: Path, number: signal.Signals) -> None:
    command = Command(tmp_path, mapper(f"os.chdir({str(tmp_path)!r})\n{WAITING}"))
    process = command.start("--workers", "1", environ={"TMPDIR": str(temporary)})
    wait_for(tmp_path / "reached", process)
    family = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert f"gomr: {NAMES[number]}; nothing was published\n" in err.decode()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    assert list(temporary.iterdir()) == []
    assert not command.out.exists()


def test_what_a_killed_run_left_goes_with_the_next(tmp_path: Path, temporary: Path) -> None:
    command = Command(tmp_path, mapper(WAITING))
    process = command.start(environ={"TMPDIR": str(temporary)})
    wait_for(tmp_path / "reached", process)
    process.kill()
    process.communicate()
    assert len(list(temporary.iterdir())) == 1
    assert Command(tmp_path, mapper("pass")).run(environ={"TMPDIR": str(temporary)}).code == 0
    assert list(temporary.iterdir()) == []
