"""Imported by the forkserver alone: what every child then has without importing it.

The forkserver dies with its supervisor, and takes in whatever a child leaves running, so that the
supervisor can find and end it.
"""

from __future__ import annotations

import os

import gomr_runtime.blobs
import gomr_runtime.execution
import gomr_runtime.program
import gomr_runtime.storage
import gomr_runtime.worker.child  # noqa: F401
from gomr_runtime.process import PR_SET_CHILD_SUBREAPER, die_with_parent, prctl

die_with_parent(os.getppid())
prctl(PR_SET_CHILD_SUBREAPER, 1)
