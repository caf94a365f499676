"""Workers: who is alive, what each runs and has room for, and what happens to a lost one's work.

A `Tick` is handled here: what it looks for first is workers whose lease is over.
"""

from __future__ import annotations

from gomr_runtime.scheduler import attempts, phases, senders
from gomr_runtime.scheduler.commands import ExpireWorker
from gomr_runtime.scheduler.events import TaskWanted, Tick, WorkerHeard, WorkerJoined, WorkerLeft
from gomr_runtime.scheduler.run_state import RunState
from gomr_runtime.scheduler.state import KIND_OF_PHASE, Attempt, Phase, TaskState, Trigger, Worker
from gomr_runtime.scheduler.verdict import deserted, lost_too_often


def on_joined(run: RunState, event: WorkerJoined) -> None:
    if event.worker in run.gone:
        senders.refuse(run, event.worker)
    elif event.worker in run.workers:
        run.workers[event.worker].heard = run.now  # a new stream of the same process
    else:
        run.matching.join(Worker(event.worker, run.now))
        run.deserted_since = float("inf")


def on_heard(run: RunState, event: WorkerHeard) -> None:
    worker = senders.sender(run, event.worker)
    if worker is None:
        return
    said = dict.fromkeys(event.running)
    for attempt in list(worker.running.values()):
        attempt.missed = 0 if attempt.id in said else attempt.missed + 1
        if attempt.missed >= 2:
            lose_attempt(run, attempt, f"{worker.name} does not run it")
        if run.phase is Phase.FINISHED:
            return
    for mentioned in said:
        if mentioned not in worker.running:
            senders.disown(run, worker, mentioned)
    if event.room is not None:
        run.matching.want(worker, event.room - worker.coming(said))


def on_wanted(run: RunState, event: TaskWanted) -> None:
    worker = senders.sender(run, event.worker)
    if worker is not None:
        named = worker.running if event.running is None else event.running
        run.matching.want(worker, event.count - worker.coming(named))


def on_left(run: RunState, event: WorkerLeft) -> None:
    worker = run.workers.get(event.worker)
    if worker is None:
        run.stale += 1
    else:
        lose_worker(run, worker, f"{worker.name} left: {event.reason}")


def on_tick(run: RunState, _: Tick) -> None:
    if phases.end_if_late(run):
        return
    lease = run.config.lease
    for worker in [w for w in run.workers.values() if run.now - w.heard > lease]:
        silence = f"{worker.name} was silent for {run.now - worker.heard:.1f} s"
        lose_worker(run, worker, silence)
        if run.phase is Phase.FINISHED:
            return
        run.out.append(ExpireWorker(worker.name, silence))
    if _deserted(run):
        phases.finish(run, deserted(run.config, run.phase, run.gone))
        return
    attempts.dispatch(run)
    attempts.start_backups(run)


def _deserted(run: RunState) -> bool:
    """Whether the run has needed workers for too long and has none."""
    if run.workers or run.now - run.deserted_since < run.config.no_worker_timeout:
        return False
    kind = KIND_OF_PHASE.get(run.phase)
    if kind is None:
        return run.phase is Phase.WAIT and not run.planning
    return run.tally[kind][TaskState.PENDING] > 0


def lose_worker(run: RunState, worker: Worker, reason: str) -> None:
    """Forget the worker for good; every attempt that it runs is lost."""
    run.matching.leave(worker)
    run.gone[worker.name] = reason
    run.lost_workers += 1
    if not run.workers:
        run.deserted_since = run.now
    for attempt in list(worker.running.values()):
        lose_attempt(run, attempt, reason)


def lose_attempt(run: RunState, attempt: Attempt, reason: str) -> None:
    """End an attempt that nobody runs any more; its task is tried again, or has been too often."""
    task = run.task(attempt.id.task, Trigger.LOST.value)
    run.end_attempt(task, attempt, Trigger.LOST, reason)
    if task.state is not TaskState.RUNNING or run.phase is Phase.FINISHED:
        return
    task.lost += 1
    if task.lost >= run.config.max_lost and task.live == 0:
        phases.finish(run, lost_too_often(task, reason))
        return
    attempts.return_if_empty(run, task)
