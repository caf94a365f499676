"""What a program that is executed leaves in its interpreter, taken away again afterwards.

In one process a program is executed for each task. Its modules, and what it changed in the process
by the usual ways, must not be seen by the next task. Libraries stay as they are, with all that the
program may have told them.
"""

from __future__ import annotations

import builtins
import linecache
import os
import sys
from contextlib import suppress
from types import ModuleType
from typing import Any

from gomr_runtime.api import config
from gomr_runtime.user_code.local_imports import OURS
from gomr_runtime.user_code.name_clashes import is_needed, lies_in, renamed
from gomr_runtime.user_code.program_files import MAIN, ProgramFiles

_MAINS = (MAIN, "__mp_main__")
_KEPT = OURS.union(_MAINS)


class ProcessState:
    """What code changes in its process by the usual ways, as it is at the time of its creation."""

    def __init__(self) -> None:
        self._argv, self._arguments = sys.argv, sys.argv[:]
        self._path = sys.path[:]
        self._streams = sys.stdin, sys.stdout, sys.stderr
        self._environment, self._folder = dict(os.environ), _folder()
        self._start_method = _start_method()

    def restore(self) -> None:
        """Make the process what it was."""
        sys.argv, sys.argv[:] = self._argv, self._arguments
        sys.path[:] = self._path
        sys.stdin, sys.stdout, sys.stderr = self._streams
        if os.environ != self._environment:
            os.environ.clear()
            os.environ.update(self._environment)
        if _folder() != self._folder:
            with suppress(OSError):  # it was removed meanwhile, or may not be entered
                os.chdir(self._folder)
        if _start_method() != self._start_method:
            sys.modules["multiprocessing"].set_start_method(self._start_method, force=True)


class InterpreterState:
    """The state at the time of its creation; the program's own modules are hidden from then on."""

    def __init__(self, program: ProgramFiles, elsewhere: set[str]) -> None:
        """elsewhere: names of modules that are known to lie elsewhere than the program; others are
        looked at, and added."""
        self._program = program
        self._elsewhere = elsewhere
        self._process, self._mode = ProcessState(), config.mode()
        self._mains = {name: sys.modules.get(name) for name in _MAINS}
        self._modules = _take_modules(program, elsewhere)
        self._meta_path, self._import = sys.meta_path[:], builtins.__import__
        paths = map(program.path_of, program.files)
        self._lines = {path: linecache.cache.get(path) for path in paths}

    def restore(self) -> None:
        """Make the interpreter what it was."""
        _take_modules(self._program, self._elsewhere)
        sys.meta_path[:] = _with_those_of_libraries(self._meta_path)
        sys.modules.update(self._modules)
        for name, main in self._mains.items():
            if main is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = main
        builtins.__import__ = self._import
        config.set_mode(self._mode)
        self._process.restore()
        for path, entry in self._lines.items():
            linecache.cache.pop(path, None)
            if entry is not None:
                linecache.cache[path] = entry


def resident_bytes() -> int:
    """The memory that this process takes."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def forget_start_method() -> None:
    """Let the program choose how multiprocessing starts processes, which may be done once."""
    if "multiprocessing" in sys.modules:
        sys.modules["multiprocessing"].set_start_method(None, force=True)


def _folder() -> str:
    with suppress(OSError):
        return os.getcwd()
    return ""  # it was removed


def _start_method() -> str | None:
    if "multiprocessing" not in sys.modules:
        return None
    found: str | None = sys.modules["multiprocessing"].get_start_method(allow_none=True)
    return found


def _with_those_of_libraries(before: list[Any]) -> list[Any]:
    """The finders of `before` with those that libraries have added meanwhile, in their places.

    A library is imported once and stays: without its finder, what it finds (`six.moves`) could not
    be imported any more. A finder of ours or of the program, whose modules are gone, is left out.
    """
    front: list[Any] = []
    back: list[Any] = []
    place = front
    for finder in sys.meta_path:
        if finder in before:
            place = back
        elif _is_of_a_library(finder):
            place.append(finder)
    return front + before + back


def _is_of_a_library(finder: Any) -> bool:
    module = str(getattr(finder, "__module__", ""))
    ours = module.partition(".")[0] == __name__.partition(".")[0]
    return module in sys.modules and module not in _MAINS and not ours


def _take_modules(program: ProgramFiles, elsewhere: set[str]) -> dict[str, ModuleType]:
    """Take the program's modules out of the interpreter: those of its copy, and those that it
    imported from the same folder by names that only the running program knew."""
    tops = {name.partition(".")[0] for name in program.by_module}
    own = {renamed(name) if is_needed(name) else name for name in tops}
    unknown = [(name, sys.modules[name]) for name in sys.modules.keys() - elsewhere]
    if not program.is_installed:
        for name, module in unknown:
            if "." not in name and name not in _KEPT and lies_in(module, program.root):
                own.add(name)
    taken = [name for name, _ in unknown if name.partition(".")[0] in own]
    elsewhere.update(name for name, _ in unknown if name.partition(".")[0] not in own)
    return {name: sys.modules.pop(name) for name in taken}
