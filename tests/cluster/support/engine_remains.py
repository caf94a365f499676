"""What an engine leaves when it is killed: processes, control groups and mounts, ended here."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from tests.build_cache import BuildFailed, output

_PROCESSES = Path("/proc")
_MOUNTS = Path("/proc/self/mounts")
_CGROUPS = Path("/sys/fs/cgroup")
_PROGRAMS = (b"dockerd", b"containerd", b"containerd-shim-runc-v2")
_END_SECONDS = 30.0
_UMOUNT_SECONDS = 60.0


def end_processes(data: Path, state: Path) -> None:
    """Kill what runs of the engine with these folders, and of its containers, until none does.

    Their control groups go too: a container cannot start in one with groups of an earlier life.
    """
    deadline = time.monotonic() + _END_SECONDS
    groups = _groups(data)
    while alive := set(_programs(state)) | set(_in(groups)):
        if time.monotonic() > deadline:
            raise BuildFailed(f"processes {sorted(alive)} of an earlier engine do not end")
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
    remove_groups(groups)


def remove_groups(groups: list[Path]) -> None:
    """The control groups with all below them, of which no process is in any."""
    inside = [path for top in groups for path in (top, *top.rglob("*")) if path.is_dir()]
    deadline = time.monotonic() + _END_SECONDS
    for group in sorted(inside, reverse=True):  # children before their parents
        while group.exists():
            try:
                group.rmdir()
            except OSError as error:  # the kernel still counts a process that has ended
                if time.monotonic() > deadline:
                    raise BuildFailed(f"{group} cannot be removed: {error}") from None
                time.sleep(0.1)


def remove(folder: Path) -> None:
    """The folder with all in it, if it is there; an engine leaves mounts in it when it ends."""
    points = [Path(line.split()[1]) for line in _MOUNTS.read_text().splitlines()]
    for point in sorted(points, reverse=True):  # what is mounted inside another goes first
        if point == folder or folder in point.parents:
            output(["umount", str(point)], _UMOUNT_SECONDS)
    if folder.exists():
        shutil.rmtree(folder)


def _programs(state: Path) -> Iterator[int]:
    """dockerd, its containerd and the containers' shims, by their arguments."""
    for process in _PROCESSES.iterdir():
        if process.name.isdigit():
            program, *arguments = _command_line(process)
            if Path(program.decode(errors="replace")).name.encode() in _PROGRAMS and any(
                argument.startswith(os.fsencode(state)) for argument in arguments
            ):
                yield int(process.name)


def _groups(data: Path) -> list[Path]:
    """The control groups of the engine's containers, in every hierarchy."""
    folder = data / "containers"
    names = [path.name for path in folder.iterdir()] if folder.exists() else []
    places = [place for name in names for place in (f"docker/{name}", f"*/docker/{name}")]
    return [group for place in places for group in _CGROUPS.glob(place)]


def _in(groups: list[Path]) -> Iterator[int]:
    """What runs in the control groups, and in those below them."""
    for group in groups:
        for file in group.rglob("cgroup.procs"):
            with contextlib.suppress(OSError):  # the group is gone meanwhile
                yield from map(int, file.read_text().split())


def _command_line(process: Path) -> list[bytes]:
    try:
        return (process / "cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return [b""]
