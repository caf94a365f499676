"""The command line as a person uses it, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Server:
    """A running Prefect server; `environ` is for processes that talk to it."""

    api: str
    environ: dict[str, str]


def clean_environ() -> dict[str, str]:
    """This environment without what configures Prefect or GoMR, and with the checkout's code."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("PREFECT_", "GOMR_"))}
    return environ | {"PYTHONPATH": str(ROOT)}


def start(folder: Path, environ: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    """`python -m flows.gomr` in `folder`, in a session of its own as from a terminal."""
    return subprocess.Popen(
        [sys.executable, "-m", "flows.gomr", *arguments],
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def run(folder: Path, environ: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    process = start(folder, environ, *arguments)
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)
