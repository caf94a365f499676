"""What user code sees of the run it is part of: `ctx`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NoReturn, Protocol
from weakref import WeakSet

from gomr_runtime.api.user_frames import did_you_mean
from gomr_runtime.laws.results import MAX_COUNTERS

MOST_DIGITS = 4_000  # so that the sum over a million tasks is below Python's own limit of 4,300
LARGEST_COUNT = 10**MOST_DIGITS
FORKED: Final = (
    "this ctx cannot be used in a process that user code has started, where what it takes is lost: "
    "give back what is to be emitted, and emit it in the task's own process"
)


class ContextMisused(RuntimeError):
    """A `ctx` was used where what it takes would be lost."""


class Counter:
    """A named count; only committed attempts add to the run's total."""

    __slots__ = ("_count", "_refuse", "name")

    def __init__(self, name: str) -> None:
        self.name = name
        self._count = 0
        self._refuse: Callable[[], NoReturn] | None = None

    @property
    def value(self) -> int:
        """The count so far, of this task alone."""
        return self._count

    def add(self, n: int = 1) -> None:
        """Add `n`, an int. The count has at most 4,000 digits in a task."""
        if self._refuse is not None:
            self._refuse()
        if type(n) is not int:
            raise TypeError(f"counter {self.name!r}: add() takes an int, got {type(n).__name__}")
        count = self._count + n
        if not -LARGEST_COUNT < count < LARGEST_COUNT:
            raise ValueError(
                f"counter {self.name!r}: its value has more than {MOST_DIGITS:,} digits"
            )
        self._count = count


class EmitBatch(Protocol):
    """The type of `ctx.emit_batch`."""

    def __call__(self, keys: Any, values: Any = ..., /) -> None:
        """keys, values: Arrow arrays, Polars series or NumPy arrays of equal length, or one plain
        value for all keys. Or one record batch, table or frame with columns `key` and `value`."""


class Context:
    """Handed to every user function of a task, and to be used in that call or a later one of the
    same task.

    emit(key, value): give one pair. emit_many(pairs): give an iterable of pairs, cheaper than as
    many emits. emit_batch(keys, values): a pair for each row of two columns, or emit_batch(batch)
    with columns `key` and `value`. count(keys): the same as `emit(key, 1)` for each key, and much
    cheaper with the `gomr.sum` combiner. params: the run's `--param`s. source: the input's name as
    the user gave it ("" in reducers). attempt_id: unique for each try of a task, for user code with
    side effects. progress(): a sign of life from a long computation on one record.
    """

    __slots__ = (
        "__weakref__",
        "_counters",
        "_task",
        "attempt_id",
        "count",
        "emit",
        "emit_batch",
        "emit_many",
        "params",
        "progress",
        "source",
    )

    emit: Callable[[Any, Any], None]
    emit_batch: EmitBatch
    emit_many: Callable[[Iterable[tuple[Any, Any]]], None]
    count: Callable[[Iterable[Any]], None]
    progress: Callable[[], None]

    def __init__(
        self, params: Mapping[str, str], attempt_id: str, misused: Callable[[], None] | None = None
    ) -> None:
        """misused: called when the ctx is used where what it takes would be lost."""
        self.params = dict(params)
        self.attempt_id = attempt_id
        self.source = ""
        self._counters: dict[str, Counter] = {}
        self._task = _Task(attempt_id, misused or _silent)
        self._task.contexts.append(self)
        _LIVE.add(self._task)

    def counter(self, name: str) -> Counter:
        """The counter of that name, made on first use."""
        found = self._counters.get(name)
        if found is None:
            if type(name) is not str or not name or len(name) > 200:
                raise ValueError(f"a counter's name is a str of 1 to 200 characters, not {name!r}")
            if len(self._counters) >= MAX_COUNTERS:
                raise ValueError(f"more than {MAX_COUNTERS} counters in one task")
            found = self._counters[name] = Counter(name)
        return found

    @property
    def counters(self) -> dict[str, int]:
        """Every counter's value so far."""
        return {counter.name: counter.value for counter in self._counters.values()}

    def restore(self, counters: Mapping[str, int]) -> None:
        """Set every counter back to what `counters` were."""
        for counter in self._counters.values():
            counter._count = counters.get(counter.name, 0)

    def sibling(self) -> Context:
        """Another ctx of the same task, for another function: it has the same counters."""
        other = Context(self.params, self.attempt_id)
        other._counters, other._task = self._counters, self._task
        self._task.contexts.append(other)
        return other

    def on_end(self, shut: Callable[[Callable[[], NoReturn]], None]) -> None:
        """Call `shut` when nothing may be emitted any more, with what then has to be called."""
        self._task.shut.append(shut)

    def refuse(self, why: str) -> NoReturn:
        """Note that the ctx is used where it must not be, and raise; user code may swallow it."""
        self._task.misused = ContextMisused(why)
        self._task.note()
        raise self._task.misused

    def end(self) -> None:
        """End the task: whatever of this ctx, or of a sibling, user code has kept raises."""
        task = self._task
        _LIVE.discard(task)
        why = (
            f"this ctx was that of {task.name}, which is over: use the one that each call is given"
        )
        task.stop(why)
        for ctx in task.contexts:
            ctx.emit = ctx.emit_batch = ctx.emit_many = ctx.count = task.refusing(why)
            ctx.progress = task.refusing(why)
            del ctx.source, ctx.attempt_id
        task.over = why

    def check(self) -> None:
        """Raise what `refuse` raised, which user code may have swallowed."""
        if self._task.misused is not None:
            raise self._task.misused

    def __getattr__(self, name: str) -> Any:
        """Say which name is near one that there is not, or that the task is over."""
        if name in ("source", "attempt_id"):
            raise ContextMisused(self._task.over)
        if name.startswith("_"):  # asked for by copy, pickle and debuggers
            raise AttributeError(name)
        raise AttributeError(f"ctx has no {name!r}{did_you_mean(name, _PUBLIC)}")


_PUBLIC: Final = frozenset(
    {
        *("attempt_id", "count", "counter", "emit", "emit_batch", "emit_many", "params"),
        *("progress", "source"),
    }
)


class _Task:
    """What the contexts of one task share."""

    def __init__(self, attempt_id: str, note: Callable[[], None]) -> None:
        self.name = attempt_id.split("/")[-2] if "/" in attempt_id else "its task"
        self.note = note
        self.over = ""
        self.misused: ContextMisused | None = None
        self.contexts: list[Context] = []
        self.shut: list[Callable[[Callable[[], NoReturn]], None]] = []

    def refusing(self, why: str) -> Callable[..., NoReturn]:
        def refuse(*_: object, **__: object) -> NoReturn:
            self.contexts[0].refuse(why)

        return refuse

    def stop(self, why: str) -> None:
        """From now on nothing is emitted or counted."""
        refuse = self.refusing(why)
        for shut in self.shut:
            shut(refuse)
        for counter in self.contexts[0]._counters.values():
            counter._refuse = refuse
        for ctx in self.contexts:
            ctx._counters = _Ended(refuse)


class _Ended(dict[str, Counter]):
    """The counters of a task that is over."""

    def __init__(self, refuse: Callable[[], NoReturn]) -> None:
        self._refuse = refuse

    def get(self, *_: object) -> NoReturn:
        self._refuse()


def _silent() -> None:
    """Nobody wants to know."""


_LIVE: WeakSet[_Task] = WeakSet()


def _forked() -> None:
    """In a process that user code has forked: the pairs of its copy go nowhere."""
    for task in list(_LIVE):
        task.stop(FORKED)


os.register_at_fork(after_in_child=_forked)
