"""Where a run takes place: on this machine, or on a cluster that others fill in."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from gomr_runtime.errors import UsageError
from gomr_runtime.model.inputs.files import InputFile
from gomr_runtime.options.arguments import flag
from gomr_runtime.options.declared import FIELDS, RunOptions
from gomr_runtime.runs.claims import DEFAULT_STORE


def list_s3(url: str, own_store: str = "") -> Iterable[InputFile]:
    """The inputs at an `s3://` address, with the S3 settings of the environment."""
    from gomr_runtime.storage.inputs.s3_files import list_inputs

    return list_inputs(url, own_store=own_store)


@dataclass(frozen=True, slots=True)
class Place:
    """notes: for the person, which runtime it is and why. store: a directory or an `s3://`
    address. workers: how many there are unless the person says. most_workers: how many fit, None
    for any number. on_cluster: the store is not open yet; what lies in it is checked later."""

    notes: tuple[str, ...]
    store: str
    workers: int
    most_workers: int | None = None
    on_cluster: bool = False
    list_s3: Callable[[str, str], Iterable[InputFile]] = list_s3


ELSEWHERE = Place((), "", 1, on_cluster=True, list_s3=lambda _, __: ())
"""A cluster that nobody has asked yet."""


def this_machine(options: RunOptions, note: str = "runtime: local") -> Place:
    """Return the place of a run by processes of this machine.

    Args:
        options: The options of the run.
        note: The line that tells the person where the run goes.

    Raises:
        UsageError: An option needs a cluster.
    """
    for option in FIELDS.values():
        for_a_cluster = option.metadata["group"] == "kubernetes"
        if for_a_cluster and getattr(options, option.name) != option.default:
            raise UsageError(
                f"{flag(option)} is for a cluster, and this is {note}: "
                "add --runtime kubernetes, or leave it out"
            )
    return Place((note,), store_url(options), cores())


def store_url(options: RunOptions) -> str:
    """The run's store: an absolute directory, or the `s3://` address as given."""
    if options.store.startswith("s3://"):
        return options.store
    return str(Path(options.store or DEFAULT_STORE).absolute())


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0))
