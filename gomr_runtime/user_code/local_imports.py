"""Which modules beside a worker file it imports, found in syntax trees: nothing is executed.

Python's own finder says where a name leads, so packages, folders without `__init__.py` and
compiled modules mean here what they mean to an import statement. Imports inside functions count,
and so do `importlib.import_module` and `__import__` with a name written out. What only a running
program can know is not found here.
"""

from __future__ import annotations

import ast
import os
import stat
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    BuiltinImporter,
    ExtensionFileLoader,
    FileFinder,
    FrozenImporter,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from importlib.util import resolve_name
from pathlib import Path

from gomr_runtime.errors import UsageError
from gomr_runtime.system.own_files import Untrusted, read_at_most
from gomr_runtime.user_code.program_files import MAIN, ProgramFiles, SourceFile, lies_in_site

MOST_SOURCE = 256 << 20  # bytes of a module
OURS = frozenset({"gomr_runtime", "gomr_native"})
_LOADERS: tuple[tuple[type, list[str]], ...] = (
    (ExtensionFileLoader, EXTENSION_SUFFIXES),
    (SourceFileLoader, SOURCE_SUFFIXES),
    (SourcelessFileLoader, BYTECODE_SUFFIXES),
)


def read_program(file: Path, source: bytes, tree: ast.Module, module: str = "") -> ProgramFiles:
    """Read what the worker file imports from beside it, each file once.

    Args:
        file: the absolute path of the worker file.
        source: its bytes.
        tree: its syntax tree.
        module: its dotted name where it was started by it, as `python -m pkg.worker` does. Without
            one it is the worker's path that counts, and a package only if it imports relatively.

    Returns:
        The program, the worker file first, the other modules in order of their names.

    Raises:
        UsageError: one of the files cannot be read, or a relative import leads nowhere.
    """
    package, root = _place(file, tree, module)
    walk = _Walk(root, package.partition(".")[0] if lies_in_site(root) else None)
    walk.need(package)
    walk.follow(tree, package)
    walk.run()
    main = SourceFile(
        MAIN, (file if package else file.resolve()).relative_to(root).as_posix(), source
    )
    others = (walk.found[name] for name in sorted(walk.found))
    return ProgramFiles(str(root), str(file), package, (main, *others))


def imports_not_found(file: Path) -> set[str]:
    """Dotted names that the worker file and the modules beside it import, and that lie neither
    beside it nor in the standard library: modules that are missing here, or installed elsewhere."""
    source = file.read_bytes()
    if (tree := _tree(source)) is None:
        return set()
    package, root = _place(file, tree, "")
    walk = _Walk(root, None)
    walk.follow(tree, package)
    walk.run()
    return {n for n in walk.absent if n.partition(".")[0] not in OURS | sys.stdlib_module_names}


def _place(file: Path, tree: ast.Module, module: str) -> tuple[str, Path]:
    """The worker file's package and the folder that its imports start from."""
    if module:
        package = module.rpartition(".")[0]
        return package, file.parents[len(package.split(".")) if package else 0]
    levels = max((n.level for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)), default=0)
    if not levels:
        return "", file.resolve().parent
    root, names = file.parent, list[str]()
    while root.name and (len(names) < levels or (root / "__init__.py").is_file()):
        names.append(root.name)
        root = root.parent
    return ".".join(reversed(names)), root


