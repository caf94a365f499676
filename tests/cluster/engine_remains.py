"""What an engine leaves when it is killed: its processes, containers and mounts, ended here."""

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
    """Kill what runs of the engine with these folders, and of its containers, until none does."""
    deadline = time.monotonic() + _END_SECONDS
    while alive := set(_programs(state)) | set(_in_containers(data)):
        if time.monotonic() > deadline:
            raise BuildFailed(f"processes {sorted(alive)} of an earlier engine do not end")
        for pid in alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
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


def _in_containers(data: Path) -> Iterator[int]:
    """What runs in the control groups of the engine's containers, and in groups below."""
    folder = data / "containers"
    identities = [path.name for path in folder.iterdir()] if folder.exists() else []
    for identity in identities:
        for group in (*_CGROUPS.glob(f"docker/{identity}"), *_CGROUPS.glob(f"*/docker/{identity}")):
            for file in group.rglob("cgroup.procs"):
                with contextlib.suppress(OSError):  # the group is gone meanwhile
                    yield from map(int, file.read_text().split())


def _command_line(process: Path) -> list[bytes]:
    try:
        return (process / "cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return [b""]
