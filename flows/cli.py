"""The command line of the flow: `python -m flows.gomr`. Nothing heavy is imported before argv,
the worker file and the inputs have been checked."""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from flows.clean import clean_command
from flows.server import choose_server
from flows.temporary_server import TemporaryServer
from gomr_runtime.cli.outcome import tell_failure, tell_success, unexpected
from gomr_runtime.errors import EXIT_SIGINT, Cancelled, GomrError, UsageError
from gomr_runtime.options.arguments import flag
from gomr_runtime.options.declared import FIELDS, RunOptions, asks_for_json, parse
from gomr_runtime.runs.place import ELSEWHERE
from gomr_runtime.runs.progress import output_of
from gomr_runtime.system.signals import Ended, ended_by_signals
from gomr_runtime.system.streams import check_results, open_streams, results_apart, say


def main(argv: list[str]) -> int:
    """Do what `argv` says and return the exit code; an error is one line on stderr, and JSON on
    stdout where that is asked for."""
    open_streams()
    as_json = asks_for_json(argv)
    if argv[:1] == ["clean"]:
        return _command(argv, as_json)
    with results_apart(as_json=as_json):
        code = _command(argv, as_json)
    _leave_if_held_up(code)
    return code


def _command(argv: list[str], as_json: bool) -> int:
    run_id = ""
    try:
        with ended_by_signals():
            if argv[:1] == ["clean"]:
                return clean_command(argv[1:])
            options = parse(argv, inline=False)
            as_json = options.json
            if as_json:
                check_results()
            options, output = checked(options)
            run_id = options.run_id
            return run(options, output)
    except GomrError as error:
        return tell_failure(error, as_json=as_json, run=run_id)
    except KeyboardInterrupt as error:
        code = 128 + error.number if isinstance(error, Ended) else EXIT_SIGINT
        how = f"ended by {error}" if isinstance(error, Ended) else "interrupted"
        return tell_failure(Cancelled(how, exit_code=code), as_json=as_json, run=run_id)
    except Exception as error:  # noqa: BLE001  (a limit of the machine, or a defect of ours)
        return tell_failure(unexpected(error, argv), as_json=as_json, run=run_id)


def checked(options: RunOptions) -> tuple[RunOptions, Path]:
    """The options with a run id, and where the output goes. Whatever can be refused without
    asking a cluster is refused here, before anything is started or imported."""
    from gomr_runtime.runs.prepare import DEFAULT_OUTPUTS, new_run_id, prepare  # not for --help
    from k8s.api.contexts import check_named, may_go_to_cluster, read_contexts

    check_text(options)
    if options.worker.startswith("s3://"):
        run = options.resume or options.run_id or new_run_id(Path(options.worker))
        return replace(options, run_id=run), Path(options.output or Path(DEFAULT_OUTPUTS, run))
    named, contexts = options.context or options.credentials, read_contexts()
    place = ELSEWHERE if may_go_to_cluster(options.runtime, named, contexts) else None
    prepared = prepare(options, place, read_stdin=False)
    if place is not None and not options.credentials:
        check_named(options.runtime, options.context, contexts)
    return replace(options, run_id=prepared.job.run), prepared.output


def check_text(options: RunOptions) -> None:
    """UsageError for an option that is no text: Prefect records them all, and cannot record it."""
    for name, option in FIELDS.items():
        value = getattr(options, name)
        if isinstance(value, dict):
            value = (*value, *value.values())
        for word in value if isinstance(value, tuple) else (value,):
            if isinstance(word, str) and not _is_text(word):
                raise UsageError(
                    f"{flag(option)} {word!r} is not UTF-8, and Prefect, which records it, takes "
                    "nothing else: rename it, or run without Prefect: python worker.py --workers N"
                )


def _is_text(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def run(options: RunOptions, output: Path) -> int:
    """Run the flow and tell how it ended; raises GomrError when the run failed."""
    quietly = options.quiet
    server = choose_server(os.environ, verbose=options.verbose)
    with TemporaryServer(os.environ) if server.temporary else nullcontext() as temporary:
        if not quietly:
            say(server.line)
        from flows.run import run_flow  # takes seconds, in which a temporary server starts

        if temporary is not None:
            temporary.hide_password()
            temporary.wait()
        summary = run_flow(options, ignore if quietly else say)
    where = output_of(output) if options.collect else f"store, outputs/{summary.run}"
    return tell_success(summary, where, options)


def ignore(_text: str) -> None:
    """Says nothing."""


def _leave_if_held_up(code: int) -> None:
    """End the process here where threads of Prefect's would wait for its API first."""
    engine = sys.modules.get("tasks.engine.bounds")
    if engine is not None and engine.held_up():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
