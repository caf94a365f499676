"""Follows the events of a run: log lines, progress bars, and a progress artifact a phase."""

from __future__ import annotations

import time
from collections.abc import Collection

from gomr_runtime.runs.handle import LogLine, RunHandle
from gomr_runtime.runs.progress import PhaseState, describe, fraction
from tasks.reporting.artifacts import show_artifact
from tasks.reporting.console import console, tell

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


def follow(run: RunHandle, phase: str, later: Collection[str]) -> None:
    """Tell the events of `phase` until one of the phases `later` begins or the run ends.

    Raises:
        GomrError: how else the run ended, or that nobody can tell how.
    """
    artifact = PhaseArtifact(phase)
    for event in run.events():
        if isinstance(event, LogLine):
            tell(event.text, event.level)
            continue
        console().update(event)
        artifact.update(event)
        if event.phase in later:
            break
    else:
        run.result()
    artifact.finish()
