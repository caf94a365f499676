"""A program as a value: the worker file and the modules beside it, as they were at one moment.

A run's program is read once, before anything starts. What is stored, hashed, sent to workers and
executed is this value and never the files that it was read from.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from gomr_runtime.codec.typed_json import from_json, shown
from gomr_runtime.codec.wire_types import Many, Name, Sha256, Source

MAIN = "__main__"
_SITE = frozenset({"site-packages", "dist-packages"})


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One module of a program.

    module: its dotted name, `__main__` for the worker file. path: its file, relative to the
    program's root, with `/`. source: the file's bytes.
    """

    module: str
    path: str
    source: bytes

    @property
    def is_package(self) -> bool:
        return self.module != MAIN and PurePosixPath(self.path).name == "__init__.py"


@dataclass(frozen=True)
class ProgramFiles:
    """The files of one program, the worker file first.

    root: the absolute folder that their imports start from. file: the absolute path of the worker
    file as the person named it, which is not below `root` when it is a symbolic link. package: what
    relative imports of the worker file refer to, "" for a file that is run by its path.
    """

    root: str
    file: str
    package: str
    files: tuple[SourceFile, ...]

    @property
    def main(self) -> SourceFile:
        """The worker file."""
        return self.files[0]

    @cached_property
    def by_module(self) -> Mapping[str, SourceFile]:
        """Every module but `__main__`, by its name."""
        return {file.module: file for file in self.files[1:]}

    @cached_property
    def packages(self) -> frozenset[str]:
        """Names of packages that are folders without an `__init__.py`."""
        parents = {
            ".".join(parts[:n])
            for parts in (name.split(".") for name in self._names())
            for n in range(1, len(parts))
        }
        return frozenset(parents - self.by_module.keys())

    @property
    def is_installed(self) -> bool:
        """Whether what lies beside its package is not the program's: see `lies_in_site`."""
        return lies_in_site(Path(self.root))

    @cached_property
    def manifest(self) -> bytes:
        """What makes two programs the same: names, places and contents, wherever they lie."""
        rows = [(f.module, f.path, _sha256(f.source)) for f in self.files]
        return json.dumps([self.package, *rows]).encode()

    @cached_property
    def sha256(self) -> str:
        """Of the manifest, in hex."""
        return _sha256(self.manifest)

    def path_of(self, file: SourceFile) -> str:
        """Where `file` was read, as tracebacks and debuggers call it."""
        return self.file if file.module == MAIN else str(Path(self.root, file.path))

    def difference(self, other: ProgramFiles) -> str:
        """What has become of the first file in which `other` differs, in words; "" for none."""
        mine, theirs = ({f.path: f.source for f in files} for files in (self.files, other.files))
        for path in [*mine, *sorted(theirs.keys() - mine.keys())]:
            if path not in theirs:
                return f"{path} is not part of the program any more"
            if path not in mine:
                return f"{path} became part of the program"
            if mine[path] != theirs[path]:
                return f"{path} has changed"
        return "" if self.sha256 == other.sha256 else f"{self.main.path} is started in another way"

    def _names(self) -> Iterable[str]:
        yield from self.by_module
        if self.package:
            yield f"{self.package}.{MAIN}"


def lies_in_site(root: Path) -> bool:
    """Whether all installed packages lie in `root`, and only one of them is the user's program."""
    return bool(_SITE & {*root.parts})


def encode(program: ProgramFiles) -> bytes:
    """The program as JSON; sources as text, bytes that are no UTF-8 as lone surrogates."""
    rows = [
        {"module": f.module, "path": f.path, "source": f.source.decode("utf-8", "surrogateescape")}
        for f in program.files
    ]
    fields = {"root": program.root, "file": program.file, "package": program.package}
    return json.dumps(fields | {"files": rows, "sha256": program.sha256}).encode()


def decode(data: bytes, sha256: str = "") -> ProgramFiles:
    """The program of `encode`'s bytes.

    Args:
        sha256: the program's own, as the job has it; "" for whatever program it is.

    Raises:
        ValueError: the bytes are damaged, or another program's.
    """
    stored = from_json(_Stored, data)
    files = tuple(SourceFile(f.module, f.path, _bytes(f.source)) for f in stored.files)
    if not files or files[0].module != MAIN:
        raise ValueError("it has no worker file")
    for file in files:
        if PurePosixPath(file.path).is_absolute() or ".." in PurePosixPath(file.path).parts:
            raise ValueError(f"{shown(file.path)} is no path within a program")
    found = ProgramFiles(stored.root, stored.file, stored.package, files)
    if not found.sha256 == stored.sha256 == (sha256 or stored.sha256):
        raise ValueError("the checksum does not match")
    return found


@dataclass(frozen=True, slots=True)
class _StoredFile:
    module: Name
    path: Name
    source: Source


@dataclass(frozen=True, slots=True)
class _Stored:
    root: Name
    file: Name
    package: Name
    files: Many[_StoredFile]
    sha256: Sha256


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
