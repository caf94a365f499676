"""Runs a module as `python -P -m MODULE ...` does; the master does what FAULT says, once.

FAULT is `kill` or `stop`, `before` or `after`, and the end of a key: at the first time that any
master writes there it kills or stops itself. FAULT_FLAG then has the moment, on the clock that all
processes share. Workers notice a peer that stands still after two seconds instead of fifteen.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

KEEPALIVE = {
    "grpc.keepalive_time_ms": 1_000,
    "grpc.keepalive_timeout_ms": 1_000,
    "grpc.http2.ping_timeout_ms": 1_000,
}
ACTS = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}


def strike(act: str) -> None:
    flag = Path(os.environ["FAULT_FLAG"])
    try:
        with flag.open("x") as file:
            file.write(str(time.monotonic()))
    except FileExistsError:
        return
    os.kill(os.getpid(), ACTS[act])


def around(write: Callable[..., Any], act: str, moment: str, end: str) -> Callable[..., Any]:
    """`write` of a store, a copy or a put, with the fault at the key it writes."""

    def run(store: Any, first: str, *rest: Any) -> Any:
        key = rest[0] if write.__name__ == "copy" else first
        meant = key.endswith(end)
        if moment == "before" and meant:
            strike(act)
        result = write(store, first, *rest)
        if moment == "after" and meant:
            strike(act)
        return result

    return run


def set_fault(act: str, moment: str, end: str) -> None:
    from gomr_runtime.storage.directory import DirectoryStore

    for name in ("create", "put", "put_pieces", "copy"):
        write = getattr(DirectoryStore, name)
        setattr(DirectoryStore, name, around(write, act, moment, end))


def be_impatient() -> None:
    """With a peer that stands still, in this process."""
    from gomr_runtime.rpc import connection

    connection.CLIENT_OPTIONS = [
        (name, KEEPALIVE.get(name, value)) for name, value in connection.CLIENT_OPTIONS
    ]


if __name__ == "__main__":
    module = sys.argv[3]
    sys.argv = [module, *sys.argv[4:]]
    sys.path[0] = str(Path(__file__).parents[3])
    be_impatient()
    if module == "gomr_runtime.master":
        set_fault(*os.environ["FAULT"].split())
    runpy.run_module(module, run_name="__main__", alter_sys=True)
