"""How a command ends: the summary or the error for people on stderr, for programs on stdout."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Sequence
from contextlib import suppress

from gomr_runtime.errors import Cancelled, EnvironmentFailed, GomrError
from gomr_runtime.model.summary import Summary
from gomr_runtime.options.declared import RunOptions
from gomr_runtime.runs.progress import summary_json, summary_text
from gomr_runtime.system.streams import answer, say, say_error
from gomr_runtime.system.unforeseen import unforeseen


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
    found = unforeseen(error)
    if {"-v", "--verbose"} & set(argv):
        found.detail = "".join(traceback.format_exception(error)).rstrip()
    return found
