"""What the annotations of a worker's functions say, and which of them nothing can meet.

Only those of parameters that the engine fills in are looked at, one by one: a name that only a type
checker sees is no error in any other.
"""

from __future__ import annotations

import ast
import collections
import collections.abc
import functools
import importlib
import inspect
import linecache
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal

from gomr_runtime.api.formats import Frames
from gomr_runtime.api.user_frames import code_of, describe, place_of
from gomr_runtime.errors import UsageError
from gomr_runtime.model.job import Format
from gomr_runtime.model.record_formats import record_format

Delivery = Literal["list", "iterator", "batch"]
Types = frozenset[type] | None
"""Exact types that are allowed; None for any."""

VALUE_TYPES: Final = (type(None), bool, int, float, str, bytes, list, tuple, dict)
KEY_TYPES: Final = (type(None), bool, int, float, str, bytes, tuple)
JSON_TYPES: Final = (type(None), bool, int, float, str, list, dict)
_KNOWN: Final = {VALUE_TYPES: "a value", KEY_TYPES: "a key", JSON_TYPES: "a JSON record"}
_STREAMS: Final = (
    collections.abc.Iterator,
    collections.abc.Iterable,
    collections.abc.Generator,
)
_WRAPPERS: Final = (
    *(typing.Annotated, typing.Final, typing.ClassVar, typing.Required, typing.NotRequired),
)
_SAFE: Final = frozenset({"pyarrow", "polars", "typing_extensions", "gomr_runtime"})
"""Beside the standard library: what is imported for an annotation though only type checkers do."""
_ANY: Final = (Any, object, inspect.Parameter.empty)


class Unresolved(Exception):
    """An annotation names what is not there."""


class Unfit(Exception):
    """Nothing that the engine can give meets the annotation; the message says why."""


def hint_of(function: Callable[..., Any], parameter: inspect.Parameter | None) -> Any:
    """The annotation of a parameter, resolved; `Any` where there is none. Raises Unresolved."""
    if parameter is None or parameter.annotation is inspect.Parameter.empty:
        return Any
    given = parameter.annotation
    owner = _owner(function)
    names = dict(getattr(owner, "__globals__", {}))
    local = {p.__name__: p for p in getattr(owner, "__type_params__", ())}
    hidden: dict[str, Any] | None = None
    while True:
        holder = types.SimpleNamespace(__annotations__={"it": given})
        try:
            return typing.get_type_hints(holder, names, local)["it"]
        except NameError as error:
            if hidden is None:
                hidden = _type_checkers_names(owner)
            if error.name not in hidden:
                raise Unresolved(describe(error)) from None
            local[error.name] = hidden.pop(error.name)
        except Exception as error:  # noqa: BLE001  (an annotation is code of the user's)
            raise Unresolved(describe(error)) from None


def delivery_of(hint: Any) -> tuple[Delivery, Any]:
    """How a reducer's values are given, and the annotation of one value. Raises Unfit."""
    hint = _plain(hint)
    if hint in _ANY:
        return "list", Any
    parts = [part for part in _parts(hint) if part is not type(None)]
    if len(parts) != 1:
        raise Unfit("name one: list[...] for a list, or Iterator[...] for a stream")
    hint = parts[0]
    origin = typing.get_origin(hint) or hint
    inner = (typing.get_args(hint) or (Any,))[0]
    if origin in _STREAMS:
        return "iterator", inner
    if inspect.isclass(origin) and _is_subclass(list, origin):
        return "list", inner
    shown = "..." if inner is Any or inner is ... else _shown(inner)
    why = f"annotate `list[{shown}]` for a list, or `Iterator[{shown}]` for a stream"
    if origin in (set, frozenset, tuple, collections.deque, collections.Counter):
        why += f"; {origin.__name__}(values) makes one of it"
    raise Unfit(why)


