"""The command line of a worker file: `python worker.py --input f`."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from gomr_runtime.api.config import MapReduceConfig
from gomr_runtime.cli.outcome import tell_failure, tell_success, unexpected
from gomr_runtime.errors import EXIT_SIGINT, Cancelled, GomrError, UsageError
from gomr_runtime.laws.compatibility import check_content, check_output_format, check_skipping
from gomr_runtime.model.summary import Summary
from gomr_runtime.options.declared import RunOptions, asks_for_json, parse
from gomr_runtime.runs.inline import run_inline
from gomr_runtime.runs.local_folder import temporary_folder
from gomr_runtime.runs.place import Place, this_machine
from gomr_runtime.runs.prepare import Prepared, prepare
from gomr_runtime.runs.progress import output_of, reporter
from gomr_runtime.runs.resume import published
from gomr_runtime.system.signals import Ended, Ending, ended_by_signals
from gomr_runtime.system.streams import check_results, results_apart
from gomr_runtime.user_code.name_clashes import main_module, main_namespace
from gomr_runtime.user_code.program import Program, program_of
from gomr_runtime.user_code.worker_file import WorkerFile


def main(config: MapReduceConfig, argv: Sequence[str]) -> int:
    """Run as the command line says; returns the exit code, having told the person why."""
    as_json = asks_for_json(argv)
    with results_apart(as_json=as_json):
        return _command(config, argv, as_json)


def _command(config: MapReduceConfig, argv: Sequence[str], as_json: bool) -> int:
    run = ""
    path = (main_namespace() or {}).get("__file__", sys.argv[0])
    prepared: Prepared | None = None
    try:
        with ended_by_signals() as ending:
            options = parse(argv, inline=True, worker=path)
            as_json, run = options.json, options.resume or options.run_id
            if as_json:
                check_results()
            program = program_of(config, b"", path)
            check_skipping(program.description, options.skip_bad_records)
            check_output_format(program.description, options.output_format)
            with _place(options, ending) as place:
                prepared = prepare(options, place, module=main_module())
                check_content(program.description, prepared.job.files)
                run = prepared.job.run
                summary = _run(prepared, program, ending)
            return tell_success(summary, output_of(prepared.output), options)
    except KeyboardInterrupt as error:
        return tell_failure(_ended(error, prepared), as_json=as_json, run=run)
    except GomrError as error:
        return tell_failure(error, as_json=as_json, run=run)
    except Exception as error:  # noqa: BLE001  (a limit of the machine, or a defect of ours)
        return tell_failure(unexpected(error, argv), as_json=as_json, run=run)


@contextmanager
def _place(options: RunOptions, ending: Ending) -> Iterator[Place]:
    """Where the run's data goes: for a run in this process a folder of its own, which goes with
    it, below --store or where temporary files are."""
    if options.workers is not None:
        yield this_machine(options)
        return
    if options.resume:
        raise UsageError("--resume needs --workers: a run in one process keeps no data")
    with temporary_folder(options.store) as folder:
        ending.clean_up.append(lambda: shutil.rmtree(folder, ignore_errors=True))
        yield replace(this_machine(replace(options, workers=1)), store=str(folder))


def _run(prepared: Prepared, program: Program, ending: Ending) -> Summary:
    progress = reporter(quiet=prepared.options.quiet)
    if prepared.options.workers is not None:
        from gomr_runtime.runs.local_processes import run_local

        return run_local(prepared, progress)
    check_dependencies(prepared.worker)
    return run_inline(prepared, program, progress, ending)


def _ended(error: KeyboardInterrupt, prepared: Prepared | None) -> Cancelled:
    """How a run ended that a signal ended."""
    code = 128 + error.number if isinstance(error, Ended) else EXIT_SIGINT
    how = f"ended by {error}" if isinstance(error, Ended) else "interrupted"
    if prepared is not None and published(prepared.output, prepared.job.run) is not None:
        where = output_of(prepared.output)
        return Cancelled(f"{how}, when the output stood in {where}", exit_code=code)
    return Cancelled(f"{how}; nothing was published", exit_code=code)


def check_dependencies(worker: WorkerFile) -> None:
    """UsageError naming the first package of the PEP 723 header that this interpreter lacks, or
    has in a version that the header does not take."""
    if not worker.dependencies:
        return
    from importlib import metadata

    from packaging.requirements import InvalidRequirement, Requirement

    for text in worker.dependencies:
        try:
            wanted = Requirement(text)
        except InvalidRequirement:
            raise UsageError(f"{worker.path.name}: dependency {text!r} is not understood") from None
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue  # for other Pythons or machines
        try:
            found = metadata.version(wanted.name)
        except metadata.PackageNotFoundError:
            found = ""
        if not found or not wanted.specifier.contains(found, prereleases=True):
            has = f"has as {found}" if found else "does not have"
            raise UsageError(
                f"{worker.path.name} needs {text!r}, which {sys.executable} {has}: "
                f"run `{sys.executable} -m pip install '{text}'`, or use "
                "`python -m flows.gomr`, which makes an environment for it"
            )
