"""Runs a module as `python -P -m MODULE ...` does; a worker is killed once, at the point in FAULT.

upload   its data is written but not in the store
report   its data is in the store, nobody knows
ack      the master has the report, the worker does not know
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def once(act: Callable[..., Any], *, after: bool = False) -> Callable[..., Any]:
    """`act`, before or after which the process is killed the first time any worker gets there."""

    def run(*arguments: Any, **named: Any) -> Any:
        result = act(*arguments, **named) if after else None
        try:
            os.close(os.open(os.environ["FAULT_FLAG"], os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return result if after else act(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("it is dead")

    return run


def set_fault(point: str) -> None:
    from gomr_runtime.storage.directory import DirectoryStore
    from gomr_runtime.worker.master_link import Session
    from gomr_runtime.worker.supervisor import Supervisor

    if point == "upload":
        DirectoryStore.put_file = once(DirectoryStore.put_file)  # type: ignore[method-assign]
    elif point == "report":
        Supervisor._report = once(Supervisor._report)  # type: ignore[method-assign]
    elif point == "ack":
        known = Session._acknowledged
        lethal = once(known)

        def acknowledged(self: Session, number: int) -> None:
            (lethal if number in self._unacknowledged else known)(self, number)

        Session._acknowledged = acknowledged  # type: ignore[method-assign]


if __name__ == "__main__":
    module = sys.argv[3]
    sys.argv = [module, *sys.argv[4:]]
    sys.path[0] = str(Path(__file__).parents[3])
    if module == "gomr_runtime.worker":
        set_fault(os.environ["FAULT"])
    runpy.run_module(module, run_name="__main__", alter_sys=True)
