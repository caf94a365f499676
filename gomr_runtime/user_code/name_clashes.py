"""Modules of the user's with the name of one that we need, as `queue.py` beside a worker file.

Python finds the folder of a script before everything else, so such a file would take the place of
the standard library's for us and for every library, too. Here each side gets its own: import
statements in the user's files lead to the user's module, all others to the one that was meant.
The user's is in `sys.modules` under another name, so that both can be there.

This module is imported before any other of ours and imports nothing that could clash.
"""

from __future__ import annotations

import _frozen_importlib_external as machinery
import _imp
import builtins
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import FrameType, ModuleType
    from typing import Any

MARK = "_beside_the_worker"
DEPENDENCIES = frozenset(
    {
        *("annotated_types", "google", "gomr_native", "grpc", "grpc_health", "msgpack", "numpy"),
        *("obstore", "packaging", "polars", "pyarrow", "rich", "setproctitle"),
        *("typing_extensions", "zstandard"),
    }
)
_INSTALLED = ("site-packages", "dist-packages")
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_OURS = tuple(
    os.path.join(os.path.dirname(_PACKAGE), name, "")
    for name in (os.path.basename(_PACKAGE), "flows", "tasks", "k8s")
)


def is_needed(name: str) -> bool:
    """Whether a module of this name beside a worker file would be in somebody's way."""
    if name in sys.builtin_module_names or _imp.is_frozen(name):
        return False  # Python never looks for these in a folder
    return name in sys.stdlib_module_names or name in DEPENDENCIES


def clashes_in(folder: str) -> frozenset[str]:
    """The names that modules in `folder` share with modules that are needed."""
    found = set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name, _, rest = entry.name.partition(".")
                if is_needed(name) and _is_module(entry.path, rest):
                    found.add(name)
    except OSError:
        return frozenset()
    return frozenset(found)


def _is_module(path: str, suffixes: str) -> bool:
    if not suffixes:  # a folder without __init__.py gives way to a real module by itself
        return os.path.isfile(os.path.join(path, "__init__.py"))
    return suffixes in ("py", "pyc") or suffixes.endswith("so")


def renamed(name: str) -> str:
    """What the user's module `name`, or one inside it, is called where both are there."""
    top, dot, rest = name.partition(".")
    return f"{top}{MARK}{dot}{rest}"


def original(name: str) -> str:
    """The name that a user's module has in import statements."""
    top, dot, rest = name.partition(".")
    return f"{top.removesuffix(MARK)}{dot}{rest}"


def guard_start() -> None:
    """Keep apart what would clash in the folder that Python was started from, if it was started
    with a file there, or with a module by `-m`."""
    folder = _folder_of_start()
    if folder and (names := clashes_in(folder)):
        keep_apart(folder, names)


def keep_apart(root: str, names: Iterable[str]) -> None:
    """Let import statements in files below `root` lead to its modules of these `names`, and all
    others to the modules that were meant."""
    for finder in sys.meta_path:
        if isinstance(finder, _Clashes) and finder.root == root:
            finder.names |= frozenset(names)
            finder.rename_imported()
            return
    _Clashes(root, frozenset(names)).install()


class _Clashes:
    """The clashes of one folder: a finder for `sys.meta_path`, and an `__import__`."""

    def __init__(self, root: str, names: frozenset[str]) -> None:
        self.root = root
        self.names = names
        self._import = builtins.__import__

    def install(self) -> None:
        self.rename_imported()
        sys.meta_path.insert(0, self)
        builtins.__import__ = self._import_for

    def rename_imported(self) -> None:
        """Make room for the modules that were meant, where the user's came first."""
        for name in self.names:
            if lies_in(sys.modules.get(name), self.root):
                inside = [n for n in sys.modules if n == name or n.startswith(f"{name}.")]
                for taken in inside:
                    sys.modules[renamed(taken)] = sys.modules.pop(taken)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        del target
        if path is not None:
            return None
        if fullname in self.names:
            others = [p for p in sys.path if os.path.realpath(p or ".") != self.root]
            if (meant := machinery.PathFinder.find_spec(fullname, others)) is None:
                raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)
            return meant
        name = original(fullname)
        if name == fullname or name not in self.names:
            return None
        found = machinery.PathFinder.find_spec(name, [self.root])
        if found is None or found.loader is None or found.origin is None:
            return None
        return machinery.spec_from_file_location(
            fullname,
            found.origin,
            loader=type(found.loader)(fullname, found.origin),  # type: ignore[call-arg]
            submodule_search_locations=found.submodule_search_locations,
        )

    def _import_for(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002
        locals: Mapping[str, object] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        if level == 0 and name.partition(".")[0] in self.names:
            if globals is None:  # a call of __import__
                globals = sys._getframe(1).f_globals
            # C code imports on behalf of whoever called it, and hands over a list.
            if type(fromlist) is not list and self._is_users(globals):
                name = renamed(name)
        return self._import(name, globals, locals, fromlist or (), level)

    def _is_users(self, importer: Mapping[str, object] | None) -> bool:
        file = importer.get("__file__") if importer else None
        if not isinstance(file, str):
            return False
        for path in (file, os.path.realpath(file)):  # a worker file may be a symbolic link
            if path.startswith(os.path.join(self.root, "")):
                inside = path[len(self.root) :]
                return not path.startswith(_OURS) and not any(p in inside for p in _INSTALLED)
        return False


def lies_in(module: ModuleType | None, root: str) -> bool:
    """Whether a module, or the folder of a package, lies directly in the folder `root`."""
    try:
        if module is None or not hasattr(module, "__path__"):
            place: object = getattr(module, "__file__", None)
        else:
            place = next(iter(module.__path__), None)
    except (TypeError, KeyError):  # `__path__` may be anything
        return False
    return isinstance(place, str) and os.path.dirname(place) == root


def main_namespace() -> Mapping[str, Any] | None:
    """The globals of the `__main__` whose code calls us, also below a debugger or a profiler that
    executes it by itself; None where there is no file."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        found = frame.f_globals
        if found.get("__name__") == "__main__" and isinstance(found.get("__file__"), str):
            return found
        frame = frame.f_back
    return None


def main_module() -> str:
    """The dotted name by which Python was started with `-m`, "" without."""
    main = main_namespace() or {}
    name = getattr(main.get("__spec__"), "name", None) or ""
    return "" if name == "__main__" else str(name)


def _folder_of_start() -> str:
    """What Python put in front of its search path for the file or module it was started with."""
    if sys.flags.safe_path or not sys.path:
        return ""
    first = os.path.realpath(sys.path[0] or ".")
    main = main_namespace()
    if main is None:  # the packages around a module that `-m` names come before it
        return first if sys.argv[:1] == ["-m"] else ""
    root = os.path.dirname(os.path.realpath(main["__file__"]))
    for _ in range(main_module().count(".")):
        root = os.path.dirname(root)
    return root if root == first else ""