def types_of(hint: Any, known: tuple[type, ...]) -> Types:
    """The types of those known that meet an annotation. Raises Unfit where none does."""
    hint = _plain(hint)
    if hint in _ANY:
        return None
    found: set[type] = set()
    reason = ""
    for part in _parts(hint):
        try:
            some = _types_of_part(part, known)
        except Unfit as unfit:
            reason = str(unfit)
            continue
        if some is None:
            return None
        found |= some
    if not found:
        raise Unfit(reason)
    return None if found.issuperset(known) else frozenset(found)


def record_types(of: Format, hint: Any) -> Types:
    """The types of records that meet the annotation of a mapper's record.

    Args:
        of: what the mapper's records are, no batches.
        hint: the annotation.

    Returns:
        The types, where a record may be of another one; else None.

    Raises:
        Unfit: no record meets it.
    """
    if frames_of(hint):
        raise Unfit(f"for batches, input=gomr.batches(gomr.{of.name})")
    kind = record_format(of).record
    if kind is object:
        found = types_of(hint, JSON_TYPES)
        return found | {int} if found is not None and float in found else found
    try:
        types_of(hint, (kind,))
        fits = any(_holds(part, kind) for part in _parts(_plain(hint)))
    except Unfit:
        fits = False
    if not fits:
        given = "dict[str, str]" if kind is dict else kind.__name__
        raise Unfit(f"a record of gomr.{of.name} is {given}")
    return None


def _holds(hint: Any, kind: type) -> bool:
    """Whether what a str, bytes or row of csv holds meets an annotation of one part."""
    hint = _plain(hint)
    if kind is not dict:
        inner = typing.get_args(hint) if typing.get_origin(hint) is not Literal else ()
        return all(_admits(one, str if kind is str else int) for one in inner)
    if _is_typed_dict(hint):
        return all(_admits(field, str) for field in typing.get_type_hints(hint).values())
    return all(_admits(one, str) for one in typing.get_args(hint))


def _admits(hint: Any, kind: type) -> bool:
    try:
        allowed = types_of(hint, VALUE_TYPES)
    except Unfit:
        return False
    return allowed is None or kind in allowed


def frames_of(hint: Any) -> Frames | None:
    """What batches are given as; None for an annotation that is of no batch."""
    module = str(getattr(hint, "__module__", "")).partition(".")[0]
    kinds: Mapping[tuple[str, str], Frames] = {
        ("polars", "DataFrame"): "polars",
        ("pyarrow", "RecordBatch"): "arrow",
    }
    return kinds.get((module, getattr(hint, "__name__", "")))


def refused(
    function: Callable[..., Any], field: str, parameter: str, hint: Any, why: str
) -> UsageError:
    """The error for an annotation that cannot be met."""
    return UsageError(
        f"the {field}'s annotation `{parameter}: {_shown(hint)}` cannot be met: {why}",
        detail=place_of(function),
    )


def unresolved(
    function: Callable[..., Any], field: str, parameter: str, why: Exception
) -> UsageError:
    """The error for an annotation that has to be known and cannot be resolved."""
    return UsageError(
        f"the {field}'s annotation of {parameter!r} cannot be resolved: {why}; import what it "
        "names outside `if TYPE_CHECKING`",
        detail=place_of(function),
    )


def _types_of_part(hint: Any, known: tuple[type, ...]) -> Types:
    """The same for one part of a union."""
    if typing.get_origin(hint) is Literal:
        found = frozenset(map(type, typing.get_args(hint))) & frozenset(known)
        return found or _unfit(hint, known)
    origin = typing.get_origin(hint) or hint
    if origin is None:
        origin = type(None)
    if _is_typed_dict(origin):
        return frozenset({dict}) if dict in known else _unfit(hint, known)
    if origin in known:
        _check_inner(origin, typing.get_args(hint))
        return frozenset({origin})
    if not inspect.isclass(origin):
        return _unfit(hint, known)
    if getattr(origin, "_is_protocol", False):
        return None  # a type checker's business
    return frozenset(t for t in known if _is_subclass(t, origin)) or _unfit(hint, known)


