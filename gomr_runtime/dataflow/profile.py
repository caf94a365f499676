"""Where the time of a task goes, for `--profile`: seconds by kind of work.

Every second belongs to the innermost `timed` block around it. While no profile is taken a block
costs two calls that do nothing, and blocks surround windows of work, never single pairs. What user
code spends inside `ctx.emit` is sampled: of every so many blocks of records one is run with emits
that are timed one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cached_property, partial
from time import perf_counter
from types import TracebackType
from typing import Any, Final

from gomr_runtime.api.context import Context
from gomr_runtime.laws.results import KINDS
from gomr_runtime.model.task import TaskResult

SAMPLED: Final = 32
"""One of so many blocks of records is sampled, beginning with the first."""
_CALLS: Final = "calls"  # of ctx.emit and its likes, of a sampled block; in the end they are emit
_EMITS: Final = ("emit", "emit_many", "emit_batch", "count")
_TRIES: Final = 2_000


class Profile:
    """Seconds by kind of work, from now on."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys((*KINDS, _CALLS), 0.0)
        self._kind = "other"
        self._since = perf_counter()

    def enter(self, kind: str) -> str:
        """From now on it is `kind`; returns what it was."""
        now = perf_counter()
        self.seconds[self._kind] += now - self._since
        before, self._kind, self._since = self._kind, kind, now
        return before


class _Timed:
    """A block of one kind of work; what it surrounds may have blocks of its own."""

    __slots__ = ("_before", "_kind", "_profile")

    def __init__(self, profile: Profile, kind: str) -> None:
        self._profile = profile
        self._kind = kind
        self._before = ""

    def __enter__(self) -> None:
        self._before = self._profile.enter(self._kind)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._profile.enter(self._before)


_current: Profile | None = None  # a process runs one task at a time
_NOTHING: Final[AbstractContextManager[None]] = nullcontext()


def timed(kind: str) -> AbstractContextManager[None]:
    """A block whose time counts as `kind`, where a profile is taken."""
    return _NOTHING if _current is None else _Timed(_current, kind)


def timed_each(kind: str, items: Iterable[Any]) -> Iterable[Any]:
    """The items; the time they take to come counts as `kind`."""
    return items if _current is None else _timed_each(kind, items)


def _timed_each(kind: str, items: Iterable[Any]) -> Iterator[Any]:
    source = iter(items)
    end = object()
    while True:
        with timed(kind):
            item = next(source, end)
        if item is end:
            return
        yield item


def timed_call(kind: str, function: Callable[..., None]) -> Callable[..., None]:
    """The function; the time in it counts as `kind`."""
    if _current is None:
        return function

    def call(*given: Any) -> None:
        with timed(kind):
            function(*given)

    return call


class profiled:  # noqa: N801  (used like a function)
    """Takes a profile of the block, if `wanted`; `seconds` has it afterwards, {} if not."""

    def __init__(self, *, wanted: bool) -> None:
        self.seconds: dict[str, float] = {}
        self._wanted = wanted

    def __enter__(self) -> profiled:
        global _current
        _current = Profile() if self._wanted else None
        return self

    def __exit__(self, *_: object) -> None:
        global _current
        if _current is not None:
            _current.enter("other")
            found = _current.seconds
            found["emit"] += found.pop(_CALLS)
            self.seconds = {kind: round(took, 6) for kind, took in found.items()}
        _current = None


def stored(result: TaskResult, took: float) -> TaskResult:
    """The result with the seconds that storing its files took, where there is a profile."""
    if not result.profile:
        return result
    return replace(result, profile=result.profile | {"store": result.profile["store"] + took})


class EmitSampler:
    """Runs blocks of user code as `user`, moving the share that goes to emits to `emit`."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._blocks = 0
        self._share = 0.0
        self._own = self._spent = 1e-9  # seconds of sampled blocks, in user code and in its emits

    def run(self, block: Callable[[], None]) -> None:
        """Run it; without a profile that is all."""
        profile = _current
        if profile is None:
            block()
            return
        before = profile.seconds["user"]
        sampled = self._blocks % SAMPLED == 0
        self._blocks += 1
        with timed("user"):
            if sampled:
                self._sample(profile, block)
                return
            block()
        moved = (profile.seconds["user"] - before) * self._share
        profile.seconds["user"] -= moved
        profile.seconds["emit"] += moved

    def _sample(self, profile: Profile, block: Callable[[], None]) -> None:
        """With timed emits, less what timing them takes."""
        ctx = self._ctx
        calls = [0]
        before = dict(profile.seconds)
        real = {name: getattr(ctx, name) for name in _EMITS}
        timing = {name: partial(_timed_emit, profile, calls, emit) for name, emit in real.items()}
        for name, emit in timing.items():
            setattr(ctx, name, emit)
        try:
            block()
        finally:
            for name in _EMITS:  # unless the engine has put another one there meanwhile
                if getattr(ctx, name) is timing[name]:
                    setattr(ctx, name, real[name])
            profile.enter("user")
            own = self._less(profile, "user", before["user"], calls[0] * self._costs[1])
            spent = self._less(profile, _CALLS, before[_CALLS], calls[0] * self._costs[0])
            self._own += own
            self._spent += spent
            self._share = self._spent / (self._own + self._spent)

    def _less(self, profile: Profile, kind: str, before: float, cost: float) -> float:
        """The time since `before` without that of the timing, which is no part of the task."""
        took = profile.seconds[kind] - before
        kept = max(took / 10, took - cost)
        profile.seconds[kind] = before + kept
        return kept

    @cached_property
    def _costs(self) -> tuple[float, float]:
        return _timing_costs()


def _timed_emit(
    profile: Profile, calls: list[int], emit: Callable[..., None], *given: Any, **named: Any
) -> None:
    calls[0] += 1
    before = profile.enter(_CALLS)
    try:
        if given and isinstance(given[0], Iterator):  # a generator of the user's
            given = (_timed_each("user", given[0]), *given[1:])
        emit(*given, **named)
    finally:
        profile.enter(before)


def _timing_costs() -> tuple[float, float]:
    """Seconds that timing adds to each emit: within what is measured, and around it."""
    profile, calls = Profile(), [0]
    profile.enter("user")
    emit = partial(_timed_emit, profile, calls, _nothing)
    for _ in range(_TRIES):
        emit("key", 1)
    profile.enter("user")
    return profile.seconds[_CALLS] / _TRIES, profile.seconds["user"] / _TRIES


def _nothing(key: Any, value: Any) -> None:
    """An emit that takes no time."""
