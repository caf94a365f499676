"""Whether the engine can call a user's function as it will: checked before anything starts."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from gomr_runtime.api.user_frames import place_of
from gomr_runtime.errors import UsageError

CALLED_WITH: Final[Mapping[str, tuple[str, ...]]] = {
    "mapper": ("ctx", "record"),
    "reducer": ("ctx", "key", "values"),
    "combiner": ("ctx", "key", "values"),
    "partitioner": ("key", "n"),
    "setup": ("ctx",),
    "finish": ("ctx",),
    "sort_key": ("value",),
}
"""By field of the config: what its function is called with."""

_LAZILY: dict[str, Any] = {}
if sys.version_info >= (3, 14):  # where annotations are evaluated when they are asked for
    import annotationlib

    _LAZILY = {"annotation_format": annotationlib.Format.FORWARDREF}
_LIBRARIES: Final = frozenset(
    (
        *("builtins", "collections", "_functools", "functools", "heapq", "_heapq", "math", "numpy"),
        *("_operator", "operator", "statistics"),
    )
)
_INSTEAD: Final[Mapping[str, str]] = {
    **dict.fromkeys(("sum", "fsum", "add"), "name gomr.sum"),
    **dict.fromkeys(("max", "amax"), "name gomr.max"),
    **dict.fromkeys(("min", "amin"), "name gomr.min"),
    **dict.fromkeys(("len", "Counter"), "name gomr.count"),
    **dict.fromkeys(("set", "frozenset", "unique"), "name gomr.distinct"),
    **dict.fromkeys(("list", "tuple", "iter"), "name gomr.identity"),
    "nlargest": "name gomr.top(n)",
    "sorted": "write a def that does ctx.emit(key, sorted(values))",
}
"""By what people write as a reducer, which takes values alone: what they mean."""


def check_function(field: str, function: object, *, batches: bool = False) -> None:
    """Refuse what the engine cannot call as `field` of a config.

    Args:
        field: a field of the config.
        function: what it was set to.
        batches: whether a mapper or reducer takes (ctx, batch).

    Raises:
        UsageError: it is no function, takes other parameters, or is an `async def`.
    """
    if not callable(function):
        raise UsageError(f"MapReduceConfig({field}={function!r:.80}): expected a function")
    if field in ("reducer", "combiner"):
        _check_builtin(field, function)
    if _is_async(function):
        raise UsageError(
            f"the {field} is an `async def`, which the engine would never await: make it a def; "
            "asyncio.run(...) inside it runs what is asynchronous",
            detail=place_of(function),
        )
    signature = signature_of(function)
    if signature is None:
        if field in ("reducer", "combiner"):
            raise UsageError(f"the {field}'s parameters are not known: use a def")
        return
    names = ("ctx", "batch") if batches else CALLED_WITH[field]
    if not accepts(signature, len(names)):
        given = f"{_name_of(function)}{_without_types(signature)}"
        raise UsageError(
            f"the {field} takes ({', '.join(names)}), not {_count(signature)}: "
            f"{given}{_hint(field, function, signature)}",
            detail=place_of(function),
        )


def signature_of(function: Callable[..., Any]) -> inspect.Signature | None:
    """The signature; None for what is compiled and does not tell."""
    try:
        return inspect.signature(function, **_LAZILY)
    except (TypeError, ValueError):
        return None


def accepts(signature: inspect.Signature, count: int) -> bool:
    """Whether it can be called with so many arguments by position."""
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def parameter_at(signature: inspect.Signature, position: int) -> inspect.Parameter | None:
    """The parameter that gets the argument at `position`; None for one of a `*args`."""
    for i, parameter in enumerate(signature.parameters.values()):
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            return None
        if i == position:
            return parameter
    return None


def _check_builtin(field: str, function: Any) -> None:
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", "")
    if not name or getattr(function, "__module__", "") not in _LIBRARIES:
        return
    instead = _INSTEAD.get(name, f"write a def that does ctx.emit(key, {name}(values))")
    raise UsageError(
        f"MapReduceConfig({field}={name}): {name} takes no (ctx, key, values): {instead}"
    )


def _is_async(function: Any) -> bool:
    while isinstance(function, functools.partial):
        function = function.func
    called = getattr(type(function), "__call__", None)  # noqa: B004  (an object's, not whether)
    return any(
        inspect.iscoroutinefunction(one) or inspect.isasyncgenfunction(one)
        for one in (function, None if inspect.isclass(function) else called)
    )


def _count(signature: inspect.Signature) -> str:
    count = len(signature.parameters)
    return f"{count} parameter{'' if count == 1 else 's'}"


def _without_types(signature: inspect.Signature) -> str:
    bare = inspect.Parameter.empty
    parameters = [p.replace(annotation=bare) for p in signature.parameters.values()]
    return str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))


def _name_of(function: object) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return name.rpartition("<locals>.")[2]


def _hint(field: str, function: object, signature: inspect.Signature) -> str:
    """What else to do than to change the parameters, where that is to be guessed."""
    first = next(iter(signature.parameters), "")
    if inspect.isclass(function):
        return "; it is a class: pass an object of it, or a def"
    if first == "self" and inspect.isfunction(function):
        owner = _name_of(function).rpartition(".")[0] or "Worker"
        return f"; it is a method of no object: pass {owner}().{function.__name__}"
    if field == "reducer" and accepts(signature, 2):
        return (
            "; a reducer of batches, (ctx, batch), annotates its batch as pyarrow.RecordBatch or "
            "polars.DataFrame"
        )
    return ""