def _check_inner(container: type, inner: tuple[Any, ...]) -> None:
    """Raise Unfit where a container can hold nothing of what it is annotated with."""
    if container is dict and inner and not _admits(inner[0], str):
        raise Unfit("a dict in a value has str keys")
    for hint in inner:
        if hint is not ...:
            types_of(hint, VALUE_TYPES)


def _unfit(hint: Any, known: tuple[type, ...]) -> frozenset[type]:
    origin = typing.get_origin(hint) or hint
    what = _KNOWN.get(known, "it")
    for base in known:
        if inspect.isclass(origin) and base is not type(None) and issubclass(origin, base):
            raise Unfit(f"{what} is a {base.__name__}, never of a subclass such as {_shown(hint)}")
    *names, last = ("None" if t is type(None) else t.__name__ for t in known)
    raise Unfit(f"{what} is {', '.join(names)} or {last}" if names else f"{what} is {last}")


def _plain(hint: Any) -> Any:
    """Without what says nothing of the type: Annotated, NewType, aliases, type variables."""
    while True:
        if isinstance(hint, typing.NewType):
            hint = hint.__supertype__
        elif hasattr(hint, "__value__") and type(hint).__name__ == "TypeAliasType":
            hint = hint.__value__
        elif isinstance(hint, typing.TypeVar):
            if hint.__constraints__:
                return typing.Union[hint.__constraints__]  # noqa: UP007  (of a tuple)
            hint = hint.__bound__ or Any
        elif typing.get_origin(hint) in (
            typing.Annotated,
            typing.Final,
            typing.ClassVar,
        ) or typing.get_origin(hint) in (typing.Required, typing.NotRequired):
            hint = typing.get_args(hint)[0]
        else:
            return hint


def _parts(hint: Any) -> Iterator[Any]:
    """The alternatives of a union, nested ones too."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        for part in typing.get_args(hint):
            yield from _parts(_plain(part))
    else:
        yield hint


def _is_typed_dict(hint: Any) -> bool:
    """Whether it is a TypedDict, of typing or of typing_extensions."""
    return inspect.isclass(hint) and issubclass(hint, dict) and hasattr(hint, "__total__")


def _is_subclass(kind: type, of: type) -> bool:
    try:
        return issubclass(kind, of)
    except TypeError:  # a Protocol that is not to be checked
        return False


def _shown(hint: Any) -> str:
    if hint is type(None):
        return "None"
    if inspect.isclass(hint) and typing.get_origin(hint) is None:
        return hint.__qualname__ if hint.__module__ == "builtins" else hint.__name__
    text = str(hint)
    for module in ("typing.", "collections.abc.", "typing_extensions."):
        text = text.replace(module, "")
    return text


def _owner(function: Any) -> Any:
    """The function whose globals an annotation is read with."""
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        elif hasattr(function, "__func__"):
            function = function.__func__
        elif inspect.isroutine(function):
            return function
        else:
            function = (function if inspect.isclass(function) else type(function)).__call__


def _type_checkers_names(owner: Any) -> dict[str, Any]:
    """What the file of a function imports `if TYPE_CHECKING`, as far as it is safe to import."""
    code = code_of(owner)
    try:
        tree = ast.parse("".join(linecache.getlines(code.co_filename)) if code else "")
    except (SyntaxError, ValueError):
        return {}
    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            for statement in node.body:
                found |= _imported(statement)
    return found


def _is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", "")
    return name == "TYPE_CHECKING"


def _imported(statement: ast.stmt) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            if (module := _module(alias.name)) is not None:
                root = _module(alias.name.partition(".")[0])
                found[alias.asname or alias.name.partition(".")[0]] = (
                    module if alias.asname else root
                )
    elif isinstance(statement, ast.ImportFrom) and not statement.level:
        module = _module(statement.module or "")
        for alias in statement.names:
            if module is not None and hasattr(module, alias.name):
                found[alias.asname or alias.name] = getattr(module, alias.name)
    return found


def _module(name: str) -> types.ModuleType | None:
    root = name.partition(".")[0]
    if root not in _SAFE and root not in sys.stdlib_module_names:
        return None
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
