"""What functions that are there already keep between calls, put back to what it was for each task.

A worker file is executed again for each task. A config made in a test, a notebook or an imported
module is not: there may be no file, and executing it again would undo what a test has patched. So
its functions stay the objects that they are, for debuggers, `isinstance` and pickle, and what they
can keep is exchanged: the globals that they name, also of the user's modules that they name, what
closures, default arguments and attributes hold, attributes of classes, caches. Each task finds
copies of what was there at first.
"""

from __future__ import annotations

import builtins
import dataclasses
import enum
import functools
import io
import pickle
import sys
import sysconfig
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from gomr_runtime.api.config import MapReduceConfig
from gomr_runtime.user_code.interpreter_state import ProcessState
from gomr_runtime.user_code.local_imports import OURS
from gomr_runtime.user_code.observed import Observed, is_observed
from gomr_runtime.user_code.program_files import lies_in_site

LONGEST_NAME = 100  # characters; a longer text in code is not looked up as a name
_PACKAGE = f"{Path(__file__).parents[1]}/"
_STANDARD = f"{sysconfig.get_path('stdlib')}/"
_DESCRIPTORS = (
    classmethod,
    staticmethod,
    property,
    functools.cached_property,
    types.MemberDescriptorType,
    types.GetSetDescriptorType,
)
_SHARED_TYPES = (
    types.FunctionType,
    types.ModuleType,
    functools._lru_cache_wrapper,
    type,
    enum.Enum,
    *_DESCRIPTORS,
)
# Mocks are there to be looked at afterwards; what pytest hands to a test leads to all of pytest.
_OBSERVERS = ("unittest", "_pytest", "pytest")

Put = Callable[[Any], None]


class _Absent:
    """Stands for a global that is not there."""


@dataclasses.dataclass(frozen=True, slots=True)
class _Whole:
    """Stands for a value that cannot be copied."""

    value: Any


@dataclasses.dataclass(frozen=True, slots=True)
class _Place:
    """Where something is kept: `value` at first, `source` what copies are made of, and what puts
    another thing there. observed: the variable, where it is the caller's own."""

    value: Any
    source: Any
    put: Put
    observed: Observed | None = None


_ABSENT = _Absent()
_table: list[Any] = []  # what `_again` gives while copies are made


def _again(number: int) -> Any:
    return _table[number]


class ProgramState:
    """What a config and its functions hold at the time of its creation. What cannot be copied,
    such as a lock or an open file, is shared by all tasks."""

    def __init__(self, config: MapReduceConfig) -> None:
        self._places: list[_Place] = []
        self._caches: list[Callable[[], None]] = []
        self._classes: list[tuple[type, frozenset[str]]] = []
        self._shared: list[Any] = []
        self._numbers: dict[int, int] = {}  # in `_shared`, by identity
        self._known: dict[object, object] = {}
        self._current = {f.name: getattr(config, f.name) for f in dataclasses.fields(config)}
        self._keep(self._current, partial(setattr, self, "_current"))
        followed = 0
        while followed < len(self._shared):
            self._follow(self._shared[followed])
            followed += 1
        self._copy = self._pickled([place.source for place in self._places])

    @contextmanager
    def fresh(self) -> Iterator[MapReduceConfig]:
        """The config, its functions being as they were at first; afterwards all is as before."""
        copies, process = self._loaded(self._copy), ProcessState()
        try:
            self._put(copies)
            yield MapReduceConfig(**self._current)
        finally:
            self._collect()
            self._put([p.observed.total if p.observed else p.value for p in self._places])
            process.restore()

    def _collect(self) -> None:
        """Take over what the task added to variables of the caller's."""
        watched = [place for place in self._places if place.observed]
        starts = self._loaded(self._copy) if watched else ()
        for place, start in zip(self._places, starts, strict=False):
            if place.observed and not isinstance(start, _Whole):
                place.observed.collect(start, _contents(place.observed.cell))
                with suppress(Exception):  # what was added may not be one to copy
                    total = self._loaded(self._pickled(place.observed.total))
                    place.observed.remember(start, total)

    def _put(self, values: list[Any]) -> None:
        for place, value in zip(self._places, values, strict=True):
            place.put(value.value if isinstance(value, _Whole) else value)
        for clear in self._caches:
            clear()
        for found, names in self._classes:
            for name in vars(found).keys() - names:
                with suppress(AttributeError, TypeError):
                    delattr(found, name)

    def _keep(self, value: Any, put: Put, observed: Observed | None = None) -> None:
        source = value if observed is None else observed.start
        try:  # and find the functions in it
            self._loaded(self._pickled(source))
        except Exception:  # noqa: BLE001  (code of anybody's, and structures of any depth)
            source = _Whole(value)
        self._places.append(_Place(value, source, put, observed))

    def _pickled(self, value: Any) -> bytes:
        data = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _Pickler(data, self._share).dump(value)
        return data.getvalue()

    def _loaded(self, data: bytes) -> Any:
        _table[:] = self._shared
        try:
            return pickle.loads(data)  # noqa: S301  (made above, in this process)
        finally:
            _table.clear()

    def _share(self, found: Any) -> int:
        """The number of an object that all tasks share; what it keeps is looked at later."""
        number = self._numbers.get(id(found))
        if number is None:
            number = self._numbers[id(found)] = len(self._shared)
            self._shared.append(found)
        return number

    def _is_new(self, holder: Any, name: object) -> bool:
        key = (id(holder), name)
        new = key not in self._known
        self._known[key] = holder  # so that its id stays its own
        return new

    # What shared objects keep.

    def _follow(self, found: Any) -> None:
        if isinstance(found, types.FunctionType):
            self._follow_function(found)
        elif isinstance(found, type):
            if _is_users_module(found.__module__):
                self._follow_class(found)
        elif isinstance(found, functools._lru_cache_wrapper):
            if _is_users_module(found.__module__):
                self._caches.append(found.cache_clear)
                self._share(found.__wrapped__)
        elif isinstance(found, classmethod | staticmethod):
            self._share(found.__func__)
        elif isinstance(found, functools.cached_property):
            self._share(found.func)
        elif isinstance(found, property):
            for function in filter(None, (found.fget, found.fset, found.fdel)):
                self._share(function)

    def _follow_function(self, function: types.FunctionType) -> None:
        cells = function.__closure__ or ()
        if not _is_users(function.__code__.co_filename):  # a decorator of a library's
            for cell in cells:
                if isinstance(content := _contents(cell), types.FunctionType):
                    self._share(content)
            return
        self._follow_namespace(function.__globals__, _names(function.__code__))
        for variable, cell in zip(function.__code__.co_freevars, cells, strict=True):
            if self._is_new(cell, ""):
                observed = Observed(cell) if is_observed(variable, cell) else None
                self._keep(_contents(cell), partial(_fill, cell), observed)
        for name in ("__defaults__", "__kwdefaults__", "__dict__"):
            self._keep(getattr(function, name), partial(setattr, function, name))

    def _follow_namespace(self, namespace: dict[str, Any], names: frozenset[str]) -> None:
        """The globals that code names, and in the user's modules among them, the same names."""
        for name in names:
            if not self._is_new(namespace, name):
                continue
            value = namespace.get(name, _ABSENT)
            if value is not _ABSENT or not hasattr(builtins, name):
                self._keep(value, partial(_bind, namespace, name))
        for name in names:
            module = namespace.get(name, sys.modules.get(name))
            if (
                isinstance(module, types.ModuleType)
                and _is_users_module(module.__name__)
                and self._is_new(module, names)
            ):
                self._follow_namespace(vars(module), names)

    def _follow_class(self, found: type) -> None:
        for base in found.__mro__[1:-1]:
            self._share(base)
        if issubclass(found, enum.Enum):
            return
        self._classes.append((found, frozenset(vars(found))))
        for name, value in [*vars(found).items()]:
            if isinstance(value, (types.FunctionType, *_DESCRIPTORS)):
                self._share(value)
            elif not name.startswith("__") and name != "_abc_impl":
                with suppress(AttributeError, TypeError):
                    setattr(found, name, value)  # may it be set?
                    self._keep(value, partial(setattr, found, name))


