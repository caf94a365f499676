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
from gomr_runtime.model.inputs.files import InputFile
from gomr_runtime.model.output_formats import PART_NAME
from gomr_runtime.storage.success import NAME, Success, parse_success

SKIPPED = "names that begin with . or _ are skipped"

_GLOB = re.compile(r"[*?[]")
_EVERYTHING = ("**",)

Pattern = tuple[str, ...]


class Tree(Protocol):
    """Where files lie. Every method raises UsageError for what cannot be read."""

    def entries(self, folder: str) -> list[str]:
        """The names in the folder in order of their bytes, a `/` behind those of folders. Symbolic
        links are followed."""

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
) -> Iterator[InputFile]:
    """Find the files below `root` that match, by the bytes of their path from there.

    Args:
        tree: Where they lie.
        argument: The `--input`, for messages.
        root: The folder to begin with; it is taken whatever its name.
        pattern: Parts of a glob. `**` stands for any number of folders, a folder that matches for
            everything below it.
        own: What belongs to the run itself.

    Yields:
        Each file once. There is none for the output of a job without parts alone.

    Raises:
        UsageError: Nothing matches, an output is not whole, outputs are mixed with other files,
            or the root is the run's own. It may come after the last file.
    """
    return _Selection(tree, argument, own).of(root, tuple(pattern))


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

    def of(self, root: str, pattern: Pattern) -> Iterator[InputFile]:
        identity = self._tree.identity(root)
        if identity in self._skipped:
            what = "output" if identity == self._own.output else "store"
            raise self._refusal(f"it is the run's own --{what}: give that a folder of its own")
        found = False
        for file in self._matches(root, "", {pattern}, ()):
            found = True
            yield file
        if self._outputs and self._other:
            folder, run = next(iter(self._outputs.items()))
            raise self._refusal(
                f"{folder} is the output of run {run} and {self._other} is not part of one: name "
                "what is to be read, each by an --input of its own"
            )
        if not found and not self._without_parts:
            what = "there is no file in it" if pattern == _EVERYTHING else "no file matches"
            raise self._refusal(f"{what} ({SKIPPED})")

    def _matches(
        self, folder: str, relative: str, patterns: set[Pattern], above: tuple[Hashable, ...]
    ) -> Iterator[InputFile]:
        """Files below `folder` that one of the patterns takes; `above` are the folders on the way
        down.

        Symbolic links are followed, except one that leads back up: it would never end.
        """
        identity = self._tree.identity(folder)
        if identity in above or identity in self._skipped:
            return
        steps = [_Step(pattern) for pattern in _with_none_for_any(patterns)]
        entries = self._tree.entries(folder)
        parts = self._parts(folder, entries, wanted=not all(step.rest for step in steps))
        if parts is not None:
            for name, file in parts.items():
                if any(not step.rest and step.accepts(name) for step in steps):
                    yield dataclasses.replace(file, source=relative + name)
            return
        for entry in entries:
            name = entry.removesuffix("/")
            taking = [step for step in steps if step.takes(name)]
            if not taking:
                continue
            path = self._tree.path(folder, name)
            if entry != name:
                below = {step.below for step in taking}
                yield from self._matches(path, relative + entry, below, (*above, identity))
            elif not all(step.rest for step in taking):
                self._other = self._other or path
                yield self._tree.file(path, relative + name)

    def _parts(
        self, folder: str, entries: Sequence[str], *, wanted: bool
    ) -> dict[str, InputFile] | None:
        """The parts of the output in the folder, by name; None where it is no output.

        wanted: Whether files of the folder are to be read, and not only of folders below it.
        """
        names = set(filter(_is_of_output, entries))
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
        listed = sorted(success.parts, key=lambda part: os.fsencode(part.name))
        return {p.name: self._part(folder, p.name, p.size, names) for p in listed}

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


class _Step:
    """What a pattern says of the names in one folder."""

    def __init__(self, pattern: Pattern) -> None:
        here, self.rest = (pattern[0], pattern[1:]) if pattern else ("**", ())
        self.below = pattern if here == "**" else self.rest
        self.accepts = re.compile(fnmatch.translate("*" if here == "**" else here)).match
        self._open_to = here[:1]  # what is hidden, unless the pattern begins alike

    def takes(self, name: str) -> bool:
        hidden = name.startswith((".", "_")) and name[0] != self._open_to
        return not hidden and self.accepts(name) is not None


def _with_none_for_any(patterns: set[Pattern]) -> set[Pattern]:
    """The patterns, and those that they are where `**` stands for no folder."""
    every = set(patterns)
    for pattern in patterns:
        rest = pattern
        while rest[:1] == _EVERYTHING and rest[1:]:
            rest = rest[1:]
            every.add(rest)
    return every


def _is_of_output(name: str) -> bool:
    return name == NAME or bool(PART_NAME.fullmatch(name))
