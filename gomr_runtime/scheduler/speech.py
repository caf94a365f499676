"""Who may say what: messages of lost workers and about ended attempts are counted and answered."""

from __future__ import annotations

from gomr_runtime.model.ids import AttemptId
from gomr_runtime.scheduler.commands import AbandonAttempt, Command, ExpireWorker
from gomr_runtime.scheduler.run_state import RunState
from gomr_runtime.scheduler.state import Attempt, AttemptState, SchedulerConfig, Worker


class Speech(RunState):
    """The run's state, and the commands that the event in hand leads to."""

    def __init__(self, config: SchedulerConfig) -> None:
        super().__init__(config)
        self._out: list[Command] = []

    def _speaker(self, name: str) -> Worker | None:
        """The live worker of that name, whose lease this renews; a lost one is told so."""
        worker = self.workers.get(name)
        if worker is None:
            self._refuse(name)
            return None
        worker.heard = self.now
        return worker

    def _refuse(self, name: str) -> None:
        self.stale += 1
        self._out.append(ExpireWorker(name, self.gone.get(name, f"{name} is not registered")))

    def _running(self, worker: str, attempt: AttemptId) -> Attempt | None:
        """The attempt if this worker runs it; else a stale message, and the worker is told."""
        speaker = self._speaker(worker)
        if speaker is None:
            return None
        found = speaker.running.get(attempt)
        if found is None:
            self._disown(speaker, attempt)
        return found

    def _disown(self, worker: Worker, attempt: AttemptId) -> None:
        """The worker speaks of an attempt that it should not run; what it wrote may be wanted."""
        self.stale += 1
        known = self._known(attempt)
        if (
            known is not None
            and known.worker == worker.name
            and known.state in (AttemptState.SUCCEEDED, AttemptState.COMMITTED)
        ):
            return
        reason = f"{attempt} is not {worker.name}'s to run"
        if known is not None and known.worker == worker.name:
            reason = f"{attempt} is {known.state.value}"
        self._abandon(worker.name, attempt, reason)

    def _abandon(self, worker: str, attempt: AttemptId, reason: str) -> None:
        self._out.append(AbandonAttempt(worker, attempt, reason))
