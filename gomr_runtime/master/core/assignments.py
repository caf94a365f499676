"""From the plan to what a worker is sent, and from what it reports back to the attempt. Pure."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass

from gomr_runtime.codec.typed_json import Mismatch, from_json, shown
from gomr_runtime.laws.results import Asked, wrong_failure, wrong_result
from gomr_runtime.master.core.plan import Plan
from gomr_runtime.model import layout
from gomr_runtime.model.ids import AttemptId, TaskId
from gomr_runtime.model.job import JobSpec
from gomr_runtime.model.task import TaskFailure, TaskKind, TaskResult, TaskSpec

KINDS: dict[str, TaskKind] = {"sample": "sample", "map": "map", "reduce": "reduce"}


class InvalidMessage(Exception):
    """A worker said something that no worker of this version says."""


@dataclass(slots=True)
class Flight:
    """An attempt that a worker was given. done: bytes of input or pairs it told of so far."""

    spec: TaskSpec
    worker: str
    done: int = 0
    result: TaskResult | None = None


class Assignments:
    """Every attempt this master started; another master's attempts are not known here."""

    def __init__(self, job: JobSpec, plan: Plan, nonce: Callable[[], str]) -> None:
        """nonce: never the same twice."""
        self.job = job
        self._nonce = nonce
        self.plan = plan
        self._flights: dict[AttemptId, Flight] = {}

    def __len__(self) -> int:
        """How many attempts are remembered."""
        return len(self._flights)

    @property
    def has_sample(self) -> bool:
        return self.plan.description.partitioner == "total_order"

    @property
    def reduces(self) -> int:
        return 0 if self.plan.description.map_only else self.job.reducers

    def start(
        self,
        attempt: AttemptId,
        worker: str,
        skipped: tuple[int, ...],
        cuts_key: str,
        maps_key: str,
    ) -> TaskSpec:
        """The complete attempt, with a nonce that makes its data keys its own."""
        kind, index = attempt.task.kind, attempt.task.index
        spec = TaskSpec(
            run=self.job.run,
            kind=kind,
            index=index,
            attempt=attempt.attempt,
            nonce=self._nonce(),
            ranges=self.plan.ranges_of(attempt.task),
            maps_key=maps_key if kind == "reduce" else "",
            cuts_key="" if kind == "sample" else cuts_key,
            reducers=self.job.reducers,
            skipped=skipped,
        )
        self._flights[attempt] = Flight(spec, worker)
        return spec

    def flight(self, attempt: AttemptId) -> Flight | None:
        return self._flights.get(attempt)

    def land(self, attempt: AttemptId) -> None:
        self._flights.pop(attempt, None)

    def keep(self, matters: Callable[[AttemptId], bool]) -> None:
        """Forget every attempt that does not matter any more."""
        for attempt in [attempt for attempt in self._flights if not matters(attempt)]:
            self.land(attempt)

    def in_flight(self, kind: TaskKind, committed: Container[TaskId]) -> int:
        """Bytes or pairs that running attempts of uncommitted tasks have done."""
        done: dict[TaskId, int] = {}
        for attempt, flight in self._flights.items():
            if attempt.task.kind == kind and attempt.task not in committed:
                done[attempt.task] = max(done.get(attempt.task, 0), flight.done)
        return sum(done.values())


def read_result(run: str, attempt: AttemptId, nonce: str, text: str, asked: Asked) -> TaskResult:
    """InvalidMessage when the result is not readable, names data that is not the attempt's, or says
    what no attempt that was asked for this can have done."""
    try:
        result = from_json(TaskResult, text)
    except Mismatch as error:
        raise InvalidMessage(f"{attempt}: unreadable result: {error}") from None
    if words := wrong_result(result, asked):
        raise InvalidMessage(f"{attempt}: a result that cannot be: {words}")
    own = TaskSpec(run, attempt.task.kind, attempt.task.index, attempt.attempt, nonce)
    for file in result.files:
        if file.key != layout.attempt_data(own, file.role):
            raise InvalidMessage(f"{attempt}: {shown(file.key)} is not its own data")
    return result


def read_failure(attempt: AttemptId, text: str, asked: Asked) -> TaskFailure:
    """InvalidMessage when the failure is not readable, or no such attempt can fail so."""
    try:
        failure = from_json(TaskFailure, text)
    except Mismatch as error:
        raise InvalidMessage(f"{attempt}: unreadable failure: {error}") from None
    if words := wrong_failure(failure, asked):
        raise InvalidMessage(f"{attempt}: a failure that cannot be: {words}")
    return failure
