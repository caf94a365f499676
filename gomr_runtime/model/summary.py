"""How a run ended. Plain values that travel as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gomr_runtime.codec.wire_types import (
    Count,
    Counters,
    ExitCode,
    Few,
    Index,
    Kinds,
    Many,
    Name,
    RunName,
    Seconds,
    Sha256,
    Text,
    UserTotal,
    Word,
)
from gomr_runtime.model.task import BadRecord, Frame, Ledger, Place


@dataclass(frozen=True, slots=True)
class Failure:
    """What ended a run, as `--json` tells it.

    kind: a `TaskFailure.kind`, or what was wrong outside of tasks: `usage`, `books`, `permission`,
    `environment`, `deadline`, `conflict`, `cancelled`. message: one line. task: such as `map-3`,
    "" for none; attempt: its number, from 1. record: where it is, if it was one record. frames:
    the user's own calls, the innermost last.
    """

    kind: Word
    message: Text = ""
    task: Word = ""
    attempt: Index = 0
    record: Place | None = None
    frames: Few[Frame] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """One part of the output; `name` is its file name."""

    name: Name
    key: Name
    size: Count
    records: Count
    sha256: Sha256


@dataclass(frozen=True, slots=True)
class Summary:
    """A finished run as `Run.Summary`, `_SUCCESS` and `--json` tell it.

    bad_records: the first few of those set aside; set_aside: the files with all of them. Times are
    in seconds.
    """

    run: RunName
    state: Literal["succeeded", "failed", "cancelled"]
    exit_code: ExitCode = 0
    message: Text = ""
    detail: Text = ""
    parts: Many[Part] = ()
    ledger: Ledger = Ledger()  # noqa: RUF009  (it is frozen)
    counters: Counters[UserTotal] = field(default_factory=dict)
    bad_records: Few[BadRecord] = ()
    workers: Index = 0
    mappers: Index = 0
    reducers: Index = 0
    attempts: Count = 0
    lost_workers: Count = 0
    seconds: Seconds = 0.0
    cpu_seconds: Seconds = 0.0
    peak_rss: Count = 0
    phases: Kinds[Seconds] = field(default_factory=dict)
    profile: Kinds[Kinds[Seconds]] = field(default_factory=dict)
    failure: Failure | None = None
    set_aside: Many[Part] = ()

    @property
    def files(self) -> tuple[Part, ...]:
        """Every file of the output: its parts, and those with the records set aside."""
        return self.parts + self.set_aside
