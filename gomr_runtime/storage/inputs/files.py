"""From `--input` arguments to input files, in input order. Standard library only: argv is checked
before anything heavy is imported."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from gomr_runtime.errors import EnvironmentFailed, UsageError
from gomr_runtime.model.inputs.addresses import check_input
from gomr_runtime.model.inputs.file_signatures import HEAD_BYTES, compression_of, content_of
from gomr_runtime.model.inputs.file_table import collect
from gomr_runtime.model.inputs.files import InputFile
from gomr_runtime.storage.inputs.selection import NOTHING, Own, is_glob, select, split_glob
from gomr_runtime.storage.success import MAX_BYTES
from gomr_runtime.system.file_blob import version_of

Lister = Callable[[str], Iterable[InputFile]]


def resolve(
    inputs: Sequence[str],
    *,
    stdin_copy: Path | None = None,
    lister: Lister | None = None,
    stdin: BinaryIO | None = None,
    own: Own = NOTHING,
) -> Sequence[InputFile]:
    """Return the files named by `inputs` in input order: that of the command line, inside one
    argument by bytes of `source`.

    A file that is named is taken whatever its name; below directories and in globs the rules of
    `selection` hold. What is named twice is read twice.

    Args:
        inputs: Files, directories, globs, `-` or `s3://` addresses.
        stdin_copy: Where standard input goes.
        lister: Resolves an `s3://` address.
        stdin: Standard input, by default the process's own.
        own: The run's own directories, see `own_directories`.

    Raises:
        UsageError: Something is missing, unreadable or no file; standard input is not touched.
    """
    found = [None if name == "-" else collect(_resolve_one(name, lister, own)) for name in inputs]
    copied = _copy_stdin(stdin_copy, stdin) if None in found else []
    resolved = [copied if files is None else files for files in found]
    return resolved[0] if len(resolved) == 1 else collect(chain.from_iterable(resolved))


def own_directories(output: str | Path, store: str) -> Own:
    """Return what a run with this `--output` and `--store` must not read as input.

    Args:
        output: The directory of its output, which may not be there yet.
        store: The directory of its data; the address of a store elsewhere is none.
    """
    return Own(_identity(output), None if "://" in store else _identity(store))


def _resolve_one(name: str, lister: Lister | None, own: Own) -> Iterable[InputFile]:
    if name.startswith("s3://"):
        if lister is None:
            raise UsageError(f"--input {name}: reading s3:// needs the settings of an S3 store")
        return lister(name)
    try:
        check_input(name)
    except ValueError as error:
        raise UsageError(f"--input {error}") from None
    tree = LocalTree()
    try:
        status = os.stat(name)
    except (FileNotFoundError, NotADirectoryError):
        if not is_glob(name):
            raise UsageError(f"--input {name}: no such file or directory") from None
        root, pattern = split_glob(name)
        if not os.path.isdir(root or "."):
            raise UsageError(f"--input {name}: no such directory: {root}") from None
        return select(tree, name, root or ".", pattern, own)
    except OSError as error:
        raise _refused(name, error) from None
    if stat.S_ISDIR(status.st_mode):
        return select(tree, name, name, own=own)
    return [tree.file(name, name)]


class LocalTree:
    """The files of this machine, as a `selection.Tree`."""

    def entries(self, folder: str) -> list[str]:
        try:
            with os.scandir(folder) as entries:
                names = [f"{entry.name}/" if _is_folder(entry) else entry.name for entry in entries]
        except OSError as error:
            raise _refused(folder, error) from None
        names.sort(key=os.fsencode)
        return names

    def path(self, folder: str, name: str) -> str:
        return f"{folder}{name}" if folder.endswith("/") else f"{folder}/{name}"

    def identity(self, folder: str) -> Hashable:
        try:
            status = os.stat(folder)
        except OSError as error:
            raise _refused(folder, error) from None
        return status.st_dev, status.st_ino

    def read(self, path: str) -> bytes:
        return _read_regular(path, MAX_BYTES)[1]

    def file(self, path: str, source: str) -> InputFile:
        status, head = _read_regular(path, HEAD_BYTES)
        if head and not status.st_size:
            raise UsageError(
                f"--input {path} does not say how large it is; save it to a file first"
            )
        return InputFile(
            source,
            os.path.abspath(path),
            status.st_size,
            compression_of(head),
            version_of(status),
            content_of(head),
        )


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself: it is refused if it is to be read
        return False


def _read_regular(path: str, most: int) -> tuple[os.stat_result, bytes]:
    """The file as it is now and its first bytes; O_NONBLOCK so that a FIFO cannot hold us."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UsageError(
                f"--input {path} is not a regular file (a pipe, socket or device); "
                "save it to a file, or pipe it in with --input -"
            )
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            return status, os.read(descriptor, min(most, max(status.st_size, HEAD_BYTES)))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _refused(path, error) from None


def _identity(directory: str | Path) -> Hashable | None:
    try:
        status = os.stat(os.path.realpath(directory))
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _copy_stdin(target: Path | None, stdin: BinaryIO | None) -> list[InputFile]:
    if target is None:
        raise UsageError("--input -: standard input cannot be read here; save it to a file")
    if stdin is None:
        if sys.stdin is None:
            raise UsageError("--input -: standard input is closed")
        stdin = sys.stdin.buffer
    try:
        with open(target, "xb") as copy:
            while data := stdin.read(1 << 20):
                copy.write(data)
        return [LocalTree().file(os.fspath(target), "-")]
    except OSError as error:
        raise EnvironmentFailed(
            f"--input -: copying standard input to {target} failed: {error.strerror}"
        ) from None


def _refused(path: str, error: OSError) -> UsageError:
    return UsageError(f"--input {path} cannot be read: {error.strerror or error}")
