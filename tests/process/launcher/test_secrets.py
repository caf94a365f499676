"""Secrets in the environment of a command, looked for by the code that it runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from gomr_runtime.system.lifeline import prctl
from tests.flow.command import clean_environ
from tests.process.support.worker_commands import Command

PR_CAPBSET_DROP = 24
PTRACE, ADMIN, PERFMON = 19, 21, 38  # capabilities that open /proc/<pid> of others
SECRETS = {
    "GOMR_S3_SECRET_KEY": "canary-3f9c61d8e2-store",
    "AWS_SECRET_ACCESS_KEY": "canary-3f9c61d8e2-cloud",
    "PREFECT_API_KEY": "canary-3f9c61d8e2-prefect",
    "PREFECT_API_AUTH_STRING": "canary-3f9c61d8e2-login",
}
# Looks into every process that it may look into, and says what it found and where it looked.
SEARCH = """
import os
from pathlib import Path
import gomr_runtime as gomr

def mapper(ctx, line: str) -> None:
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            text = Path("/proc", name, "environ").read_bytes()
            title = Path("/proc", name, "cmdline").read_bytes()
        except OSError:
            ctx.counter("closed").add()
            continue
        if b"canary-3f9c61d8e2" in text:
            ctx.emit("found in " + title.decode()[:60], 1)
        if int(name) == os.getpid():
            ctx.emit("looked", 1)
    for name in os.environ:
        if "canary-3f9c61d8e2" in os.environ[name]:
            ctx.emit("inherited " + name, 1)

gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=gomr.sum, input=gomr.lines))
"""


def as_anybody() -> None:
    """Root may look into every process: give that up, for this process and what it starts."""
    if os.geteuid() == 0:
        for capability in (PTRACE, ADMIN, PERFMON):
            prctl(PR_CAPBSET_DROP, capability)


def test_user_code_finds_no_secret_of_the_command(tmp_path: Path) -> None:
    """Not in its own environment, and not in that of the launcher, the master or its worker."""
    command = Command(tmp_path, SEARCH, "a line\n")
    done = subprocess.run(
        [
            *(sys.executable, "-P", "worker.py", "--input", "input.txt", "--output", "out"),
            *("--workers", "1", "--store", "store"),
        ],
        cwd=tmp_path,
        env=clean_environ() | SECRETS,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=as_anybody,
    )
    assert done.returncode == 0, done.stderr
    assert command.rows() == ["looked\t1"]
