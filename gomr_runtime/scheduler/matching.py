"""Which worker gets which task: pending tasks on one side, workers with credit on the other."""

from __future__ import annotations

from bisect import insort
from collections import OrderedDict
from collections.abc import Iterator
from heapq import heapify, heappop, heappush

from gomr_runtime.scheduler.state import Task, TaskState, Worker


class Matching:
    """Hands out tasks by index to workers in the order in which they asked, one task a turn.

    A task that failed goes to a worker where it did not fail, as long as there is one that could
    take it some day. A worker that only fails (`Worker.healthy` is False) gets nothing while there
    is another one that is healthy. Nothing here looks at all tasks or all workers, except when the
    last healthy worker goes or the first one comes; `work` counts the candidates looked at.
    """

    def __init__(self) -> None:
        self.workers: dict[str, Worker] = {}
        self.healthy = 0
        self.work = 0
        self._tasks: list[Task] = []
        self._fresh: list[int] = []  # a heap; may hold tasks that are no longer pending
        self._retries: list[int] = []  # sorted; tasks that may not go to just any worker
        self._wanting: OrderedDict[str, None] = OrderedDict()  # usable workers with credit

    def open(self, tasks: list[Task]) -> None:
        """From now on hand out these tasks, and none of those before."""
        self._tasks = tasks
        pending = [task for task in tasks if task.state is TaskState.PENDING]
        self._fresh = [task.id.index for task in pending if not task.failed_on]
        heapify(self._fresh)
        self._retries = [task.id.index for task in pending if task.failed_on]

    def put(self, task: Task) -> None:
        """The task, one of those opened, is pending again."""
        if task.failed_on:
            insort(self._retries, task.id.index)
        else:
            heappush(self._fresh, task.id.index)

    def withdraw(self, task: Task) -> None:
        """The task, of whatever phase, is pending no more, though nobody took it."""
        index = task.id.index
        if index in self._retries and self._tasks[index] is task:
            self._retries.remove(index)

    def join(self, worker: Worker) -> None:
        self.workers[worker.name] = worker
        self._count_healthy(1)

    def leave(self, worker: Worker) -> None:
        del self.workers[worker.name]
        self._wanting.pop(worker.name, None)
        if worker.healthy:
            self._count_healthy(-1)

    def want(self, worker: Worker, count: int) -> None:
        """The worker has room for `count` more; it keeps its place if it was asking before."""
        worker.credit = max(count, 0)
        if worker.credit == 0:
            self._wanting.pop(worker.name, None)
        elif self.usable(worker):
            self._wanting[worker.name] = None

    def mark(self, worker: Worker, healthy: bool) -> None:
        """The worker has come to be healthy, or not."""
        if worker.healthy == healthy:
            return
        worker.healthy = healthy
        self._count_healthy(1 if healthy else -1)
        if not self.usable(worker):
            self._wanting.pop(worker.name, None)
        elif worker.credit:
            self._wanting[worker.name] = None

    def usable(self, worker: Worker) -> bool:
        return worker.healthy or self.healthy == 0

    def pairs(self) -> Iterator[tuple[Worker, Task]]:
        """Assignments that can be made now, each taken from both sides; iterate to the end."""
        blocked: list[str] = []
        while self._wanting and (self._fresh or self._retries):
            name, _ = self._wanting.popitem(last=False)
            worker = self.workers[name]
            task = self._take(worker)
            if task is None:
                blocked.append(name)
                continue
            self._charge(worker)
            yield worker, task
        for name in reversed(blocked):
            self._wanting[name] = None
            self._wanting.move_to_end(name, last=False)

    def pending(self) -> list[Task]:
        """Every task that waits to be handed out, by index; for checks, not for speed."""
        indices = sorted({*self._fresh, *self._retries})
        return [t for t in map(self._tasks.__getitem__, indices) if t.state is TaskState.PENDING]

    def wanting(self) -> list[Worker]:
        """The workers that would take a task now, in the order in which they asked."""
        return [self.workers[name] for name in self._wanting]

    def idle_slots(self) -> int:
        return sum(self.workers[name].credit for name in self._wanting)

    def take_worker_for_backup(self, task: Task) -> Worker | None:
        """A waiting worker that never tried the task; its credit is used up by one."""
        tried = {attempt.worker for attempt in task.attempts}
        for name in self._wanting:
            self.work += 1
            if name not in tried:
                worker = self.workers[name]
                del self._wanting[name]
                self._charge(worker)
                return worker
        return None

    def _charge(self, worker: Worker) -> None:
        worker.credit -= 1
        if worker.credit:
            self._wanting[worker.name] = None

    def _take(self, worker: Worker) -> Task | None:
        self.work += 1
        fresh = self._fresh
        while fresh and self._tasks[fresh[0]].state is not TaskState.PENDING:
            heappop(fresh)
        for position, index in enumerate(self._retries):
            if fresh and fresh[0] < index:
                break
            self.work += 1
            if self.allowed(self._tasks[index], worker):
                del self._retries[position]
                return self._tasks[index]
        return self._tasks[heappop(fresh)] if fresh else None

    def allowed(self, task: Task, worker: Worker) -> bool:
        """Whether the task may run there: it did not fail there, or it failed wherever it can."""
        if worker.name not in task.failed_on:
            return True
        usable = self.healthy or len(self.workers)
        for name in task.failed_on:
            failed = self.workers.get(name)
            usable -= failed is not None and self.usable(failed)
        return usable == 0

    def _count_healthy(self, change: int) -> None:
        before, self.healthy = self.healthy, self.healthy + change
        if (before == 0) == (self.healthy == 0):
            return
        for worker in self.workers.values():
            if not self.usable(worker):
                self._wanting.pop(worker.name, None)
            elif worker.credit:
                self._wanting[worker.name] = None