class _Pickler(pickle.Pickler):
    """Copies data, and hands all else over by number."""

    def __init__(self, file: io.BytesIO, share: Callable[[Any], int]) -> None:
        super().__init__(file, protocol=4)
        self._share = share

    def reducer_override(self, found: Any) -> Any:
        """What `pickle` asks for each object but those of the basic types."""
        if found is _again:
            return NotImplemented
        if isinstance(found, types.MethodType):
            return types.MethodType, (found.__func__, found.__self__)
        if isinstance(found, types.BuiltinFunctionType) and not isinstance(
            found.__self__, types.ModuleType | None
        ):
            return NotImplemented  # a method of a list, say: of its copy
        if not _is_shared(found):
            with suppress(Exception):  # code of anybody's
                reduced = found.__reduce_ex__(4)
                if not isinstance(reduced, str):
                    return reduced
        return _again, (self._share(found),)


def _is_shared(found: Any) -> bool:
    kind = type(found)
    if isinstance(found, _SHARED_TYPES) or kind in (object, types.BuiltinFunctionType):
        return True
    tops = {base.__module__.partition(".")[0] for base in kind.__mro__}
    return not tops.isdisjoint(OURS.union(_OBSERVERS))


def _names(code: types.CodeType) -> frozenset[str]:
    """Of globals and attributes in the code and in what is defined in it, also in quotes."""
    inner = (_names(c) for c in code.co_consts if isinstance(c, types.CodeType))
    quoted = (c for c in code.co_consts if isinstance(c, str) and len(c) <= LONGEST_NAME)
    return frozenset(code.co_names).union(quoted, *inner)


def _contents(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a variable without a value
        return _ABSENT


def _fill(cell: types.CellType, value: Any) -> None:
    if value is not _ABSENT:
        cell.cell_contents = value
    elif _contents(cell) is not _ABSENT:
        del cell.cell_contents


def _bind(namespace: dict[str, Any], name: str, value: Any) -> None:
    if value is _ABSENT:
        namespace.pop(name, None)
    else:
        namespace[name] = value


def _is_users_module(name: str) -> bool:
    if name.partition(".")[0] in OURS or name in sys.builtin_module_names:
        return False
    file = getattr(sys.modules.get(name), "__file__", None)
    return _is_users(file or "")  # what is typed into a notebook has no file


def _is_users(file: str) -> bool:
    """Whether code of this file is the user's: not ours, Python's or an installed package's."""
    return not file.startswith((_PACKAGE, _STANDARD, "<frozen ")) and not lies_in_site(Path(file))
