"""The command line of the flow: `python -m flows.gomr`. Nothing heavy is imported before argv,
the worker file and the inputs have been checked."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import NoReturn

from flows.clean import clean_command
from flows.server import choose_server
from gomr_runtime.errors import EXIT_OK, EXIT_SIGTERM, Cancelled, GomrError
from gomr_runtime.job import Summary
from gomr_runtime.options import RunOptions, parse
from gomr_runtime.place import ELSEWHERE
from gomr_runtime.progress import output_of, summary_json, summary_text


def main(argv: list[str]) -> int:
    """Do what `argv` says and return the exit code; an error is one line on stderr."""
    signal.signal(signal.SIGTERM, _terminate)
    as_json = "--json" in argv
    try:
        if argv[:1] == ["clean"]:
            return clean_command(argv[1:])
        options = parse(argv, inline=False)
        as_json = options.json
        return run(*checked(options))
    except GomrError as error:
        return fail(error, as_json)
    except KeyboardInterrupt:
        return fail(Cancelled("interrupted"), as_json)
    except SystemExit as ending:
        if ending.code == EXIT_SIGTERM:
            fail(Cancelled("ended by SIGTERM"), as_json)
        raise


def checked(options: RunOptions) -> tuple[RunOptions, Path]:
    """The options with a run id, and where the output goes. Whatever can be refused without
    asking a cluster is refused here, before anything is started or imported."""
    from gomr_runtime.prepare import DEFAULT_OUTPUTS, new_run_id, prepare  # not for --help
    from tasks.cluster.contexts import check_named, may_go_to_cluster, read_contexts

    if options.worker.startswith("s3://"):
        run = options.resume or options.run_id or new_run_id(Path(options.worker))
        return replace(options, run_id=run), Path(options.output or Path(DEFAULT_OUTPUTS, run))
    named, contexts = options.context or options.credentials, read_contexts()
    place = ELSEWHERE if may_go_to_cluster(options.runtime, named, contexts) else None
    prepared = prepare(options, place, read_stdin=False)
    if place is not None and not options.credentials:
        check_named(options.runtime, options.context, contexts)
    return replace(options, run_id=prepared.job.run), prepared.output


def run(options: RunOptions, output: Path) -> int:
    """Run the flow and tell how it ended; raises GomrError when the run failed."""
    server = choose_server(os.environ, verbose=options.verbose)
    if not options.quiet:
        say(server)

    from flows.gomr import run_flow

    summary = run_flow(options)
    where = output_of(output) if options.collect else f"store, outputs/{summary.run}"
    if options.json:
        print(summary_json(summary, where))  # noqa: T201
    elif not options.quiet:
        say(summary_text(summary, where))
    return EXIT_OK


def fail(error: GomrError, as_json: bool) -> int:
    """One line on stderr, then the user's own frames; the same as JSON on stdout if asked."""
    say(f"gomr: {error}")
    if error.detail:
        say(error.detail)
    if as_json:
        state = "cancelled" if isinstance(error, Cancelled) else "failed"
        summary = Summary("", state, error.exit_code, str(error), error.detail)  # type: ignore[arg-type]
        print(summary_json(summary, ""))  # noqa: T201
    return error.exit_code


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(EXIT_SIGTERM)
