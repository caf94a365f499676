"""What a worker file is made of: `MapReduceConfig` and `run`."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from gomr_runtime.api.aggregates import Aggregate
from gomr_runtime.api.context import Context
from gomr_runtime.api.formats import chunk
from gomr_runtime.api.user_frames import did_you_mean
from gomr_runtime.model.job import Format


class TotalOrder:
    """The type of `gomr.total_order`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "gomr.total_order"


total_order: Final = TotalOrder()
"""As `partitioner`: the parts end to end are in key order. Cut points come from a first pass over
a sample that depends on the input and the number of reducers alone."""

UserFunction = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class MapReduceConfig:
    """A job.

    mapper(ctx, record): called for each record of `input`; emits, or yields (key, value) pairs.
    reducer(ctx, key, values): called once a key, in key order; None makes the job map-only. Or a
    built-in: `gomr.sum`, `gomr.top(10)`, ...
    combiner(ctx, key, values): the same on the map side, 0 to n times; exactly associative, and
    it keeps the key. Or a built-in.
    partitioner(key, n): the reducer for a key, an int from 0 to n - 1; or `gomr.total_order`.
    input: a record format, such as `gomr.lines`.
    sort_values, sort_key(value): each key's values sorted before the reducer sees them; where it
    takes an Iterator, of any number of values.
    setup(ctx), finish(ctx): around each task; both may emit in map and reduce tasks alike.
    """

    mapper: UserFunction
    reducer: UserFunction | Aggregate | None = None
    combiner: UserFunction | Aggregate | None = None
    partitioner: UserFunction | TotalOrder | None = None
    input: Format = chunk
    sort_values: bool = False
    sort_key: Callable[[Any], Any] | None = None
    setup: Callable[[Context], Any] | None = None
    finish: Callable[[Context], Any] | None = None


if not TYPE_CHECKING:  # type checkers know the fields by the dataclass

    def _checked(init: Callable[..., None]) -> Callable[..., None]:
        """The dataclass's own `__init__`, with errors that say what a config is made of."""
        fields = {field.name for field in dataclasses.fields(MapReduceConfig)}

        @functools.wraps(init)
        def checked(self: MapReduceConfig, *given: object, **named: object) -> None:
            if given:
                raise TypeError(
                    "MapReduceConfig takes its fields by name: "
                    "MapReduceConfig(mapper=..., reducer=...)"
                )
            for name in named:
                if name not in fields:
                    raise TypeError(
                        f"MapReduceConfig has no field {name!r}{did_you_mean(name, fields)}"
                    )
            init(self, **named)

        return checked

    MapReduceConfig.__init__ = _checked(MapReduceConfig.__init__)


class ConfigCaptured(BaseException):
    """Ends a worker file that is loaded for its config, at its call of `gomr.run`."""

    def __init__(self, config: object) -> None:
        super().__init__("gomr.run was called")
        self.config = config


Mode = Literal["start", "load", "task"]
_mode: Mode = "start"


def mode() -> Mode:
    """What `run` does."""
    return _mode


def set_mode(wanted: Mode) -> None:
    """Let `run` start a job, hand its config to a loader, or refuse since a task calls it."""
    global _mode
    _mode = wanted
