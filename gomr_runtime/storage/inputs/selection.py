"""Which files below a folder are input: hidden names, globs, earlier outputs, the run's own data.

The rules are the same for the directories of this machine and for the objects of a bucket:

- Names that begin with `.` or `_` are skipped at every level, unless a part of the pattern begins
  with the same character: `_*` takes `_x`, `*` does not.
- The run's own output and store are skipped.
- A folder whose `_SUCCESS` GoMR has written is read as the parts that it lists, whatever lies
  beside them; one that holds parts and no such `_SUCCESS` is refused.
- One `--input` takes outputs or other files, never both: who names a folder for its files does not
  expect what an earlier run has left below it.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import os
import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from gomr_runtime.errors import UsageError
from gomr_runtime.model.job import InputFile
from gomr_runtime.storage.success import NAME, PART_NAME, Success, parse_success

SKIPPED = "names that begin with . or _ are skipped"

_GLOB = re.compile(r"[*?[]")
_EVERYTHING = ("**",)


class Entry(Protocol):
    """A file or folder by its name."""

    @property
    def name(self) -> str: ...

    def is_folder(self) -> bool:
        """Symbolic links are followed. Raises UsageError when that cannot be told."""


class Tree(Protocol):
    """Where files lie. Every method raises UsageError for what cannot be read."""

    def entries(self, folder: str) -> Sequence[Entry]: ...

    def path(self, folder: str, name: str) -> str: ...

    def identity(self, folder: str) -> Hashable:
        """Equal for two paths that lead to one folder."""

    def file(self, path: str, source: str) -> InputFile: ...

    def read(self, path: str) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Own:
    """The folders of the run itself, by their identity; None for one that is not there."""

    output: Hashable | None = None
    store: Hashable | None = None


NOTHING = Own()


def is_glob(name: str) -> bool:
    """Return whether `name` has a character that globs give a meaning to."""
    return bool(_GLOB.search(name))


def split_glob(pattern: str) -> tuple[str, list[str]]:
    """Return the folder that the pattern begins with, and the parts from its first glob on."""
    parts = pattern.split("/")
    fixed = next(i for i, part in enumerate(parts) if is_glob(part))
    root = "/".join(parts[:fixed]) or ("/" if pattern.startswith("/") else "")
    return root, [part for part in parts[fixed:] if part not in {"", "."}]


def select(
    tree: Tree, argument: str, root: str, pattern: Sequence[str] = _EVERYTHING, own: Own = NOTHING
) -> list[InputFile]:
    """Return the files below `root` that match, by the bytes of their path from there.

    Args:
        tree: Where they lie.
        argument: The `--input`, for messages.
        root: The folder to begin with; it is taken whatever its name.
        pattern: Parts of a glob. `**` stands for any number of folders, a folder that matches for
            everything below it.
        own: What belongs to the run itself.

    Returns:
        Each file once. It is empty for the output of a job without parts alone.

    Raises:
        UsageError: Nothing matches, an output is not whole, outputs are mixed with other files,
            or the root is the run's own.
    """
    return _Selection(tree, argument, own).of(root, list(pattern))


class _Selection:
    """The files of one argument, and what was found on the way."""

    def __init__(self, tree: Tree, argument: str, own: Own) -> None:
        self._tree = tree
        self._argument = argument
        self._own = own
        self._skipped = {own.output, own.store} - {None}
        self._other = ""  # a file that belongs to no output
        self._outputs: dict[str, str] = {}  # runs by the folder of their output
        self._without_parts = False  # whether there is an output that has none
        self._known: dict[str, dict[str, InputFile] | None] = {}  # `_parts` by folder

    def of(self, root: str, pattern: list[str]) -> list[InputFile]:
        identity = self._tree.identity(root)
        if identity in self._skipped:
            what = "output" if identity == self._own.output else "store"
            raise self._refusal(f"it is the run's own --{what}: give that a folder of its own")
        # `**` can reach a file in several ways.
        found = {file.source: file for file in self._matches(root, "", pattern, ())}
        if self._outputs and self._other:
            folder, run = next(iter(self._outputs.items()))
            raise self._refusal(
                f"{folder} is the output of run {run} and {self._other} is not part of one: name "
                "what is to be read, each by an --input of its own"
            )
        if not found and not self._without_parts:
            what = "there is no file in it" if pattern == [*_EVERYTHING] else "no file matches"
            raise self._refusal(f"{what} ({SKIPPED})")
        return [found[source] for source in sorted(found, key=os.fsencode)]

    def _matches(
        self, folder: str, relative: str, pattern: list[str], above: tuple[Hashable, ...]
    ) -> Iterator[InputFile]:
        """Files below `folder`; `above` are the folders on the way down.

        Symbolic links are followed, except one that leads back up: it would never end.
        """
        identity = self._tree.identity(folder)
        if identity in above or identity in self._skipped:
            return
        here, rest = (pattern[0], pattern[1:]) if pattern else ("**", [])
        if here == "**" and rest:
            yield from self._matches(folder, relative, rest, above)
        accepts = re.compile(fnmatch.translate("*" if here == "**" else here)).match
        entries = self._tree.entries(folder)
        parts = self._parts(folder, entries, wanted=not rest)
        if parts is not None:
            for name, file in parts.items() if not rest else ():
                if accepts(name):
                    yield dataclasses.replace(file, source=relative + name)
            return
        for entry in entries:
            if _is_hidden(entry.name, here) or not accepts(entry.name):
                continue
            path, source = self._tree.path(folder, entry.name), relative + entry.name
            if entry.is_folder():
                below = pattern if here == "**" else rest
                yield from self._matches(path, f"{source}/", below, (*above, identity))
            elif not rest:
                self._other = self._other or path
                yield self._tree.file(path, source)

    def _parts(
        self, folder: str, entries: Sequence[Entry], *, wanted: bool
    ) -> dict[str, InputFile] | None:
        """The parts of the output in the folder, by name; None where it is no output.

        wanted: Whether files of the folder are to be read, and not only of folders below it.
        """
        if folder in self._known:
            return self._known[folder]
        names = {e.name for e in entries if _is_of_output(e.name) and not e.is_folder()}
        parts = sorted(names - {NAME})
        success = self._success(folder, parts) if NAME in names else None
        if success is None:
            if parts and wanted:
                raise self._refusal(
                    f"{folder or 'the bucket'} holds {parts[0]} and no {NAME}: a run has not "
                    "finished this output, or is writing it now; name the files one by one to "
                    "read them all the same"
                )
            return None
        self._outputs[folder] = success.run
        self._without_parts |= not success.parts
        found = {p.name: self._part(folder, p.name, p.size, names) for p in success.parts}
        self._known[folder] = found
        return found

    def _success(self, folder: str, parts: list[str]) -> Success | None:
        """What `_SUCCESS` says; None for that of another program, which has files of its own."""
        path = self._tree.path(folder, NAME)
        try:
            return parse_success(self._tree.read(path))
        except (ValueError, RecursionError) as error:
            if not parts:
                return None
            raise self._refusal(f"{path} is not that of a GoMR output: {error}") from None

    def _part(self, folder: str, name: str, size: int, names: set[str]) -> InputFile:
        path = self._tree.path(folder, name)
        if name not in names:
            raise self._refusal(f"{path} is missing, and {NAME} beside it lists it")
        file = self._tree.file(path, name)
        if file.size != size:
            raise self._refusal(f"{path} has {file.size} bytes, and {NAME} beside it says {size}")
        return file

    def _refusal(self, cause: str) -> UsageError:
        return UsageError(f"--input {self._argument}: {cause}")


def _is_of_output(name: str) -> bool:
    return name == NAME or bool(PART_NAME.fullmatch(name))


def _is_hidden(name: str, pattern: str) -> bool:
    return name.startswith((".", "_")) and not pattern.startswith(name[:1])
