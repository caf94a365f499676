"""The forkserver, from which every child is forked: started, replaced, and cleaned up after."""

from __future__ import annotations

import multiprocessing
import os
import re
from collections.abc import Callable
from multiprocessing import forkserver, resource_tracker
from signal import SIGKILL

from gomr_runtime.system import process_tree
from gomr_runtime.system.lifeline import PR_SET_CHILD_SUBREAPER, prctl

SECRET = re.compile(r"(SECRET|TOKEN|PASSWORD|CREDENTIAL|ACCESS_KEY|SESSION)", re.IGNORECASE)
HASH_SEED = "0"
"""PYTHONHASHSEED of all processes that run user code: `hash()` of a str and the order of a set must
be the same in all workers of a run, also of one that goes on later."""
OURS = re.compile(r"GOMR_|AWS_|GRPC_")


def start(preload: list[str]) -> None:
    """Begin to start it; from the main thread, whose death ends it."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)  # should the forkserver be killed, its orphans are ours
    multiprocessing.get_context("forkserver").set_forkserver_preload(preload)
    ensure()


def ensure() -> None:
    """Start it again if user code has killed it. It never sees our secrets, and hashes like
    every other."""
    secret = {n: v for n, v in os.environ.items() if OURS.match(n) and SECRET.search(n)}
    for name in secret:
        del os.environ[name]
    os.environ["PYTHONHASHSEED"] = HASH_SEED
    try:
        forkserver.ensure_running()
    finally:
        os.environ.update(secret)


def end() -> None:
    """Kill it: it does not answer. The next child gets a new one."""
    if (server := _pid()) is not None:
        process_tree.kill_one(server, SIGKILL)


def sweep(active: set[int], describe: Callable[[str], None]) -> None:
    """End what children left running, all but the `active` ones: the forkserver took it in, or
    we did after its death."""
    server, tracker = _pid(), resource_tracker._resource_tracker._pid  # type: ignore[attr-defined]
    adopted = [pid for pid in process_tree.children_of(os.getpid()) if pid not in {server, tracker}]
    left = [] if server is None else process_tree.children_of(server)
    left = [pid for pid in (*left, *adopted) if pid not in active]
    family = [other for pid in left for other in [pid, *process_tree.descendants_of(pid)]]
    if family:
        process_tree.kill(family)
        describe(f"ended {len(family)} processes that user code left behind")
    for pid in adopted:
        process_tree.reap(pid)


def _pid() -> int | None:
    return forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined, no-any-return]
