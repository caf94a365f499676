"""What the steps of one run hand on to each other."""

from __future__ import annotations

import sys
from pathlib import Path

from gomr_runtime.job import Summary
from gomr_runtime.local import LocalRun
from gomr_runtime.prepare import Prepared
from gomr_runtime.runs import Claim
from gomr_runtime.storage import Store


class Session:
    """One run on its way; each step fills in what it made.

    A plain object on purpose: Prefect walks through dataclasses and lists that it is handed, and
    a job may have a hundred thousand files.
    """

    def __init__(self, prepared: Prepared) -> None:
        self.prepared = prepared
        self.python: str = sys.executable
        self.store: Store | None = None
        self.claim: Claim | None = None
        self.processes: LocalRun | None = None
        self.summary: Summary | None = None
        self.success: Path | None = None  # `_SUCCESS`, once the output stands

    def cancel(self, reason: str) -> None:
        """Ask the master to end the run; its events tell when it has."""
        if self.processes is not None:
            self.processes.cancel(reason)
