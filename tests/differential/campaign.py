"""Programs through the plain version and the engines, and what is wrong with what came out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

from tests.differential.contents import stored
from tests.differential.plain.kinds import KINDS
from tests.differential.program import Program
from tests.differential.server import Answer, Request
from tests.differential.source import source_of

ROOT = Path(__file__).parents[2]
ENGINES = ("compiled", "pure")
COMMAND_EVERY = 5
"""One program of so many goes through the command line, in the server's process."""
MAYBE = {
    "combiner gives another key": KINDS["combiner_key"],
    "combiner raises": KINDS["raised"],
    "combiner gives nothing": KINDS["combiner_nothing"],
}
"""Faults that may or may not show: a combiner runs any number of times."""
AHEAD = 4
"""So many programs are sent before the first answer is read."""


class Server:
    """A process of `server.py`. `ask` answers in the order of the requests."""

    def __init__(self, which: str, **environment: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.differential.server", which],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "random", **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def send(self, request: Request) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asdict(request)) + "\n")
        self._process.stdin.flush()

    def receive(self) -> Answer:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the server ended with {self._process.wait()}")
        return Answer(**json.loads(line))

    def close(self) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.stdout.close()  # type: ignore[union-attr]
        self._process.wait()


@dataclass(frozen=True)
class Run:
    """One run of a program: on which engine, how and with how many map tasks."""

    engine: str
    how: str
    mappers: int
    tight: bool = False
    defect: str = ""

    def __str__(self) -> str:
        small = ", small buffers" if self.tight else ""
        return f"{self.engine}, {self.how}, {self.mappers} map tasks{small}"


@dataclass(frozen=True)
class Difference:
    run: Run
    what: str
    expected: Answer
    got: Answer


def runs_of(program: Program) -> list[Run]:
    """Which runs a program gets: each engine, other map tasks on each."""
    random = Random(program.seed * 7 + 1)
    counts = random.sample(range(1, 8), 2)
    how = "command" if random.randrange(COMMAND_EVERY) == 0 else "testing"
    if program.arguments != ("in",):
        how = "command"
    return [
        Run(engine, how, mappers, program.tight)
        for engine, mappers in zip(ENGINES, counts, strict=True)
    ]


@dataclass(frozen=True)
class _Sent:
    """A program whose answers are on their way."""

    program: Program
    folder: Path
    runs: list[Run]


class Campaign:
    """The servers, and a folder for each program."""

    def __init__(self) -> None:
        shared = Path("/dev/shm")
        self.folder = Path(
            tempfile.mkdtemp(prefix="gomr-differential-", dir=shared if shared.is_dir() else None)
        )
        given = {"TMPDIR": str(self.folder)}
        self._plain = Server("plain", **given)
        self._engines = {
            "compiled": Server("engine", GOMR_PURE="0", **given),
            "pure": Server("engine", GOMR_PURE="1", **given),
        }

    def __enter__(self) -> Campaign:
        return self

    def __exit__(self, *_: object) -> None:
        for server in (self._plain, *self._engines.values()):
            server.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def difference(self, program: Program, runs: list[Run] | None = None) -> Difference | None:
        """The first thing that is wrong with it. runs: those to make, else `runs_of`."""
        return self._settle(self._send(program, runs or runs_of(program)))

    def differences(self, programs: Iterable[Program]) -> Iterator[tuple[Program, Difference]]:
        """All that are wrong, some programs being on their way at once."""
        waiting: deque[_Sent] = deque()
        for program in programs:
            waiting.append(self._send(program, runs_of(program)))
            if len(waiting) > AHEAD:
                yield from self._found(waiting.popleft())
        while waiting:
            yield from self._found(waiting.popleft())

    def depends_on_splits(self, program: Program) -> bool:
        """Whether the plain version itself gives another result for other splits."""
        sent = self._send(program, [])
        fine = self._plain.receive()
        self._plain.send(replace(request_of(program, sent.folder), how="coarse"))
        coarse = self._plain.receive()
        shutil.rmtree(sent.folder)
        if fine.refused or coarse.refused:
            return set(fine.refused) != set(coarse.refused)
        return bool(wrong(program, fine, coarse))

    def _found(self, sent: _Sent) -> Iterator[tuple[Program, Difference]]:
        found = self._settle(sent)
        if found is not None:
            yield sent.program, found

    def _send(self, program: Program, runs: list[Run]) -> _Sent:
        folder = Path(tempfile.mkdtemp(prefix="program-", dir=self.folder))
        write(program, folder)
        request = request_of(program, folder)
        self._plain.send(replace(request, how="fine"))
        for run in runs:
            made = replace(
                request,
                how=run.how,
                mappers=run.mappers,
                tight=run.tight,
                defect=run.defect,
            )
            self._engines[run.engine].send(made)
        return _Sent(program, folder, runs)

    def _settle(self, sent: _Sent) -> Difference | None:
        expected = self._plain.receive()
        answers = [self._engines[run.engine].receive() for run in sent.runs]
        shutil.rmtree(sent.folder)
        if expected.defect:
            seed = sent.program.seed
            raise RuntimeError(f"seed {seed}: the plain version fails: {expected.defect}")
        for run, got in zip(sent.runs, answers, strict=True):
            what = wrong(sent.program, expected, got)
            if what:
                return Difference(run, what, expected, got)
        return None


def write(program: Program, folder: Path) -> None:
    """The program's files as a person would have them."""
    contents = {name: text.encode() for name, text in source_of(program).items()}
    contents |= {file.name: stored(file) for file in program.files}
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def request_of(program: Program, folder: Path) -> Request:
    return Request(
        folder=str(folder),
        how="",
        inputs=list(program.arguments),
        params=dict(program.params),
        reducers=program.reducers,
        output_format=program.output_format,
        skip=program.skip,
    )


def wrong(program: Program, expected: Answer, got: Answer) -> str:
    """What is wrong with an answer; "" for nothing."""
    if got.defect:
        return "a traceback of ours"
    if program.fault in MAYBE and MAYBE[program.fault].fits(got.code, got.message):
        return ""
    if expected.refused:
        kinds = [*expected.refused]
        if program.output_format == "csv":  # which of two faults of a pair is named first is open
            kinds += ["column_types", "column_containers", "column_known"]
        if "key_nan" in kinds and program.output_format == "jsonl":
            kinds.append("json_nan")
        fits = any(KINDS[kind].fits(got.code, got.message) for kind in kinds)
        return "" if fits else f"expected to be refused: {' or '.join(expected.refused)}"
    if got.code:
        return "refused"
    if comparable(program, got.parts) != comparable(program, expected.parts):
        return "other output"
    if got.pairs is not None and program.placed and got.pairs != expected.pairs:
        return "other pairs"
    # What a record that is set aside has counted before it failed is not promised.
    counted = not expected.books["set_aside"]
    if counted and without_zeros(got.counters) != without_zeros(expected.counters):
        return "other counters"
    return "" if got.books == expected.books else "other books"


def comparable(program: Program, parts: list[str]) -> Any:
    """Parts as far as they are promised."""
    if program.placed and program.reducer:
        return parts
    if program.output_format == "csv":
        parts = [part.removeprefix("key,value\r\n") for part in parts]
    if program.partitioner == "hash":
        return Counter(line for part in parts for line in part.split("\n"))
    return "".join(parts)


def without_zeros(counters: dict[str, int]) -> dict[str, int]:
    return {name: count for name, count in counters.items() if count}
