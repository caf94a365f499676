"""stdout is for results and nothing that is printed ends a run, wherever the streams lead."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.process.support.worker_commands import HEAD, RUN, Command, mapper

LOUD = mapper(
    'print("printed")\n'
    'print("complained", file=sys.stderr)\n'
    'os.write(1, b"written\\n")\n'
    'os.system("echo echoed")\n'
)
PRINTING = mapper('print("printed")\nprint("complained", file=sys.stderr)')
ROWS = ["a b\t1", "b c\t1"]


CLOSED = 'exec "$@" <&- >&- 2>&-'


@pytest.mark.parametrize("json", [(), ("--json",)], ids=["text", "json"])
def test_what_user_code_prints_is_no_result(tmp_path: Path, json: tuple[str, ...]) -> None:
    command = Command(tmp_path, LOUD.replace("def mapper", 'print("at import")\ndef mapper'))
    done = command.run(*json)
    assert done.code == 0, done.told
    for word in ("printed", "complained", "written", "echoed"):
        assert done.told.splitlines().count(word) == 2
    assert done.told.splitlines().count("at import") == 3  # at the start, then for each task
    if json:
        assert done.answer["state"] == "succeeded"
        assert done.answer["failure"] is None
    else:
        assert done.stdout == b""
    assert command.rows() == ROWS


@pytest.mark.parametrize("closed", ['exec "$@" >&-', 'exec "$@" 2>&-', CLOSED])
def test_closed_streams(tmp_path: Path, closed: str) -> None:
    command = Command(tmp_path, LOUD)
    done = command.run(through=closed)
    assert (done.code, done.stdout) == (0, b""), done.told
    assert command.rows() == ROWS


def test_closed_streams_of_a_command_with_workers(tmp_path: Path) -> None:
    command = Command(tmp_path, LOUD)
    assert command.run("--workers", "1", through=CLOSED).code == 0
    assert command.rows() == ROWS


def test_json_with_a_closed_stdout_starts_nothing(tmp_path: Path) -> None:
    command = Command(tmp_path, LOUD)
    done = command.run("--json", through='exec "$@" >&-')
    assert (done.code, done.error) == (2, "--json: standard output is closed")
    assert not command.out.exists()


def test_a_file_of_the_programs_own_under_the_number_of_stdout_stays_its_own(
    tmp_path: Path,
) -> None:
    source = LOUD.replace("def mapper", 'log = open("log.txt", "a")\ndef mapper').replace(
        "ctx.emit", 'print("kept", file=log, flush=True); ctx.emit'
    )
    command = Command(tmp_path, source)
    done = command.run(through='exec "$@" >&-')
    assert done.code == 0, done.told
    assert (tmp_path / "log.txt").read_text().count("kept\n") == 2
    assert command.rows() == ROWS


@pytest.mark.parametrize("workers", [(), ("--workers", "1")], ids=["one-process", "workers"])
def test_full_streams(tmp_path: Path, workers: tuple[str, ...]) -> None:
    command = Command(tmp_path, PRINTING)
    with open("/dev/full", "wb") as full:
        done = command.run(*workers, stdout=full, stderr=full)
        assert done.code == 0
        assert command.rows() == ROWS
        done = command.run(*workers, "--overwrite", "--json", stdout=full)
    assert done.code == 3
    assert done.error == (
        "standard output: the disk is full: free some space or choose another place; "
        "the result cannot be written; the output is in out"
    )
    assert command.rows() == ROWS


def test_pipes_that_nobody_reads(tmp_path: Path) -> None:
    command = Command(tmp_path, PRINTING)
    read, write = os.pipe()
    os.close(read)
    done = command.run(stdout=write, stderr=write)
    assert done.code == 0
    assert command.rows() == ROWS
    done = command.run("--overwrite", "--json", stdout=write)
    os.close(write)
    assert (done.code, done.error) == (
        3, "standard output: Broken pipe; the result cannot be written; the output is in out",
    )  # fmt: skip


def test_a_debugger_has_the_terminal(tmp_path: Path) -> None:
    """stdin and stdout are a terminal, stderr is not: the prompt must not go to stderr."""
    source = (
        f"{HEAD}\ndef mapper(ctx, line: str) -> None:\n    breakpoint()\n    ctx.emit(line, 1)\n"
    )
    command = Command(tmp_path, source + RUN)
    leader, follower = pty.openpty()
    process = command.start(stdin=follower, stdout=follower)
    os.close(follower)
    shown = b""
    while b"(Pdb) " not in shown:
        shown += os.read(leader, 4096)
    os.write(leader, b"p 'line is', line\n")
    while b"('line is', 'a b')" not in shown:
        shown += os.read(leader, 4096)
    os.write(leader, b"import os; os._exit(7)\n")
    _, err = process.communicate(timeout=60)
    os.close(leader)
    assert process.returncode == 7
    assert b"Pdb" not in err


FAILS = mapper('raise ValueError("no")')


def test_json_of_a_failure(tmp_path: Path) -> None:
    command = Command(tmp_path, FAILS)
    for workers, attempt in (((), 1), (("--workers", "1"), 4)):
        done = command.run(*workers, "--json", "--run-id", f"r{attempt}")
        told = done.answer
        assert (done.code, told["exit_code"]) == (1, 1)
        assert (told["state"], told["run"], told["output"]) == ("failed", f"r{attempt}", "")
        assert told["message"] == done.error
        assert told["failure"] == {
            "kind": "user",
            "message": done.error,
            "task": "map-0",
            "attempt": attempt,
            "record": {"source": "input.txt", "offset": 0, "number": 0},
            "frames": [
                {
                    "file": str(tmp_path / "worker.py"),
                    "line": 5,
                    "function": "mapper",
                    "code": 'raise ValueError("no")',
                }
            ],
        }


def test_json_of_a_crash(tmp_path: Path) -> None:
    command = Command(tmp_path, mapper('if line == "b c": os._exit(3)'))
    told = command.run("--workers", "1", "--json").answer
    assert (told["failure"]["kind"], told["failure"]["task"]) == ("crash", "map-0")
    assert told["failure"]["record"] == {"source": "input.txt", "offset": 4, "number": 1}


@pytest.mark.parametrize(
    ("given", "environ"),
    [
        (("--json", "--mappers", "0"), {}),
        (("--mappers", "0"), {"GOMR_JSON": "1"}),
        (("--json", "--no-such-option"), {}),
        (("--json", "--run-id", b"r\xff"), {}),
    ],
)
def test_json_of_wrong_usage(
    tmp_path: Path, given: tuple[str | bytes, ...], environ: dict[str, str]
) -> None:
    done = Command(tmp_path, FAILS).run(*given, environ=environ)
    assert (done.code, done.answer["exit_code"]) == (2, 2)
    assert done.answer["failure"]["kind"] == "usage"
    assert done.answer["failure"]["message"] == done.error


def test_json_in_the_settings_file_describes_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "gomr.toml").write_text("json = true\nworkerz = 3\n")
    done = Command(tmp_path, FAILS).run()
    assert (done.code, done.answer["failure"]["kind"]) == (2, "usage")


def test_stdin_is_left_to_the_mapper(tmp_path: Path) -> None:
    """input() works, its prompt is no result."""
    command = Command(tmp_path, mapper('line = input("name? ")'))
    process = command.start("--json", stdin=subprocess.PIPE)
    out, err = process.communicate(b"ada\nada\n", timeout=60)
    assert process.returncode == 0, err
    assert out.count(b"\n") == 1
    assert b"name? " in err
    assert command.rows() == ["ada\t2"]


MAP_ONLY = mapper("pass").replace("reducer=gomr.sum", "reducer=None")


@pytest.mark.parametrize("workers", [(), ("--workers", "1")], ids=["one-process", "workers"])
def test_the_last_progress_of_a_phase_agrees_with_the_result(
    tmp_path: Path, workers: tuple[str, ...]
) -> None:
    done = Command(tmp_path, mapper("time.sleep(0.2)")).run(*workers, "--mappers", "2")
    for phase, tasks in (("map", "2 of 2 tasks"), ("reduce", "1 of 1 task")):
        last = [line for line in done.told.splitlines() if line.startswith(f"{phase} ")][-1]
        assert last.startswith(f"{phase} 100%  {tasks}, 0 running"), done.told


@pytest.mark.parametrize("workers", [(), ("--workers", "1")], ids=["one-process", "workers"])
def test_a_map_only_job_counts_its_output(tmp_path: Path, workers: tuple[str, ...]) -> None:
    command = Command(tmp_path, MAP_ONLY)
    assert command.run(*workers, "--json").answer["ledger"]["reduce_out"] == 2
    told = command.run(*workers, "--overwrite").told
    assert "   output  2 records\n" in told


def test_help_says_that_all_is_one_process(tmp_path: Path) -> None:
    done = Command(tmp_path, mapper("pass")).run("--help")
    assert (done.code, done.stderr) == (0, b"")
    assert "in this one process" in done.stdout.decode()
    assert "With --workers N it runs in N worker processes" in done.stdout.decode()
