"""What a run tells its person: progress while it runs, the books and the parts at its end."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import Any, Protocol, TextIO

from gomr_runtime.errors import one_line, printable
from gomr_runtime.model.quantities import format_duration, format_size
from gomr_runtime.model.summary import Summary
from gomr_runtime.model.task import Ledger

STEP = 0.1  # share of a phase between two plain lines
ALMOST = 0.99  # of a phase whose input is read, while not all of its tasks are committed
MOST_BAD = 10  # lines about bad records
MOST_COUNTERS = 100  # lines about counters
BARS = {"upload": "upload", "sample": "sampling", "map": "map", "reduce": "reduce"}
"""The phases that have a bar, and what it is called."""


class PhaseState(Protocol):
    """How far a phase is; `gomr.v1.PhaseProgress` is one. done and total: bytes or pairs."""

    @property
    def phase(self) -> str: ...
    @property
    def tasks(self) -> int: ...
    @property
    def committed(self) -> int: ...
    @property
    def running(self) -> int: ...
    @property
    def failed_attempts(self) -> int: ...
    @property
    def workers(self) -> int: ...
    @property
    def done(self) -> int: ...
    @property
    def total(self) -> int: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Transfer:
    """How far an upload is, in bytes."""

    done: int
    total: int
    phase: str = "upload"
    tasks: int = 1
    committed: int = 0
    running: int = 1
    failed_attempts: int = 0
    workers: int = 0


class Reporter(Protocol):
    """Where progress goes.

    A log line of the level "error" is how the run ended. It is not shown: the command's own last
    line says so, with what to do next.
    """

    def log(self, level: str, text: str) -> None: ...
    def update(self, state: PhaseState) -> None: ...
    def close(self) -> None: ...


def reporter(*, quiet: bool = False, stream: TextIO | None = None) -> Reporter:
    """Return the reporter that fits the stream: bars on a terminal, else plain lines.

    Args:
        quiet: Show nothing.
        stream: Where it writes, by default stderr.
    """
    stream = stream or sys.stderr
    if quiet:
        return Silent()
    if stream.isatty():
        return Bars(stream)
    return Lines(stream)


def fraction(state: PhaseState) -> float:
    """How much of the phase is done, from 0 to 1; 1 only when every task is committed."""
    share = state.committed / state.tasks if state.tasks else 0.0
    if state.total and share < 1.0:
        share = max(share, min(state.done / state.total, ALMOST))
    return share


def describe(state: PhaseState) -> str:
    """`7 of 9 tasks, 2 running, 1 failed attempt, 3 workers`."""
    if state.phase == "upload":
        return f"{format_size(state.done)} of {format_size(state.total)}"
    words = [f"{state.committed} of {_count(state.tasks, 'task')}", f"{state.running} running"]
    if state.failed_attempts:
        words.append(_count(state.failed_attempts, "failed attempt"))
    return ", ".join([*words, _count(state.workers, "worker")])


def amount(state: PhaseState) -> str:
    """What is done, in the unit of the phase: bytes of input for a map, pairs for a reduce."""
    return f"{state.done:,} pairs" if state.phase == "reduce" else format_size(state.done)


class Silent:
    """Errors reach the person by other ways."""

    def log(self, level: str, text: str) -> None: ...
    def update(self, state: PhaseState) -> None: ...
    def close(self) -> None: ...


class Lines:
    """One line an event worth telling: a log line, or a tenth of a phase."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._told: dict[str, float] = {}
        self._started: dict[str, float] = {}

    def log(self, level: str, text: str) -> None:
        if level != "error":
            self._say(text if level == "info" else f"{level}: {text}")

    def update(self, state: PhaseState) -> None:
        if state.phase not in BARS or not state.tasks:
            return
        share = fraction(state)
        now = time.monotonic()
        started = self._started.setdefault(state.phase, now)
        told = self._told.get(state.phase, 0.0)
        if share < told + STEP and not (share == 1.0 and told < 1.0):
            return
        self._told[state.phase] = share
        rate = state.done / max(now - started, 0.1)
        speed = f"{rate:,.0f} pairs" if state.phase == "reduce" else format_size(rate)
        self._say(f"{state.phase} {share:4.0%}  {describe(state)}, {speed}/s")

    def close(self) -> None:
        self._stream.flush()

    def _say(self, text: str) -> None:
        print(printable(text), file=self._stream, flush=True)


