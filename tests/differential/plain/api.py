"""What stands in for `gomr_runtime` in a worker file that runs in plain Python."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from tests.differential.plain.keys import Refused
from tests.differential.plain.values import taken

Pair = tuple[Any, Any]


@dataclass(frozen=True)
class Format:
    name: str
    quoted_newlines: bool = True
    batches: bool = False
    schema: Any = None

    def __call__(self, of: Format | None = None, **options: Any) -> Format:
        """`gomr.csv(quoted_newlines=...)`, `gomr.batches(of, schema=...)`."""
        if of is not None:
            return Format(of.name, of.quoted_newlines, True, options.get("schema"))
        return Format(self.name, **options)


@dataclass(frozen=True)
class Aggregate:
    name: str
    size: int = 0

    def __call__(self, size: int) -> Aggregate:
        return Aggregate(self.name, size)


TOTAL_ORDER = object()


@dataclass(frozen=True, kw_only=True)
class MapReduceConfig:
    mapper: Callable[..., Any]
    reducer: Callable[..., Any] | Aggregate | None = None
    combiner: Callable[..., Any] | Aggregate | None = None
    partitioner: Any = None
    input: Format = Format("chunk")
    sort_values: bool = False
    sort_key: Callable[[Any], Any] | None = None
    setup: Callable[..., Any] | None = None
    finish: Callable[..., Any] | None = None


class Counter:
    def __init__(self, name: str, totals: dict[str, int]) -> None:
        self._name = name
        self._totals = totals

    def add(self, n: int = 1) -> None:
        if type(n) is not int:
            raise TypeError("counter: add() takes an int")
        self._totals[self._name] = self._totals.get(self._name, 0) + n


class Context:
    """One task's. What is emitted lies in `pairs`, as it was when it was emitted."""

    def __init__(self, params: dict[str, str], attempt_id: str) -> None:
        self.params = dict(params)
        self.attempt_id = attempt_id
        self.source = ""
        self.pairs: list[Pair] = []
        self.totals: dict[str, int] = {}

    def counter(self, name: str) -> Counter:
        if type(name) is not str or not 1 <= len(name) <= 200:
            raise ValueError("a counter's name is a str of 1 to 200 characters")
        return Counter(name, self.totals)

    def emit(self, key: Any, value: Any) -> None:
        self.pairs.append((key, taken(value)))

    def emit_many(self, pairs: Iterable[Any]) -> None:
        for pair in pairs:
            self.emit(*pair_of(pair))

    def count(self, keys: Iterable[Any]) -> None:
        for key in keys:
            self.emit(key, 1)

    def progress(self) -> None:
        """A sign of life, for nobody."""


def pair_of(given: Any) -> Pair:
    """A tuple or list of two; Refused for all else, str and bytes first of all."""
    if type(given) in (tuple, list) and len(given) == 2:
        return given[0], given[1]
    raise Refused("no_pair")


def emit_returned(ctx: Context, returned: Any) -> None:
    """What a user function gave back: nothing, or an iterable of pairs."""
    if returned is None:
        return
    if isinstance(returned, str | bytes | types.CoroutineType) or not hasattr(returned, "__iter__"):
        if isinstance(returned, types.CoroutineType):
            returned.close()
        raise Refused("returned")
    ctx.emit_many(returned)


class Captured(BaseException):
    def __init__(self, config: MapReduceConfig) -> None:
        super().__init__()
        self.config = config


def _run(config: MapReduceConfig) -> None:
    raise Captured(config)


def stand_in() -> types.ModuleType:
    """A module to import as `gomr_runtime`."""
    module = types.ModuleType("gomr_runtime")
    names: dict[str, Any] = {
        name: Format(name) for name in ("chunk", "lines", "jsonl", "csv", "whole_file", "raw_bytes")
    }
    names |= {"batches": Format("chunk", batches=True)}
    built_in = ("sum", "count", "min", "max", "top", "distinct", "identity")
    names |= {name: Aggregate(name) for name in built_in}
    names |= {"Context": Context, "MapReduceConfig": MapReduceConfig, "run": _run}
    names |= {"total_order": TOTAL_ORDER}
    for name, value in names.items():
        setattr(module, name, value)
    return module


def load(path: Path) -> MapReduceConfig:
    """The worker file executed afresh, with all modules beside it; its config.

    The process is the plain version's own: the folder stays in its path, for imports in functions.
    """
    if "gomr_runtime" not in sys.modules:
        sys.modules["gomr_runtime"] = stand_in()
    assert not hasattr(sys.modules["gomr_runtime"], "__path__"), "the engine has no place here"
    forget(path.parent)
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    module = types.ModuleType("__main__")
    module.__file__ = str(path)
    main, sys.modules["__main__"] = sys.modules["__main__"], module
    try:
        exec(_compiled(path.read_bytes(), str(path)), module.__dict__)
    except Captured as captured:
        return captured.config
    finally:
        sys.modules["__main__"] = main
    raise Refused("no_config")


@lru_cache(4)
def _compiled(source: bytes, path: str) -> types.CodeType:
    return compile(source, path, "exec")


def forget(folder: Path) -> None:
    """Let go of modules that were imported from `folder`, so that the next ones are fresh."""
    names = {name.partition(".")[0] for name in os.listdir(folder)}
    for name in [name for name in sys.modules if name.partition(".")[0] in names]:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(f"{folder}/"):
            del sys.modules[name]
