"""A program executed from its copy: what the files on disk hold by now does not matter.

Code is compiled under the names of the original files, so breakpoints, tracebacks and
`Path(__file__)` mean what they mean when Python runs the file itself.
"""

from __future__ import annotations

import builtins
import gc
import importlib
import io
import linecache
import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import decode_source, spec_from_file_location
from pathlib import Path

from gomr_runtime.api import config
from gomr_runtime.api.config import ConfigCaptured
from gomr_runtime.api.user_frames import describe, user_frames
from gomr_runtime.errors import EnvironmentFailed, UsageError
from gomr_runtime.user_code.interpreter_state import (
    InterpreterState,
    forget_start_method,
    resident_bytes,
)
from gomr_runtime.user_code.name_clashes import clashes_in, is_needed, keep_apart, original
from gomr_runtime.user_code.program import Program, program_of
from gomr_runtime.user_code.program_files import MAIN, ProgramFiles, SourceFile, decode, encode

COPY = "program.json"
LAUNCHER = "gomr_worker_main"
MUCH = 32 << 20  # bytes
_LAUNCHER_SOURCE = """\
# Processes that user code starts by spawn or forkserver get their __main__ from here.
from gomr_runtime.user_code.loading import execute_again

execute_again(globals())
"""


def write_folder(folder: Path, program: ProgramFiles) -> None:
    """Write what processes that execute the program read: its copy, and a module that stands for
    its `__main__`. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / COPY).write_bytes(encode(program))
    (folder / f"{LAUNCHER}.py").write_text(_LAUNCHER_SOURCE)


class Loader:
    """Executes one program."""

    def __init__(self, program: ProgramFiles, folder: Path | None = None) -> None:
        """folder: from `write_folder`, for processes that user code starts; without one they have
        no `__main__`."""
        self.program = program
        self._folder = folder
        self._code: dict[str, types.CodeType] = {}
        self._elsewhere: set[str] = set()  # modules that are not the program's
        self._resident = resident_bytes()

    @classmethod
    def of_folder(cls, folder: Path, sha256: str) -> Loader:
        """The loader for what `write_folder` wrote. Raises EnvironmentFailed when it is damaged."""
        try:
            return cls(decode((folder / COPY).read_bytes(), sha256), folder)
        except (OSError, ValueError) as error:
            raise EnvironmentFailed(
                f"{folder / COPY}: the copy of the program: {error}; did user code write to it?"
            ) from None

    def load(self, name: str) -> Program:
        """Execute the worker file as `__main__` up to its `gomr.run`, for good.

        Args:
            name: what messages and `sys.argv` call the file.

        Raises:
            UsageError: the file raises, with the user's frames as detail, or it never calls
                `gomr.run`.
        """
        sys.argv = [name]
        forget_start_method()
        self.find_here()
        main = self._new_main()
        config.set_mode("load")
        try:
            self.execute(main.__dict__)
        except ConfigCaptured as captured:
            config.set_mode("task")
            return program_of(captured.config, self.program.manifest, self.program.file)
        except BaseException as error:  # noqa: BLE001  (sys.exit in a worker file is an error too)
            raise UsageError(
                f"{name} cannot be loaded: {describe(error)}", detail=user_frames(error)
            ) from None
        raise UsageError(
            f"{name} never calls gomr.run: end it with "
            'if __name__ == "__main__": gomr.run(gomr.MapReduceConfig(mapper=..., reducer=...))'
        )

    @contextmanager
    def fresh(self, name: str) -> Iterator[Program]:
        """Execute it as `load` does, for one task; afterwards the process is what it was."""
        self._reclaim()
        before = InterpreterState(self.program, self._elsewhere)
        try:
            yield self.load(name)
        finally:
            before.restore()

    def _reclaim(self) -> None:
        """Free what the last task's program held, if that is much: modules are circles of
        references, and Python collects these by their number and not by their size."""
        if resident_bytes() - self._resident > MUCH:
            gc.collect()
            self._resident = resident_bytes()

    def find_here(self) -> None:
        """Let imports find the program's modules in its copy, and others beside the original."""
        if names := self._clashes():
            keep_apart(self.program.root, names)
        sys.meta_path.insert(0, _Finder(self))
        if sys.path[:1] != [self.program.root]:
            sys.path.insert(0, self.program.root)
        if self._folder is not None:
            sys.path.append(str(self._folder))
        for file in self.program.files:
            _show_in_tracebacks(self.program.path_of(file), file.source)

    def _clashes(self) -> frozenset[str]:
        """Names that the program's modules, or others in its folder, share with what is needed."""
        tops = {name.partition(".")[0] for name in self.program.by_module}
        found = frozenset(filter(is_needed, tops))
        if self.program.is_installed:
            return found
        return found | clashes_in(self.program.root)

    def code(self, file: SourceFile) -> types.CodeType:
        """The file compiled; SyntaxError and ValueError are the user's."""
        found = self._code.get(file.module)
        if found is None:
            path = self.program.path_of(file)
            found = self._code[file.module] = compile(file.source, path, "exec", dont_inherit=True)
        return found

    def _new_main(self) -> types.ModuleType:
        program = self.program
        main = types.ModuleType(MAIN)
        main.__file__ = program.file
        main.__package__ = program.package or None
        main.__loader__ = _CopyLoader(MAIN, program.file, self, program.main)
        if self._folder is not None:  # where multiprocessing finds a __main__ for what it starts
            main.__spec__ = _MainSpec(program.package)
        main.__dict__.update(__builtins__=builtins, __cached__=None)
        # What a spawned process pickles names __mp_main__.
        sys.modules[MAIN] = sys.modules["__mp_main__"] = main
        return main

    def execute(self, namespace: dict[str, object]) -> None:
        """Run the worker file's code in the namespace of a module that stands for `__main__`."""
        if self.program.package:
            importlib.import_module(self.program.package)
        exec(self.code(self.program.main), namespace)  # noqa: S102  (the user's own file)


