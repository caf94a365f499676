"""`python worker.py` as a person types it, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.flow.command import clean_environ

HEAD = "import os, signal, sys, time\nimport gomr_runtime as gomr\n"
RUN = "\ngomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=gomr.sum, input=gomr.lines))\n"
TEXT = "a b\nb c\n"


def mapper(body: str) -> str:
    """A worker file whose mapper does `body` with each line, then counts it."""
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    return f"{HEAD}\ndef mapper(ctx, line: str) -> None:\n{lines}    ctx.emit(line, 1)\n{RUN}"


@dataclass
class Command:
    """A folder with a worker file and its input, in which commands are run."""

    folder: Path
    source: str
    text: str = TEXT

    def __post_init__(self) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "worker.py").write_text(self.source, encoding="utf-8", newline="")
        (self.folder / "input.txt").write_text(self.text)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def start(
        self,
        *arguments: str | bytes,
        stdin: int | IO[Any] | None = subprocess.DEVNULL,
        stdout: int | IO[Any] | None = subprocess.PIPE,
        stderr: int | IO[Any] | None = subprocess.PIPE,
        environ: dict[str, str] | None = None,
        through: str = "",
    ) -> subprocess.Popen[bytes]:
        """through: what a shell does with the command `"$@"`, such as `ulimit -n 32; exec "$@"`."""
        given: list[str | bytes] = [sys.executable, "worker.py"]
        if "--input" not in arguments:
            given += ["--input", "input.txt"]
        if b"--output" not in map(os.fsencode, arguments):
            given += ["--output", "out"]
        shell: list[str | bytes] = ["/bin/sh", "-c", through, "sh"] if through else []
        return subprocess.Popen(
            [*shell, *given, *arguments],
            cwd=self.folder,
            env=clean_environ() | {"PYTHONUNBUFFERED": ""} | (environ or {}),
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )

    def run(self, *arguments: str | bytes, **how: Any) -> Done:
        process = self.start(*arguments, **how)
        out, err = process.communicate(timeout=120)
        return Done(process.returncode, out or b"", err or b"")

    def rows(self) -> list[str]:
        """Every line of the output, which stands."""
        assert (self.out / "_SUCCESS").is_file()
        parts = sorted(self.out.glob("output-*"))
        return [line for part in parts for line in part.read_text().splitlines()]


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def told(self) -> str:
        return self.stderr.decode()

    @property
    def answer(self) -> dict[str, Any]:
        """The one JSON object that is all of stdout."""
        [line] = self.stdout.splitlines()
        found = json.loads(line)
        assert isinstance(found, dict)
        return found

    @property
    def error(self) -> str:
        """The one line that says why, without `gomr: `."""
        [line] = [line for line in self.told.splitlines() if line.startswith("gomr: ")]
        return line.removeprefix("gomr: ")
