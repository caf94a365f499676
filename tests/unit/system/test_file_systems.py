"""File systems that lack hard links, locks, durable folders or renames."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gomr_runtime.errors import EnvironmentFailed, RunConflict, UsageError
from gomr_runtime.publishing.publish import check_output, publish, read_success, try_output
from gomr_runtime.runs.claims import RunInProgress, claim, clean
from gomr_runtime.runs.local_folder import temporary_folder
from gomr_runtime.storage.directory import DirectoryStore
from gomr_runtime.storage.memory import MemoryStore
from gomr_runtime.system import file_system
from gomr_runtime.system.host_lock import claim_output
from gomr_runtime.testing import run_local
from tests.unit.publishing.test_publish import contents_of, files_in, finished, without_privileges

LACKING = ["link", "flock", "fsync", "rename-flags", "all"]


def refusing(number: int) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.fixture(params=[errno.ENOSYS, errno.EPERM, errno.EOPNOTSUPP], ids=os.strerror)
def number(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(params=LACKING)
def lacking(request: pytest.FixtureRequest, number: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file system without something."""
    what = str(request.param)
    fsync = os.fsync

    def files_alone(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            refusing(number)()
        fsync(descriptor)

    if what in ("link", "all"):
        monkeypatch.setattr(os, "link", refusing(number))
    if what in ("flock", "all"):
        monkeypatch.setattr(fcntl, "flock", refusing(number))
    if what in ("fsync", "all"):
        monkeypatch.setattr(os, "fsync", files_alone)
    if what in ("rename-flags", "all"):
        monkeypatch.setattr(file_system, "_rename", refusing(number))
    return what


@pytest.mark.usefixtures("lacking")
def test_an_output_is_published_and_replaced(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    out = tmp_path / "new" / "out"
    check_output(out, overwrite=False)
    try_output(out)
    publish(store, finished(store, "first", 3), out, overwrite=False)
    (out / "mine").write_bytes(b"stays")
    publish(store, finished(store, "second", 2), out, overwrite=True)
    files = files_in(out)
    assert read_success(out).run == "second"
    assert [files[f"output-{n:05d}.txt"] for n in range(2)] == contents_of("second", 2)
    assert sorted(files) == ["_SUCCESS", "mine", "output-00000.txt", "output-00001.txt"]
    assert sorted(os.listdir(tmp_path)) == ["new", "store"]


@pytest.mark.usefixtures("lacking")
def test_a_store_creates_once_and_copies(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "store")
    assert store.create("a/key", b"first")
    assert not store.create("a/key", b"second")
    assert store.create("a/key", b"first"), "the same again, as after a lost answer"
    store.copy("a/key", "b/key")
    store.put("a/key", b"third")
    assert (store.get("a/key"), store.get("b/key")) == (b"third", b"first")
    assert os.listdir(tmp_path / "store" / ".tmp") == []


@pytest.mark.usefixtures("lacking")
def test_a_whole_job(tmp_path: Path) -> None:
    source = tmp_path / "worker.py"
    source.write_text(
        "import gomr_runtime as gomr\n"
        "def mapper(ctx, line: str): ctx.emit(line, 1)\n"
        "gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=gomr.sum, input=gomr.lines))\n"
    )
    assert sorted(run_local(source, "b\na\nb\n").pairs) == [("a", 1), ("b", 2)]


@pytest.mark.usefixtures("lacking")
def test_a_run_id_is_held_by_one_run(tmp_path: Path) -> None:
    held = claim(tmp_path, "r")
    (tmp_path / "runs" / "r").mkdir(parents=True)
    with pytest.raises(RunInProgress):
        claim(tmp_path, "r", resume=True)
    assert clean(tmp_path, 1e12) == []
    held.release(remove=False)
    assert clean(tmp_path, 1e12) == ["r"]


@pytest.mark.usefixtures("lacking")
def test_a_folder_in_use_is_not_taken_for_abandoned(tmp_path: Path) -> None:
    with temporary_folder(str(tmp_path)) as one, temporary_folder(str(tmp_path)):
        assert one.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_without_renames_nothing_starts(
    tmp_path: Path, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "rename", refusing(number))
    for out in (tmp_path / "new" / "deeper", tmp_path):
        with pytest.raises(UsageError, match=r"--output .*: name another place by --output DIR"):
            try_output(out)
    assert list(tmp_path.iterdir()) == []


def test_places_where_nothing_can_be_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the name is too long: name another place"):
        try_output(tmp_path / "deep" / ("x" * 256))
    with pytest.raises(UsageError, match="the name is too long: name another place"):
        try_output(tmp_path.joinpath(*["x" * 200] * 25))
    assert list(tmp_path.iterdir()) == []
    with tempfile.TemporaryDirectory() as place:  # pytest's own folders are closed to nobody
        os.chmod(place, 0o555)
        with without_privileges():
            with pytest.raises(UsageError, match="permission denied: name another place"):
                try_output(Path(place, "new"))
            with pytest.raises(EnvironmentFailed, match=r"permission denied: name .* by --store"):
                claim(Path(place, "store"), "r")
            with (
                pytest.raises(EnvironmentFailed, match=r"permission denied: name .* by --store"),
                temporary_folder(place),
            ):
                pass
        os.chmod(place, 0o755)


def test_an_output_is_claimed_by_one_run(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(".")
    store = MemoryStore()
    with claim_output(tmp_path / "out") as claimed:
        for path in (tmp_path / "out", tmp_path / "link" / "out"):
            with pytest.raises(RunConflict, match=f"--output {path}: another run"):
                publish(store, finished(store, "other", 1), path, overwrite=False)
        assert not (tmp_path / "out").exists()
        publish(store, finished(store, "ours", 1), tmp_path / "out", False, claim=claimed)
    publish(store, finished(store, "next", 1), tmp_path / "out", overwrite=True)


def test_what_user_code_forks_keeps_no_claim(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours:
        with claim_output(tmp_path / "out"):
            child = os.fork()
            if child == 0:  # a process that lives on when the run is over
                ours.close()
                theirs.send(b"1")
                theirs.recv(1)
                os._exit(0)
            theirs.close()
            assert ours.recv(1) == b"1"
        claim_output(tmp_path / "out").release()
    os.waitpid(child, 0)
