"""The whole job through the command line: flow, real server, real processes."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest

from tests.flow.command import (
    Launch,
    Server,
    call,
    clean_environ,
    flow_run_of,
    run,
    state_of,
    steps_of,
    wait_for_line,
)
from tests.process.support.clashes import FEW, write_clashing

SOURCES = Path(json.__file__).parents[1]
SLOW = """\
import time
import gomr_runtime as gomr


def mapper(ctx: gomr.Context, line: str) -> None:
    time.sleep(0.05)
    ctx.progress()


if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, input=gomr.lines))
"""
BAD = """\
import gomr_runtime as gomr


def mapper(ctx: gomr.Context, line: str) -> None:
    raise RuntimeError(f"cannot take {line!r}")


if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, input=gomr.lines))
"""


def words(output: Path) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in sorted(output.glob("output-*.txt")):
        for line in part.read_text(encoding="utf-8").split("\n")[:-1]:
            key, value = line.split("\t")
            assert key not in found
            found[key] = int(value)
    return found


def expected(paths: list[Path]) -> Counter[str]:
    total: Counter[str] = Counter()
    for path in paths:
        total.update(re.findall(r"\w+", path.read_text(encoding="utf-8").lower()))
    return total


@pytest.mark.parametrize("mappers", ["1", "9"])
def test_the_flow_gives_the_bytes_of_one_process(
    server: Server, folder: Path, mappers: str
) -> None:
    given = ("--input", f"{SOURCES}/json/*.py", "--mappers", mappers, "--reducers", "3")
    done = run(folder, server.environ, *given, "--output", "flow", "worker.py")
    assert done.returncode == 0, done.stderr
    inline = [sys.executable, "worker.py", "--input", f"{SOURCES}/json/*.py", "--mappers", "4"]
    subprocess.run(
        [*inline, "--reducers", "3", "--output", "inline", "-q"],
        cwd=folder,
        env=clean_environ(),
        check=True,
        timeout=60,
    )
    parts = [sorted((folder / name).glob("output-*")) for name in ("flow", "inline")]
    assert [p.name for p in parts[0]] == [p.name for p in parts[1]]
    assert len(parts[0]) == 3
    assert [p.read_bytes() for p in parts[0]] == [p.read_bytes() for p in parts[1]]


def test_files_named_as_the_standard_librarys_break_nothing(server: Server, folder: Path) -> None:
    expected = write_clashing(folder, FEW)
    given = ("--input", "text.txt", "--workers", "1", "--output", "out")
    done = run(folder, server.environ, *given, "worker.py")
    assert done.returncode == 0, done.stderr
    assert words(folder / "out") == expected


def test_word_count_equals_counter_and_tells_all_about_it(server: Server, folder: Path) -> None:
    done = run(
        folder,
        server.environ,
        *("--input", f"{SOURCES}/a*.py", "--input", f"{SOURCES}/json/*.py"),
        *("--workers", "2", "--mappers", "7", "--reducers", "3", "--run-id", "words", "--json"),
        "worker.py",
    )
    assert done.returncode == 0, done.stderr
    output = folder / "outputs" / "words"
    # `__init__.py` is skipped, as every name that begins with an underscore.
    paths = [*sorted(SOURCES.glob("a*.py")), *sorted((SOURCES / "json").glob("[!_]*.py"))]
    assert words(output) == expected(paths)

    success = json.loads((output / "_SUCCESS").read_text())
    assert [part["name"] for part in success["parts"]] == [f"output-0000{i}.txt" for i in range(3)]
    for part in success["parts"]:
        content = (output / part["name"]).read_bytes()
        assert part["size"] == len(content)
        assert part["records"] == content.count(b"\n")
        assert part["sha256"] == hashlib.sha256(content).hexdigest()

    summary = json.loads(done.stdout)
    books = summary["ledger"]
    assert summary["output"] == "outputs/words"
    assert books["bytes_read"] == sum(path.stat().st_size for path in paths)
    assert books["records_read"] == books["mapped"] + books["set_aside"] + books["skipped"]
    assert books["written"] == books["reduce_in"]
    for line in ("All map tasks completed!", "Map reduce completed"):
        assert line in done.stderr.splitlines()
    assert "Traceback" not in done.stderr
    assert not (folder / ".gomr" / "runs" / "words").exists(), "intermediates go after success"


def test_prefect_shows_steps_progress_and_summary(server: Server, folder: Path) -> None:
    done = run(
        folder, server.environ, "--input", "text.txt", "--run-id", "shown", "-q", "worker.py"
    )
    assert done.returncode == 0
    assert done.stderr == done.stdout == ""
    flow_run = flow_run_of(server, "shown")
    assert flow_run["state"]["type"] == "COMPLETED"
    mine = {"flow_runs": {"id": {"any_": [flow_run["id"]]}}}
    assert list(steps_of(server, "shown")) == [
        *("validate", "start_store", "build_environment", "deploy"),
        *("wait_for_map", "wait_for_reduce", "collect", "report", "clean_up"),
    ]
    artifacts = {a["key"]: a for a in call(server, "/artifacts/filter", mine)}
    assert set(artifacts) == {"gomr-map", "gomr-reduce", "gomr-summary", "gomr-parts"}
    assert artifacts["gomr-map"]["data"] == artifacts["gomr-reduce"]["data"] == 100.0
    assert "200 records (8.8 kB) = 200 mapped + 0 set aside" in artifacts["gomr-summary"]["data"]
    assert str(folder / "outputs" / "shown") in artifacts["gomr-summary"]["data"]
    assert "output-00000.txt" in artifacts["gomr-parts"]["data"]
    logs = call(server, "/logs/filter", {"logs": {"flow_run_id": {"any_": [flow_run["id"]]}}})
    assert "Map reduce completed" in {log["message"] for log in logs}


def test_what_a_job_says_is_text_in_prefect(server: Server, folder: Path) -> None:
    """Neither markup nor an escape sequence, in no page and no log."""
    markup, escape = "<img src=x>[a](http://evil) | `b`", "\x1b]0;owned\x07\u202e\r"
    (folder / "hostile.py").write_text(
        "import gomr_runtime as gomr\n"
        "def mapper(ctx, line: str):\n"
        f"    ctx.counter({markup + escape!r}).add()\n"
        f"    if line == 'bad': raise ValueError({markup + escape!r})\n"
        "    ctx.emit(line, 1)\n"
        "gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=gomr.sum, input=gomr.lines))\n"
    )
    (folder / f"in{escape}.txt").write_text("a\nbad\n")
    done = run(
        *(folder, server.environ, "--input", f"in{escape}.txt", "--run-id", "said"),
        *("--skip-bad-records", "1", "hostile.py"),
    )
    assert done.returncode == 0, done.stderr
    mine = {"flow_runs": {"id": {"any_": [flow_run_of(server, "said")["id"]]}}}
    [page] = [
        a["data"] for a in call(server, "/artifacts/filter", mine) if a["key"] == "gomr-summary"
    ]
    assert r"&#60;img src=x&#62;&#91;a&#93;(http&#58;//evil) &#124; &#96;b&#96;" in page
    logs = call(server, "/logs/filter", {"logs": {"flow_run_id": mine["flow_runs"]["id"]}})
    for told in (page, done.stderr, *(log["message"] for log in logs)):
        assert not {"\x1b", "\x07", "\r", "\u202e"} & set(told)


def test_a_mapper_that_raises(server: Server, folder: Path) -> None:
    (folder / "bad.py").write_text(BAD)
    arguments = ("--input", "text.txt", "--run-id", "bad", "-q", "bad.py")
    done = run(folder, server.environ, *arguments)
    assert done.returncode == 1
    first, *frames = done.stderr.splitlines()
    for fact in ("gomr: ", "text.txt", "map-0", "RuntimeError: cannot take 'the quick brown"):
        assert fact in first
    assert frames[0] == "Traceback (most recent call last):"
    assert f'File "{folder / "bad.py"}", line 5, in mapper' in frames[1]
    assert [line for line in frames if "File " in line] == [frames[1]], "only the user's frames"
    assert not (folder / "outputs").exists()
    assert flow_run_of(server, "bad")["state"]["type"] == "FAILED"
    before = dict.fromkeys(("validate", "start_store", "build_environment", "deploy"), "COMPLETED")
    ended = {"wait_for_map": "FAILED", "clean_up": "COMPLETED"}
    assert steps_of(server, "bad") == before | ended, "no step is begun after the one that failed"
    assert (folder / ".gomr" / "runs" / "bad").is_dir(), "a failed run's data is kept"

    again = run(folder, server.environ, *arguments)
    assert again.returncode == 5
    assert "data of an earlier run" in again.stderr

    recent = run(folder, server.environ, "clean")
    assert (recent.returncode, recent.stdout) == (0, "")
    cleaned = run(folder, server.environ, "clean", "--all")
    assert (cleaned.returncode, cleaned.stdout) == (0, "bad\n")
    assert list((folder / ".gomr").rglob("*bad*")) == []


def slow_run(launch: Launch, server: Server, folder: Path, name: str) -> subprocess.Popen[str]:
    (folder / "slow.py").write_text(SLOW)
    (folder / "long.txt").write_text("line\n" * 5000)
    arguments = ("--input", "long.txt", "--workers", "2", "--run-id", name, "slow.py")
    process = launch(folder, server.environ, *arguments)
    wait_for_line(process, "All workers connected")
    return process


@pytest.mark.parametrize(
    ("sign", "code", "words"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "SIGTERM"),
        (signal.SIGHUP, 129, "SIGHUP"),
    ],
)
def test_signals_end_the_run_cleanly(
    launch: Launch, server: Server, folder: Path, sign: signal.Signals, code: int, words: str
) -> None:
    name = sign.name.lower()
    process = slow_run(launch, server, folder, name)
    family = psutil.Process(process.pid).children(recursive=True)
    assert {"gomr-master", "gomr-worker"} <= {p.name() for p in family}
    process.send_signal(sign)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    assert err.splitlines()[-1].startswith("gomr: ")
    assert words in err.splitlines()[-1]
    assert "Traceback" not in err
    assert not (folder / "outputs").exists()
    assert state_of(server, name, "CRASHED") == "CRASHED"
    cleaned = run(folder, server.environ, "clean", "--all")
    assert cleaned.stdout == f"{name}\n"


def test_an_interrupt_while_the_command_still_loads(
    launch: Launch, server: Server, folder: Path
) -> None:
    environ = server.environ | {"PYTHONPROFILEIMPORTTIME": "1"}  # says what is loaded
    process = launch(folder, environ, "--input", "long.txt", "slow.py")
    wait_for_line(process, "gomr_runtime.errors")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1] == "gomr: interrupted"
    assert "Traceback" not in err


INTERRUPTING = """
import sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            exec("raise KeyboardInterrupt")

sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize("name", ["flows.cli", "gomr_runtime.runs.prepare"])
def test_an_interrupt_in_code_that_a_library_compiles(
    server: Server, folder: Path, name: str
) -> None:
    """Python by itself would end by the signal, though the interrupt was handled."""
    (folder / "sitecustomize.py").write_text(INTERRUPTING.format(name=name))
    paths = os.pathsep.join([str(folder), server.environ.get("PYTHONPATH", "")])
    done = run(folder, server.environ | {"PYTHONPATH": paths}, "--input", "text.txt", "worker.py")
    assert (done.returncode, done.stderr) == (130, "gomr: interrupted\n")


def test_clean_leaves_a_run_in_progress_alone(launch: Launch, server: Server, folder: Path) -> None:
    process = slow_run(launch, server, folder, "busy")
    cleaned = run(folder, server.environ, "clean", "--all")
    assert (cleaned.returncode, cleaned.stdout) == (0, "")
    assert (folder / ".gomr" / "runs" / "busy" / "job.json").is_file()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)


def test_E7_a_live_run_is_followed_and_its_data_left_to_its_owner(
    launch: Launch, server: Server, folder: Path
) -> None:
    process = slow_run(launch, server, folder, "live")
    given = ("--input", "long.txt", "--workers", "2", "--resume", "live", "slow.py")
    follower = launch(folder, server.environ, *given)
    wait_for_line(follower, "following it")
    wait_for_line(follower, "All workers connected")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    _, err = follower.communicate(timeout=60)
    assert (process.returncode, follower.returncode) == (130, 3), err
    assert "the process that looked after it ended before the run did" in err
    assert (folder / ".gomr" / "runs" / "live" / "job.json").is_file()


