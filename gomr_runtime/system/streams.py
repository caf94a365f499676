"""The standard streams of a process: results on stdout, all else on stderr, wherever they lead.

What is printed never ends a run: a terminal that went away, a full disk, a pipe nobody reads and
a descriptor that was closed before we began swallow it. A result that cannot be written is told.
"""

from __future__ import annotations

import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from gomr_runtime.errors import EnvironmentFailed, GomrError, UsageError, printable
from gomr_runtime.system.os_errors import os_cause

STDOUT, STDERR = 1, 2

_closed: set[int] = set()
"""The standard descriptors that were closed when the process began."""
_results: int | None = None
"""What stdout was when it was set apart for results; None while it was not."""


class _Descriptor(io.RawIOBase):
    """A descriptor to which writing cannot fail: what it does not take is lost."""

    mode = "wb"

    def __init__(self, number: int, name: str) -> None:
        self._number = number
        self.name = name

    def fileno(self) -> int:
        return self._number

    def isatty(self) -> bool:
        return os.isatty(self._number)

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        with suppress(OSError):
            _write_all(self._number, data)
        return memoryview(data).nbytes


def open_streams() -> None:
    """Make the standard streams of this process fit for a run, at its beginning: closed ones lead
    nowhere from now on, so that no file of ours gets their numbers, and printing cannot fail."""
    given = (sys.__stdin__, sys.__stdout__, sys.__stderr__)
    for number, stream in enumerate(given):
        if stream is None:
            _closed.add(number)
            if not _is_open(number):
                os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free: this one
                os.set_inheritable(number, True)
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: SIM115
    sys.stdout = _tolerant(sys.stdout, sys.__stdout__, STDOUT)
    sys.stderr = _tolerant(sys.stderr, sys.__stderr__, STDERR)


@contextmanager
def results_apart(*, as_json: bool) -> Iterator[None]:
    """Keep stdout for `answer` within the block: what user code, its subprocesses and its
    libraries write there goes to stderr, also what this process has not flushed yet. A terminal
    stays what it is, for debuggers, unless the result is JSON."""
    global _results
    if STDOUT in _closed or _results is not None or not (as_json or not os.isatty(STDOUT)):
        yield
        return
    _results = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    try:
        _flush_stdout()
        yield
        _flush_stdout()
    finally:
        os.dup2(_results, STDOUT)
        os.close(_results)
        _results = None


def check_results() -> None:
    """UsageError when a result has nowhere to go."""
    if STDOUT in _closed:
        raise UsageError("--json: standard output is closed")


def _flush_stdout() -> None:
    for stream in (sys.__stdout__, sys.stdout):
        if stream is not None:
            with suppress(OSError, ValueError):
                stream.flush()


def say(text: str) -> None:
    """Print lines for the person, on stderr. Control characters and lone surrogates are escaped."""
    print(printable(text), file=sys.stderr, flush=True)  # noqa: T201


def say_error(who: str, error: GomrError) -> None:
    """One line for the error, the lines of its detail after it."""
    say(f"{who}: {error}")
    if error.detail:
        say(error.detail)


def answer(text: str) -> None:
    """Print a line of the result, on stdout. EnvironmentFailed when it cannot be written."""
    try:
        if _results is None:
            print(text, flush=True)  # noqa: T201
        else:
            _write_all(_results, f"{text}\n".encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise EnvironmentFailed(
            f"standard output: {os_cause(error)}; the result cannot be written"
        ) from None


def _tolerant(stream: TextIO | None, original: TextIO | None, number: int) -> TextIO:
    """`stream` where it is not the interpreter's own, else what takes its place."""
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")
    if stream is not original:
        return stream
    raw: Any = io.BufferedWriter(_Descriptor(number, stream.name))
    return io.TextIOWrapper(raw, stream.encoding, errors="backslashreplace", line_buffering=True)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _write_all(number: int, data: Any) -> None:
    view = memoryview(data).cast("B")
    while view:
        try:
            view = view[os.write(number, view) :]
        except BlockingIOError:  # somebody made the terminal that we share non-blocking
            select.select([], [number], [])