class Bars:
    """A bar a phase, by rich."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description:<8}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[amount]}"),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}"),
            console=Console(file=stream),
        )
        self._bars: dict[str, Any] = {}
        self._progress.start()

    def log(self, level: str, text: str) -> None:
        if level != "error":
            text = text if level == "info" else f"{level}: {text}"
            self._progress.console.print(printable(text), markup=False, highlight=False)

    def update(self, state: PhaseState) -> None:
        if state.phase not in BARS or not state.tasks:
            return
        if state.phase not in self._bars:
            self._bars[state.phase] = self._progress.add_task(
                BARS[state.phase], total=1.0, amount="", speed="", detail=""
            )
        bar = self._bars[state.phase]
        elapsed = self._progress.tasks[bar].elapsed or 0.0
        rate = state.done / elapsed if elapsed > 0.5 else 0.0
        speed = f"{rate:,.0f} pairs/s" if state.phase == "reduce" else f"{format_size(rate)}/s"
        self._progress.update(
            bar,
            completed=fraction(state),
            amount=amount(state),
            speed=speed if rate else "",
            detail=describe(state),
        )

    def close(self) -> None:
        self._progress.stop()


def books(ledger: Ledger) -> list[tuple[str, str]]:
    """The balanced books, line by line: what went in and what came out of each stage."""
    lines = [
        (
            "read",
            f"{_count(ledger.records_read, 'record')} ({format_size(ledger.bytes_read)}) = "
            f"{ledger.mapped:,} mapped + {ledger.set_aside:,} set aside"
            + (f" + {ledger.skipped:,} empty" if ledger.skipped else ""),
        ),
    ]
    away = ledger.combine_in - ledger.combine_out
    kept = f" - {away:,} combined away" if away else ""
    lines.append(
        ("mapped", f"{_count(ledger.map_out, 'pair')} emitted{kept} = {ledger.written:,} written")
    )
    if ledger.reduce_in:
        size = format_size(ledger.written_bytes)
        lines.append(
            (
                "reduced",
                f"{ledger.written:,} written ({size}) = {ledger.reduce_in:,} read by reducers, "
                f"{_count(ledger.reduce_groups, 'key')}",
            )
        )
    return [*lines, ("output", _count(ledger.reduce_out, "record"))]


def costs(summary: Summary) -> str:
    """Time, CPU, memory, tasks and workers on one line."""
    words = [
        f"{format_duration(summary.seconds)}",
        f"{format_duration(summary.cpu_seconds)} CPU",
        f"{format_size(summary.peak_rss)} peak memory",
        _count(summary.workers, "worker"),
        f"{_count(summary.mappers, 'map task')}",
        f"{_count(summary.reducers, 'reduce task')}",
        _count(summary.attempts, "attempt"),
    ]
    if summary.lost_workers:
        words.append(_count(summary.lost_workers, "lost worker"))
    return ", ".join(words)


def times(summary: Summary, kind: str) -> str:
    """Where the time of one kind of task went, on one line: the largest share first."""
    seconds = summary.profile[kind]
    spent = sorted(seconds.items(), key=lambda item: -item[1])
    return ", ".join(f"{name} {took:.1f} s" for name, took in spent if round(took, 1) or took > 0)


def summary_text(summary: Summary, output: str) -> str:
    """The end of a successful run for people; `output` is where its parts are."""
    size = sum(part.size for part in summary.parts)
    rows = [
        ("run", summary.run),
        *books(summary.ledger),
        ("took", costs(summary)),
        *[(f"in {kind}", times(summary, kind)) for kind in summary.profile],
        *counters(summary),
        *set_aside(summary, output),
        ("parts", f"{len(summary.parts)} in {output} ({format_size(size)})"),
    ]
    # Each on one line: a counter's name could look like several rows.
    return "\n".join(f"{name:>9}  {one_line(text)}" for name, text in rows)


def counters(summary: Summary) -> list[tuple[str, str]]:
    """The user's counters by name, a line each, as far as a person would read on."""
    rows = [("counter", f"{name} = {count:,}") for name, count in sorted(summary.counters.items())]
    if len(rows) <= MOST_COUNTERS:
        return rows
    more = len(rows) - MOST_COUNTERS
    return [*rows[:MOST_COUNTERS], ("counter", f"{more:,} more, in _SUCCESS and with --json")]


def set_aside(summary: Summary, output: str) -> list[tuple[str, str]]:
    """The first bad records, a line each, and where all of them are; ten lines at most."""
    count = summary.ledger.set_aside
    if not count:
        return []
    shown = summary.bad_records if count <= MOST_BAD else summary.bad_records[: MOST_BAD - 1]
    rows = [("set aside", f"{bad.source}, offset {bad.offset}: {bad.cause}") for bad in shown]
    if len(shown) < count:
        rows.append(("set aside", f"{count - len(shown):,} more; all are in {output}/_bad"))
    return rows


def summary_json(summary: Summary, output: str) -> str:
    """The summary and its output directory as one line of JSON, in ASCII: file names and what user
    code says may hold what no encoding has."""
    fields = dataclasses.asdict(summary) | {"output": output}
    return json.dumps(fields, sort_keys=True)


def output_of(path: Path) -> str:
    """`path` as the person would write it: relative below the current directory."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
