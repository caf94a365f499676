"""Imported by the forkserver alone: what every child then has without importing it.

The forkserver dies with its supervisor, and takes in whatever a child leaves running, so that the
supervisor can find and end it.
"""

from __future__ import annotations

import os

from gomr_runtime.process import PR_SET_CHILD_SUBREAPER, die_with_parent, prctl

die_with_parent(os.getppid())  # before the imports below, which take their time
prctl(PR_SET_CHILD_SUBREAPER, 1)

import gomr_runtime.blobs  # noqa: E402
import gomr_runtime.dataflow.stages  # noqa: E402
import gomr_runtime.execution  # noqa: E402
import gomr_runtime.program  # noqa: E402
import gomr_runtime.storage  # noqa: E402
import gomr_runtime.worker.child  # noqa: E402, F401
