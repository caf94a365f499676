"""The old output is never gone before the new one stands: killed or failing at any step."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gomr_runtime.errors import StorageError, UsageError
from gomr_runtime.publishing import output_swap
from gomr_runtime.publishing.publish import check_output, publish, read_success, try_output
from gomr_runtime.storage.base import Store
from gomr_runtime.storage.memory import MemoryStore
from gomr_runtime.system import file_system
from tests.unit.publishing.test_publish import contents_of, files_in, finished

STEPS = ("fsync", "rename", "link", "unlink", "write", "mkdir", "rmdir")
OLD, NEW = contents_of("old", 3), contents_of("new", 2)
WAYS = ["exchanged", "in-place"]


@contextmanager
def before_step(number: int, happens: Callable[[], None]) -> Iterator[list[str]]:
    """`happens` before the n-th call that changes the file system; yields the calls so far."""
    seen: list[str] = []

    def counted(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            seen.append(name)
            if len(seen) > number:
                happens()
            return call(*args, **kwargs)

        return run

    with pytest.MonkeyPatch.context() as patch:
        for name in STEPS:
            patch.setattr(os, name, counted(name, getattr(os, name)))
        patch.setattr(output_swap, "exchange", counted("exchange", file_system.exchange))
        yield seen


def prepared(store: Store, out: Path, way: str) -> Path:
    """A directory with an output and a file of other origin."""
    publish(store, finished(store, "old", 3), out, overwrite=False)
    (out / "mine").write_bytes(b"stays")
    if way == "in-place":  # a folder cannot be in two places
        (out / "folder").mkdir()
    return out


def standing(out: Path) -> str:
    """The run whose output stands there, whole, with the file of other origin."""
    success = read_success(out)
    contents = {"old": OLD, "new": NEW}[success.run]
    assert [(out / part.name).read_bytes() for part in success.parts] == contents
    assert (out / "mine").read_bytes() == b"stays"
    return success.run


def killed_at(step: int, store: Store, out: Path) -> bool:
    """Publish in a process that is killed before that step; False when there is no such step."""
    child = os.fork()
    if child == 0:
        with before_step(step, lambda: os.kill(os.getpid(), signal.SIGKILL)):
            publish(store, finished(store, "new", 2), out, overwrite=True)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert status in (0, signal.SIGKILL)
    return status != 0


@pytest.mark.parametrize("way", WAYS)
def test_killed_before_any_step(tmp_path: Path, way: str) -> None:
    store = MemoryStore()
    runs, step = [], 0
    while True:
        out = prepared(store, tmp_path / f"out-{step}", way)
        killed = killed_at(step, store, out)
        if way == "in-place" and not (out / "_SUCCESS").exists():
            with pytest.raises(UsageError, match="holds the output of run old"):
                check_output(out, overwrite=False)
            try_output(out)  # as the next run does at its start
        runs.append(standing(out))
        if not killed:
            break
        publish(store, finished(store, "third", 1), out, overwrite=True)
        left = {"folder"} if way == "in-place" else set()
        assert set(os.listdir(out)) == {"_SUCCESS", "output-00000.txt", "mine"} | left
        assert [name for name in os.listdir(tmp_path) if name.startswith(".")] == []
        step += 1
    assert runs == sorted(runs, reverse=True), "first the old one, from some step on the new one"
    assert set(runs) == {"old", "new"}
    assert step > 15


def test_killed_before_any_step_of_the_first_output(tmp_path: Path) -> None:
    store = MemoryStore()
    step = 0
    while True:
        out = tmp_path / f"out-{step}"
        killed = killed_at(step, store, out)
        if (out / "_SUCCESS").exists():
            assert [(out / part.name).read_bytes() for part in read_success(out).parts] == NEW
        else:
            assert killed
        if not killed:
            break
        check_output(out, overwrite=(out / "_SUCCESS").exists())
        publish(store, finished(store, "third", 1), out, overwrite=True)
        assert sorted(os.listdir(out)) == ["_SUCCESS", "output-00000.txt"]
        assert [name for name in os.listdir(tmp_path) if name.startswith(".")] == []
        step += 1
    assert step > 15


@pytest.mark.parametrize(("way", "number"), [(WAYS[0], errno.ENOSPC), (WAYS[1], errno.EIO)])
def test_failing_at_any_step(tmp_path: Path, way: str, number: int) -> None:
    """A full disk or a broken one: what an error has begun is taken back."""
    store = MemoryStore()
    step, told = 0, []
    while True:
        out = prepared(store, tmp_path / f"out-{step}", way)
        before = files_in(out)
        failures: list[int] = []

        def fail(failures: list[int] = failures) -> None:
            if not failures:
                failures.append(number)
                raise OSError(number, os.strerror(number))

        with before_step(step, fail):
            try:
                publish(store, finished(store, "new", 2), out, overwrite=True)
            except StorageError as error:
                told.append(str(error))
                if standing(out) == "old":
                    assert files_in(out) == before
                    assert [name for name in os.listdir(tmp_path) if name[0] == "."] == []
        run = standing(out)
        if not failures:
            break
        assert run == "new" or told
        step += 1
    assert run == "new"
    assert step > 15
    assert all("cannot publish to" in line for line in told)


def test_signals_wait_until_names_have_changed(tmp_path: Path) -> None:
    store = MemoryStore()
    out = prepared(store, tmp_path / "out", "in-place")
    came: list[int] = []

    def once() -> None:
        if not came and (out / ".output-old.gomr").exists():
            came.append(1)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt), before_step(0, once):
        publish(store, finished(store, "new", 2), out, overwrite=True)
    assert standing(out) == "new"


def test_an_interrupt_while_parts_are_copied_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    store = MemoryStore()
    with pytest.raises(KeyboardInterrupt):
        publish(store, finished(store, "new", 2), tmp_path / "a" / "b", False, interrupt)
    assert list(tmp_path.iterdir()) == []
    out = prepared(store, tmp_path / "out", "exchanged")
    with pytest.raises(KeyboardInterrupt):
        publish(store, finished(store, "new", 2), out, True, interrupt)
    assert os.listdir(tmp_path) == ["out"]
    assert standing(out) == "old"


@pytest.mark.parametrize("way", WAYS)
def test_who_looks_meanwhile_finds_a_whole_output(tmp_path: Path, way: str) -> None:
    """Exchanged: at every step. In place: until names change."""
    store = MemoryStore()
    out = prepared(store, tmp_path / "out", way)
    seen: list[str] = []

    def look() -> None:
        seen.append(standing(out) if (out / "_SUCCESS").exists() else "none")

    with before_step(0, look):
        publish(store, finished(store, "new", 2), out, overwrite=True)
    assert seen[0] == "old"
    assert seen[-1] == "new"
    assert ("none" in seen) == (way == "in-place")


def test_the_directory_keeps_its_rights_and_its_name(tmp_path: Path) -> None:
    store = MemoryStore()
    (tmp_path / "real").mkdir(mode=0o750)
    out = tmp_path / "link"
    out.symlink_to("real")
    prepared(store, out, "exchanged")
    os.chmod(out, 0o2775)
    publish(store, finished(store, "new", 2), out, overwrite=True)
    assert standing(tmp_path / "real") == "new"
    assert out.is_symlink()
    assert (tmp_path / "real").stat().st_mode & 0o7777 == 0o2775
    assert sorted(os.listdir(tmp_path)) == ["link", "real"]


def test_in_the_working_directory_names_change_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell that is there must not find itself in a removed directory."""
    store = MemoryStore()
    out = prepared(store, tmp_path / "out", "exchanged")
    monkeypatch.chdir(out)
    number = out.stat().st_ino
    publish(store, finished(store, "new", 2), Path("."), overwrite=True)
    assert standing(out) == "new"
    assert out.stat().st_ino == number
