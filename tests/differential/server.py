"""A process that runs one program after the other: `plain`, or `engine` (GOMR_PURE says which).

It reads a request a line and answers with a line, both JSON; bytes travel as latin-1.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import runpy
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.differential.plain.api import forget

SMALL = {
    "small_rows": 6,
    "frame_rows": 4,
    "frame_bytes": 200,
    "giant_rows": 5,
    "drain_pairs": 8,
    "widest": 3,
}


@dataclass(frozen=True)
class Request:
    """How to run the program in `folder`.

    how: `testing` (gomr_runtime.testing), `command` (the command line, in the server's own
    process), `workers` (the command line with two worker processes); for the plain server `fine`
    or `coarse`. tight: small buffers, so that little data takes the ways of much. defect: of
    `defects.DEFECTS`, which the engine then has.
    """

    folder: str
    how: str
    inputs: list[str]
    params: dict[str, str] = field(default_factory=dict)
    mappers: int = 1
    reducers: int = 1
    output_format: str = "text"
    skip: int = 0
    tight: bool = False
    defect: str = ""


@dataclass
class Answer:
    """What came of it. defect: a traceback, where something failed that may not. pairs: their
    reprs, None where only bytes are known. books: those that are the same for every plan."""

    code: int = 0
    message: str = ""
    defect: str = ""
    refused: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    pairs: list[str] | None = None
    counters: dict[str, int] = field(default_factory=dict)
    books: dict[str, int] = field(default_factory=dict)


def plain(request: Request) -> Answer:
    from tests.differential.plain.job import Job, PlainRun

    job = Job(request.inputs, request.params, request.reducers, request.output_format, request.skip)
    done = PlainRun(Path(request.folder), job, fine=request.how == "fine").run()
    return Answer(
        code=int(bool(done.refused)),
        refused=done.refused,
        parts=[part.decode("latin-1") for part in done.parts],
        pairs=[repr(pair) for part in done.pairs for pair in part],
        counters=done.counters,
        books={"map_out": done.map_out, "groups": done.groups, "set_aside": done.set_aside},
    )


def engine(request: Request) -> Answer:
    import pytest

    from tests.differential.defects import DEFECTS
    from tests.unit.support.dataflow_job import Limits

    with contextlib.ExitStack() as stack:
        if request.tight:
            stack.enter_context(Limits(**SMALL).applied())
        if request.defect:
            DEFECTS[request.defect](stack.enter_context(pytest.MonkeyPatch.context()))
        return HOWS[request.how](request)


def in_testing(request: Request) -> Answer:
    from gomr_runtime.errors import GomrError
    from gomr_runtime.testing import run_local

    (directory,) = request.inputs
    try:
        result = run_local(
            Path(request.folder) / "worker.py",
            Path(request.folder) / directory,
            params=request.params,
            mappers=request.mappers,
            reducers=request.reducers,
            output_format=request.output_format,  # type: ignore[arg-type]
            skip_bad_records=request.skip,
        )
    except GomrError as error:
        return Answer(error.exit_code, str(error))
    return Answer(
        parts=[part.decode("latin-1") for part in result.parts],
        pairs=list(map(repr, result.pairs)),
        counters=result.counters,
        books=books_of(asdict(result.ledger)),
    )


def by_command(request: Request) -> Answer:
    """`python worker.py ...`, without another process."""
    output, argv = command_line(request)
    said = io.StringIO()
    code = 0
    given, sys.argv = sys.argv, argv
    sys.path.insert(0, request.folder)  # as `python worker.py` does
    try:
        with contextlib.redirect_stderr(said):
            runpy.run_path("worker.py", run_name="__main__")
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.argv = given
    if code:
        return Answer(code, said.getvalue())
    return published(output)


def by_workers(request: Request) -> Answer:
    """`python worker.py --workers 2 ...`: a master, two workers and their children."""
    output, argv = command_line(request)
    done = subprocess.run(
        [sys.executable, *argv, "--workers", "2"],
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=120,
        check=False,
    )
    if done.returncode:
        return Answer(done.returncode, done.stderr)
    return published(output)


def command_line(request: Request) -> tuple[Path, list[str]]:
    """Where the output goes, and the arguments."""
    output = Path(request.folder) / f"out-{os.getpid()}-{request.how}"
    argv = ["worker.py", "-q", "--output", str(output), "--mappers", str(request.mappers)]
    argv += ["--reducers", str(request.reducers), "--output-format", request.output_format]
    argv += [part for name in request.inputs for part in ("--input", name)]
    argv += [part for n, v in request.params.items() for part in ("--param", f"{n}={v}")]
    argv += ["--skip-bad-records", str(request.skip)] if request.skip else []
    return output, argv


def published(output: Path) -> Answer:
    """What an output directory holds."""
    success = json.loads((output / "_SUCCESS").read_bytes())
    parts = [(output / part["name"]).read_bytes() for part in success["parts"]]
    return Answer(
        parts=[part.decode("latin-1") for part in parts],
        counters=success["counters"],
        books=books_of(success["ledger"]),
    )


def books_of(ledger: dict[str, int]) -> dict[str, int]:
    return {
        "map_out": ledger["map_out"],
        "groups": ledger["reduce_groups"],
        "set_aside": ledger["set_aside"],
    }


HOWS: dict[str, Callable[[Request], Answer]] = {
    "testing": in_testing,
    "command": by_command,
    "workers": by_workers,
}


def answered(run: Callable[[Request], Answer], request: Request) -> Answer:
    """The answer, with this process left as it was for the next program."""
    search = sys.path[:]
    os.chdir(request.folder)
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            return run(request)
    except BaseException:  # noqa: BLE001  (whatever it is, it is what was looked for)
        return Answer(code=-1, defect=traceback.format_exc())
    finally:
        os.chdir("/")
        sys.path[:] = search
        forget(Path(request.folder))


def main(which: str) -> None:
    run = {"plain": plain, "engine": engine}[which]
    sys.dont_write_bytecode = True
    channel = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what user code prints is no answer
    for line in sys.stdin:
        fields: dict[str, Any] = json.loads(line)
        answer = answered(run, Request(**fields))
        channel.write(json.dumps(asdict(answer)) + "\n")
        channel.flush()


if __name__ == "__main__":
    main(sys.argv[1])
