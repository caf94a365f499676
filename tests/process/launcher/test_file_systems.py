"""Whole runs on file systems that lack something, by a C library that refuses on their behalf."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.process.support.worker_commands import Command, mapper

LIBRARY = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
int link(const char *a, const char *b) { errno = EPERM; return -1; }
int linkat(int a, const char *b, int c, const char *d, int e) { errno = EPERM; return -1; }
int flock(int fd, int how) { errno = ENOSYS; return -1; }
int renameat2(int a, const char *b, int c, const char *d, unsigned e) { errno = EINVAL; return -1; }
int fsync(int fd) {
    struct stat found;
    if (fstat(fd, &found) == 0 && S_ISDIR(found.st_mode)) { errno = EINVAL; return -1; }
    return syscall(SYS_fsync, fd);
}
"""


def preloaded(folder: Path, source: str) -> dict[str, str]:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler for a library that refuses")
    (folder / "lacking.c").write_text(source)
    command = [compiler, "-shared", "-fPIC", "-o", "lacking.so", "lacking.c"]
    subprocess.run(command, cwd=folder, check=True, timeout=60)
    (folder / "tmp").mkdir()  # where others have locks they would take our folders for abandoned
    return {"LD_PRELOAD": str(folder / "lacking.so"), "TMPDIR": str(folder / "tmp")}


def test_without_links_locks_exchanges_and_durable_folders(tmp_path: Path) -> None:
    environ = preloaded(tmp_path, LIBRARY)
    command = Command(tmp_path / "job", mapper("pass"))
    for arguments in ((), ("--overwrite", "--workers", "1"), ("--overwrite",)):
        done = command.run(*arguments, environ=environ)
        assert done.code == 0, done.told
        assert command.rows() == ["a b\t1", "b c\t1"]
        assert sorted(os.listdir(command.out)) == ["_SUCCESS", "output-00000.txt"]


def test_in_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """The options that the messages name are enough."""
    command = Command(tmp_path / "job", mapper("pass"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    read_only = 'mount --bind . . && mount -o remount,bind,ro . && cd "$PWD" && exec "$@"'
    shell = f"exec unshare -m sh -c '{read_only}' sh \"$@\""
    if os.geteuid() != 0 or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("needs mounts of its own")
    default = ("--output", "")
    for workers in ((), ("--workers", "1")):
        told = command.run(*default, *workers, through=shell)
        assert told.code == 2, told.told
        assert f"{command.folder} is not writable: name another place by --output DIR" in told.error
        output = ("--output", str(elsewhere / f"out{len(workers)}"))
        if workers:
            told = command.run(*output, *workers, through=shell)
            assert told.code == 3, told.told
            assert "the file system is read-only: name another place by --store DIR" in told.error
        done = command.run(*output, *workers, "--store", str(elsewhere), through=shell)
        assert done.code == 0, done.told
        assert (elsewhere / f"out{len(workers)}" / "_SUCCESS").is_file()
