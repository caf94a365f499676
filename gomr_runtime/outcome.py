"""How a command ends: the summary or the error for people on stderr, for programs on stdout."""

from __future__ import annotations

import dataclasses
import errno
import os
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from gomr_runtime.errors import Cancelled, EnvironmentFailed, GomrError
from gomr_runtime.job import Summary
from gomr_runtime.options import RunOptions
from gomr_runtime.progress import summary_json, summary_text
from gomr_runtime.storage.causes import os_cause
from gomr_runtime.streams import answer, say, say_error

_THREADS = "can't start new thread"  # Python has no class of its own for it


def tell_success(summary: Summary, output: str, options: RunOptions) -> int:
    """The books for people, or as JSON. Returns the exit code; EnvironmentFailed when the JSON
    cannot be written."""
    if options.json:
        try:
            answer(summary_json(summary, output))
        except EnvironmentFailed as error:
            raise EnvironmentFailed(f"{error}; the output is in {output}") from None
    elif not options.quiet:
        say(summary_text(summary, output))
    return summary.exit_code


def tell_failure(error: GomrError, *, as_json: bool, run: str = "") -> int:
    """One line for the error, the user's own frames after it; as JSON on stdout, too, if asked.
    Returns the exit code. run: the run's id where there is one."""
    say_error("gomr", error)
    if as_json:
        state = "cancelled" if isinstance(error, Cancelled) else "failed"
        summary = error.summary or Summary(run, state)  # type: ignore[arg-type]
        told = dataclasses.replace(
            summary,
            exit_code=error.exit_code,
            message=str(error),
            detail=error.detail,
            failure=error.failure,
        )
        with suppress(EnvironmentFailed):  # the person knows, and the exit code tells programs
            answer(summary_json(told, ""))
    return error.exit_code


def unexpected(error: Exception, argv: Sequence[str]) -> GomrError:
    """What nobody foresaw, as an error that says what to do: a limit of this machine, or a defect
    of ours, of which `-v` tells more."""
    found = _unexpected(error)
    if {"-v", "--verbose"} & set(argv):
        found.detail = "".join(traceback.format_exception(error)).rstrip()
    return found


def _unexpected(error: Exception) -> GomrError:
    if isinstance(error, MemoryError):
        return EnvironmentFailed("out of memory: raise the limit of this process (ulimit -v)")
    if isinstance(error, RuntimeError) and _THREADS in str(error):
        return EnvironmentFailed(
            "no thread can be started: raise the limits of this process (ulimit -u, ulimit -v)"
        )
    if isinstance(error, FileNotFoundError) and _here_is_gone():
        return EnvironmentFailed("the current directory was removed: change to another one")
    if isinstance(error, OSError):
        where = f"{error.filename}: " if isinstance(error.filename, str) else ""
        return EnvironmentFailed(f"{where}{_limit(error)}")
    if isinstance(error, ImportError):
        return EnvironmentFailed(f"cannot import {error.name or 'a module'}: {error}")
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" at {Path(f.filename).name}:{f.lineno}" for f in last)
    return EnvironmentFailed(
        f"defect in gomr, please report it: {type(error).__name__}{where}: {error}"
    )


def _here_is_gone() -> bool:
    try:
        os.getcwd()
    except OSError:
        return True
    return False


def _limit(error: OSError) -> str:
    if error.errno == errno.EAGAIN:
        return "no process can be started: raise the limit (ulimit -u)"
    if error.errno == errno.ENOMEM:
        return "out of memory: raise the limit of this process (ulimit -v)"
    return os_cause(error) if error.errno else str(error) or os.strerror(errno.EIO)
