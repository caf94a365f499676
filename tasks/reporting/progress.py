"""Follows the events of a run: log lines, progress bars, and a progress artifact a phase."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from gomr_runtime._pb import run_pb2 as pb
from gomr_runtime.model.job import Summary
from gomr_runtime.runs.progress import PhaseState, describe, fraction
from tasks.reporting.artifacts import show_artifact
from tasks.reporting.console import console, tell

if TYPE_CHECKING:
    from gomr_runtime.runs.attached import AttachedRun
    from gomr_runtime.runs.local import LocalRun
    from k8s.run.cluster_run import ClusterRun

UPDATE_SECONDS = 2.0
UPDATE_SHARE = 0.01


class PhaseArtifact:
    """The progress artifact of one phase, updated at most every 2 s and 1 %."""

    def __init__(self, phase: str) -> None:
        self._phase = phase
        self._told = (-UPDATE_SECONDS, -1.0)

    def update(self, state: PhaseState) -> None:
        if state.phase == self._phase:
            self._write(fraction(state), describe(state))

    def finish(self) -> None:
        self._told = (self._told[0], -1.0)
        self._write(1.0, "done")

    def _write(self, share: float, text: str) -> None:
        now = time.monotonic()
        at, told = self._told
        if share < 1.0 and (now - at < UPDATE_SECONDS or share - told < UPDATE_SHARE):
            return
        if share == told:
            return
        self._told = (now, share)
        show_artifact("progress", f"gomr-{self._phase}", share * 100, text)


class _LaterPhase(Exception):
    """Leaves `LocalRun.watch`, which goes on where it was when called again."""


def follow(
    processes: LocalRun | AttachedRun | ClusterRun, phase: str, later: set[str]
) -> Summary | None:
    """Tell the events of `phase` until one of the phases `later` begins (None) or the run ends.

    Raises the error the run ended with, EnvironmentFailed when its processes cannot be kept
    alive.
    """
    artifact = PhaseArtifact(phase)

    def on_event(event: pb.WatchEvent) -> None:
        kind = event.WhichOneof("body")
        if kind == "log":
            tell(event.log.text, event.log.level)
        elif kind == "progress":
            console().update(event.progress)
            artifact.update(event.progress)
            if event.progress.phase in later:
                raise _LaterPhase

    summary = None
    with suppress(_LaterPhase):
        summary = processes.watch(on_event)
    artifact.finish()
    return summary
