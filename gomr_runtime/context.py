"""What user code sees of the run it is part of: `ctx`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol


class Counter:
    """A named count; only committed attempts add to the run's total."""

    __slots__ = ("name", "value")

    def __init__(self, name: str) -> None:
        self.name = name
        self.value = 0

    def add(self, n: int = 1) -> None:
        """Add `n`, an int."""
        if type(n) is not int:
            raise TypeError(f"counter {self.name!r}: add() takes an int, got {type(n).__name__}")
        self.value += n


class EmitBatch(Protocol):
    """The type of `ctx.emit_batch`."""

    def __call__(self, keys: Any, values: Any = ..., /) -> None:
        """keys, values: Arrow arrays, Polars series or NumPy arrays of equal length, or one plain
        value for all keys. Or one record batch, table or frame with columns `key` and `value`."""


class Context:
    """Handed to every user function of a task.

    emit(key, value): give one pair. emit_many(pairs): give an iterable of pairs, cheaper than as
    many emits. emit_batch(keys, values): a pair for each row of two columns, or emit_batch(batch)
    with columns `key` and `value`. count(keys): the same as `emit(key, 1)` for each key, and much
    cheaper with the `gomr.sum` combiner. params: the run's `--param`s. source: the input's name as
    the user gave it ("" in reducers). attempt_id: unique for each try of a task, for user code with
    side effects. progress(): a sign of life from a long computation on one record.
    """

    __slots__ = (
        "_counters",
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

    def __init__(self, params: Mapping[str, str], attempt_id: str) -> None:
        self.params = dict(params)
        self.attempt_id = attempt_id
        self.source = ""
        self._counters: dict[str, Counter] = {}

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
            counter.value = counters.get(counter.name, 0)


MAX_COUNTERS = 120
