"""`_SUCCESS`: what says that an output is whole, in a store and in the user's directory alike.

A JSON object, indented for people:

    format    1
    run       the run's id
    parts     every part in order: {"name", "size" in bytes, "records", "sha256"}
    set_aside the files with the records that were set aside, as parts are listed
    ledger    the run's balanced books (gomr_runtime.model.task.Ledger)
    counters  the user's counters

Equal results give equal bytes: nothing in it depends on time or place.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from gomr_runtime.codec.typed_json import parse, shown, take
from gomr_runtime.codec.wire_types import (
    Count,
    Counters,
    Index,
    Many,
    Name,
    RunName,
    Sha256,
    UserTotal,
)
from gomr_runtime.errors import PartLost, RunConflict, StorageError, UsageError
from gomr_runtime.model import layout
from gomr_runtime.model.output_formats import BAD_NAME, PART_NAME
from gomr_runtime.model.summary import Part
from gomr_runtime.model.task import Ledger
from gomr_runtime.system.own_files import read_regular

if TYPE_CHECKING:
    from gomr_runtime.storage.base import Store
    from gomr_runtime.storage.parallel import Several

FORMAT = 1
NAME = "_SUCCESS"
_LONE = re.compile("[\ud800-\udfff]")  # surrogates, as user code may put them into names
MAX_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class PublishedPart:
    """A part as `_SUCCESS` lists it; size in bytes."""

    name: Name
    size: Count
    records: Count
    sha256: Sha256


@dataclass(frozen=True, slots=True)
class Success:
    """The content of a `_SUCCESS`."""

    run: RunName
    parts: Many[PublishedPart]
    set_aside: Many[PublishedPart] = ()
    ledger: Ledger = dataclasses.field(default_factory=Ledger)
    counters: Counters[UserTotal] = dataclasses.field(default_factory=dict)
    format: Index = FORMAT

    @property
    def files(self) -> tuple[PublishedPart, ...]:
        """Every file that is part of the output."""
        return self.parts + self.set_aside


def success_of(
    run: str,
    parts: Sequence[Part],
    ledger: Ledger,
    counters: Mapping[str, int],
    set_aside: Sequence[Part] = (),
) -> Success:
    return Success(run, _listed(parts), _listed(set_aside), ledger, dict(counters))


def _listed(files: Sequence[Part]) -> tuple[PublishedPart, ...]:
    return tuple(PublishedPart(f.name, f.size, f.records, f.sha256) for f in files)


def success_bytes(success: Success) -> bytes:
    text = json.dumps(dataclasses.asdict(success), indent=2, sort_keys=True, ensure_ascii=False)
    return f"{_LONE.sub(_escape, text)}\n".encode()


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found.group()):04x}"


def parse_success(data: bytes) -> Success:
    """The content of a `_SUCCESS`, every field checked; ValueError for anything else.

    Part names are those that GoMR gives, so that no `_SUCCESS` can name a file elsewhere.
    """
    fields = parse(data)
    if not isinstance(fields, dict) or fields.get("format") != FORMAT:
        raise ValueError(f"not a {NAME} of format {FORMAT}")
    success = take(Success, fields)
    _check_names(success.parts, PART_NAME)
    _check_names(success.set_aside, BAD_NAME)
    if len({file.name for file in success.files}) != len(success.files):
        raise ValueError("a part is listed twice")
    return success


def read_success(directory: Path) -> Success:
    """What the output in `directory` is; UsageError when there is none, or no readable one."""
    path = directory / NAME
    try:
        return parse_success(read_regular(path, MAX_BYTES))
    except FileNotFoundError:
        raise UsageError(f"{directory} has no {NAME}: it is not a finished GoMR output") from None
    except OSError as error:
        from gomr_runtime.system.os_errors import os_cause  # not to look for inputs

        raise UsageError(f"cannot read {path}: {os_cause(error)}") from None
    except ValueError as error:
        raise UsageError(f"{path} is not of a GoMR output: {error}") from None


def promote(
    store: Store,
    run: str,
    parts: Sequence[Part],
    ledger: Ledger | None = None,
    counters: Mapping[str, int] | None = None,
    several: Several = map,
    set_aside: Sequence[Part] = (),
) -> tuple[Part, ...]:
    """Make the committed parts the run's output in the store, then create its `_SUCCESS`.

    Doing it again, as a restarted master does, changes nothing.

    Args:
        store: The store of the run.
        run: The run's id.
        parts: The committed parts, with the keys of the attempts' data.
        ledger: The run's balanced books, for `_SUCCESS`.
        counters: The user's counters, for `_SUCCESS`.
        several: Applies each step to the parts: `map`, or `at_once` for a far store.
        set_aside: The files of bad records, which become part of the output.

    Returns:
        The parts, with their keys in the output.

    Raises:
        PartLost: A part is missing or has another size.
        RunConflict: Another result of this run stands already.
    """
    success = success_of(run, parts, ledger or Ledger(), counters or {}, set_aside)
    content = success_bytes(success)
    _check_no_other(store, run, content)
    made = tuple(several(partial(_promote_part, store, run), (*parts, *set_aside)))
    if not store.create(layout.success(run), content):
        _check_no_other(store, run, content)
    _check_still_there(store, run, made)
    return made[: len(parts)]


def _check_still_there(store: Store, run: str, parts: Sequence[Part]) -> None:
    """PartLost, and no `_SUCCESS`, where the store has lost parts meanwhile."""
    try:
        listed = {found.key for found in store.list(layout.output_prefix(run))}
        check_parts(store, run, [part for part in parts if part.key not in listed])
    except PartLost:
        store.delete(layout.success(run))
        raise
    except StorageError:  # it does not answer just now: each part was there a moment ago
        return


def _check_no_other(store: Store, run: str, content: bytes) -> None:
    """RunConflict when another `_SUCCESS` stands: the parts that it lists must stay."""
    try:
        found = store.get(layout.success(run))
    except KeyError:
        return
    if found != content:
        raise RunConflict(
            f"{layout.success(run)} in {store.url} stands already and lists another result: "
            "start the job under another --run-id"
        )


def check_parts(store: Store, run: str, parts: Sequence[Part], several: Several = map) -> None:
    """Check that every part is in the store, under its present key and with its size.

    Args:
        store: The store of the run.
        run: The run's id.
        parts: The parts to look for.
        several: Applies the check to the parts: `map`, or `at_once` for a far store.

    Raises:
        PartLost: A part is missing or has another size.
    """
    for _ in several(partial(_check_part, store, run), parts):
        pass


def _check_part(store: Store, run: str, part: Part) -> None:
    try:
        size = store.info(part.key).size
    except KeyError:
        raise PartLost(f"{part.name} of run {run}: {part.key} is missing") from None
    if size != part.size:
        raise PartLost(
            f"{part.key} in {store.url} has {size} bytes, its attempt reported {part.size}"
        )


def _promote_part(store: Store, run: str, part: Part) -> Part:
    target = layout.output_prefix(run) + part.name
    try:
        if part.key != target:
            store.copy(part.key, target)
    except KeyError as error:
        raise PartLost(f"{part.name} of run {run}: {error.args[0]} is missing") from None
    made = dataclasses.replace(part, key=target)
    _check_part(store, run, made)
    return made


def _check_names(files: Sequence[PublishedPart], pattern: re.Pattern[str]) -> None:
    for file in files:
        if not pattern.fullmatch(file.name):
            raise ValueError(f"{shown(file.name)} is not the name of a part")
