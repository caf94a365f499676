"""Cleaning up after an engine that was killed: nothing of it stays, nothing else goes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.build_cache import output
from tests.cluster.bring_up import cannot_run
from tests.cluster.support.engine_remains import end_processes, remove

WAITS = "import sys; print('here', flush=True); sys.stdin.read()"


@contextmanager
def process(name: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A process that calls itself `name`, and waits."""
    with subprocess.Popen(
        [name, "-c", WAITS, *arguments],
        executable=sys.executable,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as found:
        try:
            assert found.stdout is not None
            assert found.stdout.readline() == "here\n"
            yield found
        finally:
            found.kill()


def test_its_programs_end_and_those_of_others_go_on(tmp_path: Path) -> None:
    data, state = tmp_path / "data", tmp_path / "state"
    ours = f"{state}/exec/containerd.sock"
    with (
        process("/usr/bin/containerd-shim-runc-v2", "-address", ours) as shim,
        process("containerd", "--config", f"{state}/exec/containerd.toml") as containerd,
        process("containerd", "--config", "/etc/containerd.toml") as of_another,
        process("tail", f"{state}/dockerd.log") as reader,
    ):
        end_processes(data, state)
        assert [one.wait(10) for one in (shim, containerd)] == [-9, -9]
        assert [one.poll() for one in (of_another, reader)] == [None, None]


def test_a_folder_goes_with_what_is_mounted_in_it(tmp_path: Path) -> None:
    if reason := cannot_run():
        pytest.skip(reason)
    folder, inner = tmp_path / "engine", tmp_path / "engine" / "a" / "b"
    inner.mkdir(parents=True)
    output(["mount", "--bind", str(folder), str(folder)], 10)
    output(["mount", "-t", "tmpfs", "none", str(folder / "a")], 10)
    remove(folder)
    assert not folder.exists()
    assert str(folder) not in Path("/proc/self/mounts").read_text()
    remove(folder)
