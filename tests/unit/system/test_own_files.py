"""Links, pipes, devices and files of others where files of ours are expected."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

from gomr_runtime.errors import EnvironmentFailed, RunConflict, StorageError, UsageError
from gomr_runtime.model.job import JobSpec
from gomr_runtime.model.task import Ledger, ResultFile, TaskFailure, TaskResult, TaskSpec
from gomr_runtime.options.declared import asks_for_json, parse
from gomr_runtime.publishing.output_files import JOURNAL, NEW, OLD
from gomr_runtime.publishing.publish import check_output, publish, read_success, try_output
from gomr_runtime.runs.attached import AttachedRun
from gomr_runtime.runs.claims import announce, claim, clean, open_up, stdin_copy
from gomr_runtime.runs.local_folder import LOCK, make_folder, remove_abandoned
from gomr_runtime.storage.directory import DirectoryStore
from gomr_runtime.storage.memory import MemoryStore
from gomr_runtime.system import file_system, own_files
from gomr_runtime.system.processes import MARK, LocalProcess, end_marked, part_of
from gomr_runtime.user_code.worker_file import inspect_worker
from gomr_runtime.worker.attempt_files import AttemptFiles
from tests.unit.publishing.test_publish import finished

SECONDS = 20  # for what must not wait at all

Trap = Callable[[Path], None]


def link_to_a_file(path: Path) -> None:
    victim = path.with_name("victim")
    victim.write_text("precious")
    path.symlink_to(victim)


def second_name(path: Path) -> None:
    victim = path.with_name("victim")
    victim.write_text("precious")
    path.hardlink_to(victim)


TRAPS: dict[str, Trap] = {
    "pipe": os.mkfifo,
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "link": link_to_a_file,
    "dangling": lambda path: path.symlink_to(path.with_name("victim")),
    "folder": Path.mkdir,
}
NAMES = {**TRAPS, "second name": second_name}


@pytest.fixture(autouse=True)
def never_waits() -> Iterator[None]:
    """Instead of a test that hangs: an error."""

    def late(_: int, __: FrameType | None) -> None:
        raise AssertionError(f"it waits for more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(params=TRAPS)
def trap(request: pytest.FixtureRequest) -> Trap:
    return TRAPS[request.param]


def unharmed(folder: Path) -> None:
    victim = folder / "victim"
    assert not victim.exists() or victim.read_text() == "precious"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# The run's data.


def test_the_store_of_runs_is_private(tmp_path: Path) -> None:
    old = tmp_path / "old" / ".gomr"
    old.mkdir(parents=True)  # as earlier versions made it
    old.chmod(0o755)
    chosen = tmp_path / "chosen"
    chosen.mkdir()
    chosen.chmod(0o775)
    new, named = tmp_path / "new" / ".gomr", tmp_path / "named" / "store"
    for store in (old, chosen, new, named):
        claim(store, "r").release(remove=True)
        DirectoryStore(store).put("runs/r/job.json", b"{}")
    assert [mode_of(store) for store in (old, new, named)] == [0o700] * 3
    assert mode_of(chosen) == 0o775, "somebody has chosen that"
    DirectoryStore(tmp_path / "made")
    assert mode_of(tmp_path / "made") == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user, as root alone may")
def test_a_store_that_another_user_has_laid_out(tmp_path: Path) -> None:
    store = tmp_path / ".gomr"
    (store / "locks").mkdir(parents=True)
    os.chown(store, 65534, 65534)
    store.chmod(0o777)
    for use in (lambda: claim(store, "r"), lambda: open_up(store), lambda: clean(store, 0)):
        with pytest.raises(EnvironmentFailed, match=r"\.gomr: it belongs to another user: name"):
            use()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o755)
    (tmp_path / "link").mkdir()
    led = tmp_path / "link" / ".gomr"
    led.symlink_to(elsewhere)
    os.chown(led, 65534, 65534, follow_symlinks=False)
    with pytest.raises(EnvironmentFailed, match="a link of another user is in the way: name"):
        claim(led, "r")
    assert (mode_of(elsewhere), list(elsewhere.iterdir())) == (0o755, [])
    os.chown(led, 0, 0, follow_symlinks=False)
    claim(led, "r").release(remove=True)
    assert mode_of(elsewhere) == 0o700


@pytest.mark.parametrize("name", NAMES)
def test_a_lock_that_is_none(tmp_path: Path, name: str) -> None:
    locks = tmp_path / "locks"
    locks.mkdir()
    NAMES[name](locks / "r")
    (tmp_path / "runs" / "r").mkdir(parents=True)
    for use in (lambda: claim(tmp_path, "r", resume=True), lambda: clean(tmp_path, 1e12)):
        with pytest.raises(EnvironmentFailed, match=r"locks/r: .*: remove it, or name another"):
            use()
    if name != "dangling":
        with pytest.raises(OSError, match=r".+"):
            announce(tmp_path, "r", tmp_path)
    unharmed(locks)
    assert (tmp_path / "runs" / "r").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user, as root alone may")
def test_a_lock_and_a_folder_of_another_user(tmp_path: Path) -> None:
    locks, theirs = tmp_path / "locks", tmp_path / "theirs"
    theirs.mkdir()
    locks.mkdir()
    (locks / "r").write_text(str(theirs))
    os.chown(locks / "r", 65534, 65534)
    with pytest.raises(EnvironmentFailed, match="locks/r: it belongs to another user"):
        claim(tmp_path, "r")
    (theirs / "token").write_text("theirs")
    os.chown(theirs / "token", 65534, 65534)
    with pytest.raises(RunConflict, match="somebody else's"):
        AttachedRun("r", theirs, str(tmp_path), tmp_path / "out")
    os.chown(theirs / "token", 0, 0)
    os.chown(theirs, 65534, 65534)
    with pytest.raises(RunConflict, match="somebody else's"):
        AttachedRun("r", theirs, str(tmp_path), tmp_path / "out")
    locks.rename(tmp_path / "moved")
    locks.symlink_to(theirs)
    os.chown(locks, 65534, 65534, follow_symlinks=False)
    with pytest.raises(EnvironmentFailed, match="a link of another user"):
        claim(tmp_path, "other")
    assert [path.name for path in theirs.iterdir()] == ["token"]


def test_on_a_file_system_without_owners_a_lock_is_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim(tmp_path, "r").release(remove=False)
    monkeypatch.setattr(os, "geteuid", lambda: 4321)  # nothing that is made belongs to this one
    claim(tmp_path, "r").release(remove=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["locks"]


def test_a_token_that_is_none(tmp_path: Path, trap: Trap) -> None:
    trap(tmp_path / "token")
    with pytest.raises(RunConflict, match="in progress"):
        AttachedRun("r", tmp_path, str(tmp_path), tmp_path / "out")


def test_clean_meets_links_that_lead_nowhere(tmp_path: Path) -> None:
    data = tmp_path / "runs" / "r"
    data.mkdir(parents=True)
    (data / "link").symlink_to("nowhere")
    os.mkfifo(data / "pipe")
    (tmp_path / "victim").mkdir()
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "r").symlink_to(tmp_path / "victim")
    (tmp_path / "victim" / "mine").touch()
    assert clean(tmp_path, time.time() + 1, 0) == ["r"]
    assert (tmp_path / "victim" / "mine").exists()
    assert not data.exists()


def test_a_log_that_is_none(tmp_path: Path, trap: Trap) -> None:
    log = tmp_path / "worker-0.log"
    trap(log)
    with pytest.raises(OSError, match=r".+"):
        LocalProcess("worker-0", ["true"], log, 0, {}, print)
    unharmed(tmp_path)


def test_standard_input_is_copied_to_a_private_place(tmp_path: Path) -> None:
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import gomr_runtime as gomr\n"
        "def mapper(ctx, line: str): ctx.emit(line, 1)\n"
        "gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=gomr.sum, input=gomr.lines))\n"
    )
    done = subprocess.run(
        [sys.executable, str(worker), "--input", "-", "--workers", "1", "--keep", "--run-id", "r"],
        input=b"secret\n",
        capture_output=True,
        cwd=tmp_path,
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path(own_files.__file__).parents[2])},
    )
    assert done.returncode == 0, done.stderr
    store = tmp_path / ".gomr"
    assert stdin_copy(store, "r").read_bytes() == b"secret\n"
    assert mode_of(store) == 0o700


# The output.


def test_a_journal_that_is_none(tmp_path: Path, trap: Trap) -> None:
    store, out = MemoryStore(), tmp_path / "out"
    out.mkdir()
    (out / "foreign").touch()
    trap(out / JOURNAL)
    with pytest.raises(UsageError, match="not empty and not a GoMR output"):
        check_output(out, overwrite=True)
    (out / "foreign").unlink()
    try_output(out)
    if (out / JOURNAL).is_dir():
        with pytest.raises(StorageError, match="cannot publish"):
            publish(store, finished(store, "r", 1), out, overwrite=False)
        return
    (out / "victim").unlink(missing_ok=True)
    publish(store, finished(store, "r", 1), out, overwrite=False)
    assert sorted(path.name for path in out.iterdir()) == ["_SUCCESS", "output-00000.txt"]


def test_a_success_that_is_none(tmp_path: Path, trap: Trap) -> None:
    trap(tmp_path / "_SUCCESS")
    with pytest.raises(UsageError, match="_SUCCESS"):
        read_success(tmp_path)


def test_a_pipe_that_somebody_writes_to_is_no_success(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "_SUCCESS")
    pipe = os.open(tmp_path / "_SUCCESS", os.O_RDWR)
    try:
        with pytest.raises(UsageError, match="no regular file"):
            read_success(tmp_path)
    finally:
        os.close(pipe)


def test_an_old_output_behind_a_link_is_not_brought_back(tmp_path: Path) -> None:
    store = MemoryStore()
    mine, out = tmp_path / "mine", tmp_path / "out"
    publish(store, finished(store, "mine", 2), mine, overwrite=False)
    out.mkdir()
    (out / OLD).symlink_to(mine)
    try_output(out)
    check_output(out, overwrite=False)
    publish(store, finished(store, "next", 1), out, overwrite=False)
    assert read_success(out).run == "next"
    assert read_success(mine).run == "mine"
    assert len(list(mine.iterdir())) == 3


def test_a_link_in_place_of_the_new_output(tmp_path: Path) -> None:
    store = MemoryStore()
    out, victim = tmp_path / "out", tmp_path / "victim"
    victim.mkdir()
    (victim / "output-00000.txt").write_text("precious")
    out.mkdir()
    (out / NEW).symlink_to(victim)
    with pytest.raises(StorageError, match=f"cannot publish to {out}/{NEW}"):
        publish(store, finished(store, "r", 1), out, overwrite=False)
    assert (victim / "output-00000.txt").read_text() == "precious"
    assert len(list(victim.iterdir())) == 1


def test_a_link_in_place_of_the_folder_beside(tmp_path: Path) -> None:
    """Its name can be foreseen by all who may write beside the output."""
    store = MemoryStore()
    out, victim = tmp_path / "out", tmp_path / "victim"
    publish(store, finished(store, "first", 1), out, overwrite=False)
    victim.mkdir()
    (victim / "diary").write_text("precious")
    mark = hashlib.sha256(b"out").hexdigest()[:16]
    (tmp_path / f".gomr-{mark}").symlink_to(victim)
    publish(store, finished(store, "second", 1), out, overwrite=True)
    assert read_success(out).run == "second"
    assert (victim / "diary").read_text() == "precious"
    assert not (out / "diary").exists()


def test_a_link_in_place_of_the_folder_for_bad_records(tmp_path: Path) -> None:
    store = MemoryStore()
    out, victim = tmp_path / "out", tmp_path / "victim"
    victim.mkdir()
    (victim / "map-00000.jsonl").write_text("precious")
    out.mkdir()
    (out / "_bad").symlink_to(victim)
    summary = finished(store, "r", 1)
    aside = dataclasses.replace(summary.parts[0], name="_bad/map-00000.jsonl")
    (out / JOURNAL).write_text('["_bad/map-00000.jsonl"]')  # as if it were ours to remove
    with pytest.raises((StorageError, UsageError)):
        publish(store, dataclasses.replace(summary, set_aside=(aside,)), out, overwrite=False)
    assert (victim / "map-00000.jsonl").read_text() == "precious"


# Temporary folders.


def test_a_folder_that_becomes_a_link_is_not_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "diary").write_text("precious")
    (home / LOCK).touch()
    folder, lock = make_folder(str(tmp_path))
    os.close(lock)  # as if it were killed
    locked = file_system.lock

    def meanwhile(descriptor: int) -> bool:
        folder.rename(tmp_path / "moved")
        folder.symlink_to(home)
        return locked(descriptor)

    monkeypatch.setattr(file_system, "lock", meanwhile)
    remove_abandoned(tmp_path)
    assert (home / "diary").read_text() == "precious"
    assert (home / LOCK).exists()


# Settings and programs.


def test_settings_that_are_none(
    tmp_path: Path, trap: Trap, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    trap(tmp_path / "gomr.toml")
    if (tmp_path / "gomr.toml").is_file():  # a link to one's own settings is common
        (tmp_path / "victim").write_text("workers = 3\n")
        assert parse(["--input", "x", "w.py"], inline=False).workers == 3
        return
    assert not asks_for_json([])
    if (tmp_path / "gomr.toml").exists():
        with pytest.raises(UsageError, match=r"gomr\.toml: cannot be read"):
            parse(["--input", "x", "w.py"], inline=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user, as root alone may")
def test_settings_of_another_user_in_a_folder_for_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = tmp_path / "gomr.toml"
    settings.write_text("workers = 3\njson = true\n")
    os.chown(settings, 65534, 65534)
    assert parse(["--input", "x", "w.py"], inline=False).workers == 3, "in a folder of one's own"
    tmp_path.chmod(0o1777)
    assert not asks_for_json([])
    with pytest.raises(UsageError, match=r"gomr\.toml: cannot be read: it belongs to another user"):
        parse(["--input", "x", "w.py"], inline=False)


def test_worker_files_that_are_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.py")
    for path in (tmp_path / "pipe.py", Path("/dev/zero")):
        with pytest.raises(UsageError, match="cannot be read: it is no regular file"):
            inspect_worker(path)


# Processes.


def test_the_processes_of_one_run_are_ended_and_no_others() -> None:
    """A mark that begins like another is another."""
    marks = {
        "run": part_of("file:///data", "gomr", "gomr-1", "worker-0"),
        "of its launcher": part_of("file:///data", "gomr", "gomr-1", "master"),
        "store below": part_of("file:///data/gomr", "r", "gomr-1", "worker-0"),
        "store with a space": part_of("file:///data gomr", "r", "gomr-1", "worker-0"),
        "longer run": part_of("file:///data", "gomr-2", "gomr-1", "worker-0"),
        "another worker": part_of("file:///data", "gomr", "gomr-1", "worker-01"),
    }
    running = {
        name: subprocess.Popen(["sleep", "60"], env={MARK: mark}) for name, mark in marks.items()
    }
    beside = subprocess.Popen(["sleep", "60"], env={"X": f"{MARK}={marks['run']}"})
    try:
        assert end_marked(part_of("file:///data", "gomr", "gomr-1", "worker-0")) == 1
        assert running["run"].wait(10) == -signal.SIGKILL
        assert end_marked(part_of("file:///data", "gomr")) == 2, "as a run that is resumed does"
        for name in ("of its launcher", "another worker"):
            assert running[name].wait(10) == -signal.SIGKILL
        left = [name for name, process in running.items() if process.poll() is None]
        assert left == ["store below", "store with a space", "longer run"]
        assert beside.poll() is None
    finally:
        for process in (*running.values(), beside):
            process.kill()
            process.wait()


# What user code leaves.


def test_a_supervisor_sends_no_file_that_user_code_has_exchanged(tmp_path: Path) -> None:
    """It may read what the child may not: its own environment, for one."""
    scratch = tmp_path / "w0"
    scratch.mkdir()
    store = MemoryStore()
    spec = TaskSpec("r", "map", 0, 1, "n")
    files = (ResultFile("map", str(scratch / "t" / "environ"), 6, "", 0),)

    async def publish_it() -> TaskResult | TaskFailure:
        job = JobSpec("r", (), 1, 1, 1, "", "worker.py")
        attempts = AttemptFiles(store, job, scratch, print)
        return await attempts.publish(spec, TaskResult(files, Ledger()), scratch / "t")

    (tmp_path / "elsewhere").mkdir()
    secret = tmp_path / "elsewhere" / "environ"
    secret.write_text("SECRET")
    (scratch / "t").symlink_to(tmp_path / "elsewhere")
    failure = asyncio.run(publish_it())
    assert isinstance(failure, TaskFailure)
    assert "is a link, no folder of ours" in failure.message
    (scratch / "t").unlink()
    (scratch / "t").mkdir()
    (scratch / "t" / "environ").symlink_to(secret)
    failure = asyncio.run(publish_it())
    assert isinstance(failure, TaskFailure)
    assert list(store.list("")) == []
    (scratch / "t" / "environ").unlink()
    (scratch / "t" / "environ").write_text("result")
    assert isinstance(asyncio.run(publish_it()), TaskResult)
    assert store.get("runs/r/data/map-0/1-n/map") == b"result"