def execute_again(namespace: dict[str, object]) -> None:
    """Make a module the `__main__` of a process that user code has started.

    Args:
        namespace: of the module in the folder of `write_folder`, whose name is `__mp_main__`.
    """
    folder = Path(str(namespace["__file__"])).parent
    loader = Loader(decode((folder / COPY).read_bytes()), folder)
    loader.find_here()
    namespace["__file__"] = loader.program.file
    namespace["__package__"] = loader.program.package
    namespace["__spec__"] = _MainSpec(loader.program.package)
    config.set_mode("load")
    with suppress(ConfigCaptured):  # a file that calls gomr.run whatever its name is
        loader.execute(namespace)
    config.set_mode("task")


class _MainSpec(ModuleSpec):
    """Where multiprocessing finds the program's `__main__`."""

    def __init__(self, package: str) -> None:
        super().__init__(LAUNCHER, None)
        self._package = package

    @property
    def parent(self) -> str:
        return self._package


class _Finder:
    """Leads imports of a program's modules to its copy; for `sys.meta_path`."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self._program = loader.program

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,
        target: types.ModuleType | None = None,
    ) -> ModuleSpec | None:
        del target
        name = original(fullname)
        if name == fullname and path is None and is_needed(name):
            return None  # the user's module of this name is called otherwise
        if file := self._program.by_module.get(name):
            place = self._program.path_of(file)
            return spec_from_file_location(
                fullname,
                place,
                loader=_CopyLoader(fullname, place, self._loader, file),
                submodule_search_locations=[str(Path(place).parent)] if file.is_package else None,
            )
        if name not in self._program.packages:
            return None
        # A folder without __init__.py: here with all its portions, elsewhere with none.
        found = PathFinder.find_spec(fullname, path)
        if found is not None and found.loader is None:
            return found
        spec = ModuleSpec(fullname, None, is_package=True)
        spec.submodule_search_locations = [str(Path(self._program.root, *name.split(".")))]
        return spec


class _CopyLoader(SourceFileLoader):
    """Gives a module the code and the source of the copy, and data files of the original folder."""

    def __init__(self, name: str, path: str, loader: Loader, file: SourceFile) -> None:
        super().__init__(name, path)
        self._loader = loader
        self._file = file

    def get_code(self, fullname: str) -> types.CodeType:
        del fullname
        return self._loader.code(self._file)

    def get_data(self, path: str) -> bytes:
        return self._file.source if path == self.path else super().get_data(path)


def _show_in_tracebacks(path: str, source: bytes) -> None:
    """The lines that run, not those that the file has by now."""
    try:
        lines = io.StringIO(decode_source(source)).readlines()
    except (SyntaxError, UnicodeDecodeError, LookupError):
        return  # the compiler refuses it, and says why
    linecache.cache[path] = (len(source), None, lines, path)