def test_cancel_in_prefect_ends_the_run(launch: Launch, server: Server, folder: Path) -> None:
    process = slow_run(launch, server, folder, "unwanted")
    family = psutil.Process(process.pid).children(recursive=True)
    flow_run = flow_run_of(server, "unwanted")
    state = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    call(server, f"/flow_runs/{flow_run['id']}/set_state", state)
    started = time.monotonic()
    _, err = process.communicate(timeout=60)
    assert time.monotonic() - started < 20
    assert process.returncode == 130
    assert "gomr: " in err
    assert "cancelled in Prefect" in err
    assert "Traceback" not in err
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    assert state_of(server, "unwanted", "CANCELLED") == "CANCELLED"
    steps = steps_of(server, "unwanted")
    assert steps["wait_for_map"] == "CANCELLED"
    assert not {"wait_for_reduce", "collect", "report"} & set(steps)


def test_standard_input(launch: Launch, server: Server, folder: Path) -> None:
    process = launch(
        folder, server.environ, "--input", "-", "--run-id", "piped", "worker.py", stdin="a b a\n"
    )
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert words(folder / "outputs" / "piped") == {"a": 2, "b": 1}
    assert list((folder / ".gomr" / "stdin").iterdir()) == []


def test_no_server_is_one_line(folder: Path, server: Server) -> None:
    nowhere = server.environ | {"PREFECT_API_URL": "http://127.0.0.1:9/api"}
    done = run(folder, nowhere, "-q", "--input", "text.txt", "worker.py")
    assert done.returncode == 3
    assert done.stderr.startswith("gomr: Prefect (http://127.0.0.1:9/api)")
    assert len(done.stderr.splitlines()) == 1


def test_E7_a_failed_run_goes_on_and_a_complete_one_does_nothing(
    server: Server, folder: Path
) -> None:
    flag = folder / "fail"
    flag.touch()
    source = (folder / "worker.py").read_text()
    fail = f"    import os\n    if os.path.exists({str(flag)!r}):\n        raise ValueError('no')\n"
    stop = source.replace("list[int]) -> None:\n", f"list[int]) -> None:\n{fail}")
    (folder / "worker.py").write_text(stop)
    arguments = ("--input", "text.txt", "--workers", "2", "--json", "worker.py")
    failed = run(folder, server.environ, "--run-id", "again", *arguments)
    assert (failed.returncode, "--resume again" in failed.stderr) == (1, True), failed.stderr
    assert failed.stderr.count("4 attempts failed") == 1, "the cause is told once"
    flag.unlink()
    for expected_words in ("tasks are committed", "nothing is left to do"):
        done = run(folder, server.environ, "--resume", "again", *arguments)
        assert (done.returncode, expected_words in done.stderr) == (0, True), done.stderr
        assert json.loads(done.stdout)["state"] == "succeeded"
        assert words(folder / "outputs/again") == expected([folder / "text.txt"])
