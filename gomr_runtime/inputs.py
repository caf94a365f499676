"""From `--input` arguments to input files, in input order. Standard library only: argv is checked
before anything heavy is imported."""

from __future__ import annotations

import fnmatch
import os
import re
import stat
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from gomr_runtime.errors import EnvironmentFailed, UsageError
from gomr_runtime.job import Compression, InputFile

MAGIC_BYTES = 10  # how much of a file `compression_of` wants to see
_BZ2 = re.compile(rb"BZh[1-9](1AY&SY|\x17rE8P\x90)")  # block size, then a block or the end
_ZSTD_SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
_GLOB = re.compile(r"[*?[]")

Lister = Callable[[str], Iterable[InputFile]]


def compression_of(head: bytes) -> Compression:
    """The compression of a file whose first `MAGIC_BYTES` bytes are `head`; "" for none."""
    if head.startswith(b"\x1f\x8b\x08"):
        return "gzip"
    if head.startswith(b"\xfd7zXZ\x00"):
        return "xz"
    if head.startswith(b"\x28\xb5\x2f\xfd") or _ZSTD_SKIPPABLE.match(head):
        return "zstd"
    return "bz2" if _BZ2.match(head) else ""


def version_of(status: os.stat_result) -> str:
    """`InputFile.version` of a local file: changes when its content may have changed."""
    return f"{status.st_size}-{status.st_mtime_ns}"


def resolve(
    inputs: Sequence[str],
    *,
    stdin_copy: Path | None = None,
    lister: Lister | None = None,
    stdin: BinaryIO | None = None,
) -> list[InputFile]:
    """The files named by `inputs` (file, directory, glob, `-`, `s3://...`), in input order.

    Command-line order; inside one argument by bytes of `source`; hidden files are skipped; what is
    named twice is read twice. `-` copies `stdin` (the process's own by default) to `stdin_copy`.
    `lister` resolves an `s3://` argument. Raises UsageError naming what is missing, unreadable or
    not a file, before standard input is touched.
    """
    resolved = [None if name == "-" else _resolve_one(name, lister) for name in inputs]
    copied = _copy_stdin(stdin_copy, stdin) if None in resolved else []
    return [file for files in resolved for file in (copied if files is None else files)]


def _resolve_one(name: str, lister: Lister | None) -> list[InputFile]:
    if name.startswith("s3://"):
        if lister is None:
            raise UsageError(f"--input {name}: reading s3:// needs the settings of an S3 store")
        return list(lister(name))
    if not name or "\0" in name:
        raise UsageError(f"--input {name!r} is not a file name")
    try:
        status = os.stat(name)
    except (FileNotFoundError, NotADirectoryError):
        if _GLOB.search(name):
            return _by_source(_expand_glob(name), f"--input {name}: no file matches")
        raise UsageError(f"--input {name}: no such file or directory") from None
    except OSError as error:
        raise _refused(name, error) from None
    if stat.S_ISDIR(status.st_mode):
        return _by_source(_walk(name, "", ()), f"--input {name}: the directory holds no file")
    return [_probe(name, name)]


def _by_source(files: Iterator[InputFile], empty: str) -> list[InputFile]:
    unique = {file.source: file for file in files}  # `**` can reach a file in several ways
    if not unique:
        raise UsageError(f"{empty} (hidden files are skipped)")
    return [unique[source] for source in sorted(unique, key=os.fsencode)]


def _probe(path: str, source: str) -> InputFile:
    """One file as it is now; O_NONBLOCK so that a FIFO cannot hold us."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UsageError(
                f"--input {path} is not a regular file (a pipe, socket or device); "
                "save it to a file, or pipe it in with --input -"
            )
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            status = os.fstat(descriptor)
            head = os.read(descriptor, MAGIC_BYTES)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _refused(path, error) from None
    if head and not status.st_size:
        raise UsageError(f"--input {path} does not say how large it is; save it to a file first")
    return InputFile(
        source, os.path.abspath(path), status.st_size, compression_of(head), version_of(status)
    )


def _entries(directory: str) -> list[os.DirEntry[str]]:
    """What a directory holds, hidden entries left out."""
    try:
        with os.scandir(directory) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise _refused(directory, error) from None


def _walk(directory: str, relative: str, above: tuple[tuple[int, int], ...]) -> Iterator[InputFile]:
    """Every file below `directory`; `above` are the directories on the way down, by identity.

    Symbolic links are followed, except one that leads back up: it would never end.
    """
    identity = _identity(directory)
    if identity in above:
        return
    for entry in _entries(directory):
        source = relative + entry.name
        if _is_directory(entry):
            yield from _walk(entry.path, f"{source}/", (*above, identity))
        else:
            yield _probe(entry.path, source)


def _identity(directory: str) -> tuple[int, int]:
    try:
        status = os.stat(directory)
    except OSError as error:
        raise _refused(directory, error) from None
    return status.st_dev, status.st_ino


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:  # a link that leads to itself
        raise _refused(entry.path, error) from None


def _expand_glob(pattern: str) -> Iterator[InputFile]:
    """Files that match; a directory that matches stands for everything below it."""
    parts = pattern.split("/")
    fixed = next(i for i, part in enumerate(parts) if _GLOB.search(part))
    root = "/".join(parts[:fixed]) or ("/" if pattern.startswith("/") else ".")
    if not os.path.isdir(root):
        raise UsageError(f"--input {pattern}: no such directory: {root}")
    return _match(root, "", [part for part in parts[fixed:] if part not in {"", "."}], ())


def _match(
    directory: str, relative: str, parts: list[str], above: tuple[tuple[int, int], ...]
) -> Iterator[InputFile]:
    if not parts:
        yield from _walk(directory, relative, above)
        return
    identity = _identity(directory)
    if identity in above:
        return
    here, rest = parts[0], parts[1:]
    if here == "**":
        yield from _match(directory, relative, rest, above)
        if not rest:
            return
    accepts = re.compile(fnmatch.translate("*" if here == "**" else here)).match
    for entry in _entries(directory):
        if not accepts(entry.name):
            continue
        source = relative + entry.name
        if _is_directory(entry):
            below = parts if here == "**" else rest
            yield from _match(entry.path, f"{source}/", below, (*above, identity))
        elif not rest and here != "**":
            yield _probe(entry.path, source)


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
        return [_probe(os.fspath(target), "-")]
    except OSError as error:
        raise EnvironmentFailed(
            f"--input -: copying standard input to {target} failed: {error.strerror}"
        ) from None


def _refused(path: str, error: OSError) -> UsageError:
    return UsageError(f"--input {path} cannot be read: {error.strerror or error}")
