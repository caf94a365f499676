"""What the steps of one run hand on to each other."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gomr_runtime.errors import Cancelled
from gomr_runtime.model.summary import Summary
from gomr_runtime.runs.claims import Claim
from gomr_runtime.runs.handle import RunHandle
from gomr_runtime.runs.prepare import Prepared
from gomr_runtime.storage.base import Store
from gomr_runtime.system.host_lock import HostLock

if TYPE_CHECKING:
    from k8s.images.chosen import Images
    from k8s.run.target import Target


class Session:
    """One run on its way; each step fills in what it made.

    A plain object on purpose: Prefect walks through dataclasses and lists that it is handed, and
    a job may have a hundred thousand files.
    """

    def __init__(self, prepared: Prepared, target: Target | None = None) -> None:
        """target: the cluster it goes to; None for this machine."""
        self.prepared = prepared
        self.target = target
        self.images: Images | None = None
        self.python: str = sys.executable
        self.store: Store | None = None
        self.claim: Claim | None = None
        self.output: HostLock | None = None  # the output directory, while it is ours
        self.processes: RunHandle | None = None
        self.summary: Summary | None = None
        self.success: Path | None = None  # `_SUCCESS`, once the output stands
        self._cancelled = ""

    def cancel(self, reason: str) -> None:
        """End the run: by its master, whose events tell when it has, or before the next step."""
        self._cancelled = reason
        if self.processes is not None:
            self.processes.cancel(reason)

    def pass_on_cancel(self) -> None:
        """To be called once there is a master: what was asked for before it was there."""
        if self._cancelled and self.processes is not None:
            self.processes.cancel(self._cancelled)

    def check_cancelled(self) -> None:
        """Raises Cancelled once `cancel` was called and there is no master yet to end the run."""
        if self._cancelled and self.processes is None:
            raise Cancelled(self._cancelled)
