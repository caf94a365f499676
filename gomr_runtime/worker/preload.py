"""Imported by the forkserver alone: what every child then has without importing it.

The forkserver takes in whatever a child leaves running, so that the supervisor can find and end
it. When the supervisor dies, even by SIGKILL, the forkserver ends all of that, then itself.
"""

from __future__ import annotations

import os
import signal
from types import FrameType

from gomr_runtime.system.lifeline import PR_SET_CHILD_SUBREAPER, die_with_parent, prctl
from gomr_runtime.system.process_tree import end_all_below

SERVER = os.getpid()


def end(number: int, _: FrameType | None) -> None:
    if os.getpid() == SERVER:  # a child that has just been forked still has this handler
        end_all_below(SERVER)
    os._exit(128 + number)


prctl(PR_SET_CHILD_SUBREAPER, 1)
signal.signal(signal.SIGTERM, end)
die_with_parent(os.getppid(), signal.SIGTERM)  # before the imports below, which take their time

import gomr_runtime.dataflow.execute  # noqa: E402
import gomr_runtime.dataflow.input.open  # noqa: E402
import gomr_runtime.dataflow.stages  # noqa: E402
import gomr_runtime.storage  # noqa: E402
import gomr_runtime.user_code.loading  # noqa: E402
import gomr_runtime.worker.child_main  # noqa: E402, F401