@dataclass(slots=True)
class _Walk:
    """A search for the modules below `root`, or for those of the package `only`."""

    root: Path
    only: str | None
    found: dict[str, SourceFile] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)
    _seen: dict[str, list[str] | None] = field(default_factory=dict)
    _left: list[tuple[str, SourceFile]] = field(default_factory=list)
    _finders: dict[str, FileFinder] = field(default_factory=dict)

    def run(self) -> None:
        """Follow the imports of what was found until nothing new is."""
        while self._left:
            name, file = self._left.pop()
            package = name if file.is_package else name.rpartition(".")[0]
            if tree := _tree(file.source):
                self.follow(tree, package)

    def follow(self, tree: ast.Module, package: str) -> None:
        """Take in what a module of `package` imports."""
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self.need(alias.name)
            elif isinstance(node, ast.ImportFrom):
                self._need_from(node, package)
            elif isinstance(node, ast.Call) and (name := _name_in_call(node, package)):
                self.need(name)

    def need(self, name: str) -> list[str] | None:
        """Take in the module `name` and the packages around it, if they lie below the root.

        Returns:
            Where modules inside it are looked for, None for a module that is not there or holds
            no others.
        """
        if not name:
            return None
        if name not in self._seen:
            self._seen[name] = None  # a module may import itself
            self._seen[name] = self._take(name)
        return self._seen[name]

    def _take(self, name: str) -> list[str] | None:
        parent, _, _ = name.rpartition(".")
        if parent:
            folders = self.need(parent)
        else:
            folders = [str(self.root)] if self._may_be_local(name) else None
        spec = self._spec(name, folders or [])
        if spec is None:
            self.absent.add(name)
            return None
        if spec.origin and isinstance(spec.loader, SourceFileLoader):
            path = Path(spec.origin)
            file = SourceFile(name, path.relative_to(self.root).as_posix(), _read(path))
            self.found[name] = file
            self._left.append((name, file))
        locations = spec.submodule_search_locations
        return None if locations is None else [*locations]

    def _may_be_local(self, name: str) -> bool:
        if name in OURS or self.only not in (None, name):
            return False
        return not BuiltinImporter.find_spec(name) and not FrozenImporter.find_spec(name)

    def _spec(self, name: str, folders: list[str]) -> ModuleSpec | None:
        for folder in folders:
            if folder not in self._finders:
                self._finders[folder] = FileFinder(folder, *_LOADERS)
            spec = self._finders[folder].find_spec(name)
            if spec is None:
                continue
            if spec.loader is None and "." not in name and _installed(name, folder):
                return None  # a folder counts only where no real package has the name
            return spec
        return None

    def _need_from(self, node: ast.ImportFrom, package: str) -> None:
        base = _absolute("." * node.level + (node.module or ""), package)
        if self.need(base) is None:
            self.absent.update(f"{base}.{alias.name}" for alias in node.names if base)
            return
        for alias in node.names:
            names = [alias.name]
            if alias.name == "*":
                init = self.found.get(base)
                names = list(_all_of(init.source)) if init else []
            for name in names:
                self.need(f"{base}.{name}")


def _absolute(name: str, package: str) -> str:
    if not name.startswith("."):
        return name
    try:
        return resolve_name(name, package)
    except ImportError:
        return ""  # Python says so when it comes to it


def _installed(name: str, folder: str) -> bool:
    elsewhere = [path for path in sys.path if path and Path(path) != Path(folder)]
    spec = PathFinder.find_spec(name, elsewhere)
    return (spec is not None and spec.loader is not None) or name in sys.stdlib_module_names


def read_source(path: Path) -> bytes:
    """The content of a Python file, a link or not. OSError for a pipe, a device, or too much."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Untrusted("it is no regular file", path)
        return read_at_most(descriptor, MOST_SOURCE)
    finally:
        os.close(descriptor)


def _read(path: Path) -> bytes:
    try:
        return read_source(path)
    except OSError as error:
        raise UsageError(
            f"{path}: the worker file imports it, and it cannot be read: {error.strerror}"
        ) from None


def _tree(source: bytes) -> ast.Module | None:
    """None for what is no Python: whether it is ever imported shows when the program runs."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _name_in_call(node: ast.Call, package: str) -> str:
    """The module that `import_module("name")` or `__import__("name")` names."""
    function = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    if isinstance(node.func, ast.Name):
        function = node.func.id
    if function not in ("import_module", "__import__") or not node.args:
        return ""
    first = node.args[0]
    if not (isinstance(first, ast.Constant) and isinstance(first.value, str)):
        return ""
    given = node.args[1] if len(node.args) > 1 else None
    given = next((k.value for k in node.keywords if k.arg == "package"), given)
    if isinstance(given, ast.Constant) and isinstance(given.value, str):
        package = given.value
    return _absolute(first.value, package)


def _all_of(source: bytes) -> Iterator[str]:
    """The names in a module's `__all__`."""
    tree = _tree(source)
    for node in tree.body if tree else ():
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(t, ast.Name) and t.id == "__all__" for t in targets):
                values = ast.walk(node.value) if node.value else ()
                yield from (
                    v.value
                    for v in values
                    if isinstance(v, ast.Constant) and isinstance(v.value, str)
                )
