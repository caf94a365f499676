"""What the steps of one run hand on to each other."""

from __future__ import annotations

from gomr_runtime.errors import Cancelled
from gomr_runtime.runs.lifecycle import Lifecycle, Runtime
from gomr_runtime.runs.local_processes import LocalProcesses
from gomr_runtime.runs.prepare import Prepared
from gomr_runtime.runs.progress import PhaseState
from k8s.run.runtime import ClusterRuntime
from tasks.reporting.console import console, tell


class FlowState:
    """One run on its way: its lifecycle, and whether it is to be cancelled.

    A plain object on purpose: Prefect walks through dataclasses and lists that it is handed, and
    a job may have a hundred thousand files.
    """

    def __init__(self, prepared: Prepared, runtime: Runtime) -> None:
        self.run = Lifecycle(prepared, runtime, _Told())
        self._cancelled = ""

    @property
    def prepared(self) -> Prepared:
        """The run as it is known by now."""
        return self.run.prepared

    def cancel(self, reason: str) -> None:
        """End the run: by its master, whose events tell when it has, or before the next step."""
        self._cancelled = reason
        self.run.handle.cancel(reason)

    def pass_on_cancel(self) -> None:
        """To be called once there is a master: what was asked for before it was there."""
        if self._cancelled:
            self.run.handle.cancel(self._cancelled)

    def check_cancelled(self) -> None:
        """Raises Cancelled once `cancel` was called and there is no master yet to end the run."""
        if self._cancelled and not self.run.started:
            raise Cancelled(self._cancelled)

    def hang_up(self) -> None:
        """Let go of what the run had beside its lifecycle. Safe to repeat."""


class LocalState(FlowState):
    """A run on processes of this machine."""

    def __init__(self, prepared: Prepared) -> None:
        self.runtime = LocalProcesses(prepared.store)
        super().__init__(prepared, self.runtime)


class ClusterState(FlowState):
    """A run on a cluster."""

    def __init__(self, prepared: Prepared, runtime: ClusterRuntime) -> None:
        self.runtime = runtime
        super().__init__(prepared, runtime)

    def hang_up(self) -> None:
        self.runtime.close()


class _Told:
    """Where the lifecycle speaks: as the steps do."""

    def log(self, level: str, text: str) -> None:
        tell(text, level)

    def update(self, state: PhaseState) -> None:
        console().update(state)

    def close(self) -> None: ...
