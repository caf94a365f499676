"""`python -m gomr_runtime.worker`: the process `gomr-worker`.

The forkserver starts before anything else is imported: children must never see gRPC, nor any
secret of this process's environment.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from setproctitle import setproctitle

from gomr_runtime.errors import EXIT_ENVIRONMENT, EXIT_OK, EnvironmentFailed, GomrError
from gomr_runtime.model.inputs.file_table import size_of
from gomr_runtime.model.job import JobSpec
from gomr_runtime.model.layout import check_run_id, summary
from gomr_runtime.storage import stored_run
from gomr_runtime.storage.base import Store
from gomr_runtime.storage.open_store import open_store
from gomr_runtime.system.lifeline import hide_from_user_code, watch_for_end
from gomr_runtime.system.streams import open_streams, say_error
from gomr_runtime.system.unforeseen import is_limit, unforeseen
from gomr_runtime.worker import forkserver
from gomr_runtime.worker.program_copy import bring_program

PROGRAM = "program"  # folder of its copy, in the scratch space
ARROW_BYTES = 4 << 20  # input from which on tasks are large enough to need Arrow


@dataclass(frozen=True, slots=True)
class Arguments:
    run: str
    store: str
    master: str
    worker_file: Path | None
    token_file: Path
    scratch: Path
    sockets: Path | None
    slots: int
    tls_ca: Path | None
    idle_when_over: bool
    lifeline: int


def parse(argv: list[str]) -> Arguments:
    parser = argparse.ArgumentParser("gomr-worker")
    parser.add_argument("--run", required=True)
    parser.add_argument("--store", required=True)
    parser.add_argument("--master", required=True)
    parser.add_argument("--worker-file", type=Path, help="of the image, where there is one")
    parser.add_argument("--token-file", type=Path, required=True)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--sockets", type=Path, help="a short path, since socket paths are limited")
    parser.add_argument("--slots", type=int, default=1)
    parser.add_argument("--tls-ca", type=Path, help="the certificate of the run's own CA")
    parser.add_argument(
        "--idle-when-over",
        action="store_true",
        help="wait for SIGTERM once the run is over: who started us would start us again",
    )
    parser.add_argument("--lifeline", type=int, default=-1)
    found = parser.parse_args(argv)
    if found.slots < 1:
        parser.error("--slots must be at least 1")
    check_run_id(found.run)
    return Arguments(**vars(found))


def read_job(store: Store, run: str) -> JobSpec:
    try:
        return stored_run.read_job(store, run, lazily=True)
    except KeyError:
        raise EnvironmentFailed(f"run {run} is not in {store.url}: it was removed") from None


def is_over(store: Store, run: str) -> bool:
    with suppress(KeyError):
        return bool(store.info(summary(run)))
    return False


def preload_for(spec: JobSpec) -> list[str]:
    """What children have from the start: Arrow only where the input is worth its import."""
    preload = ["gomr_runtime.worker.preload"]
    if size_of(spec.files) >= ARROW_BYTES:
        preload += [
            "gomr_runtime.dataflow.shuffle.columns",
            "gomr_runtime.dataflow.reduce.arrow_merge",
        ]
    return preload


async def work(arguments: Arguments, store: Store, spec: JobSpec) -> int:
    terminated = asyncio.Event()
    watch_for_end(asyncio.get_running_loop(), arguments.lifeline, terminated.set)
    if arguments.idle_when_over and await asyncio.to_thread(is_over, store, arguments.run):
        code = EXIT_OK
    else:
        code = await supervise(arguments, store, spec, terminated)
    if arguments.idle_when_over and code == EXIT_OK:
        await terminated.wait()
    return code


async def supervise(
    arguments: Arguments, store: Store, spec: JobSpec, terminated: asyncio.Event
) -> int:
    # Imports gRPC while the forkserver starts.
    from gomr_runtime.rpc.connection import Trust, read_pem, read_token
    from gomr_runtime.worker.supervisor import Settings, Supervisor

    await asyncio.to_thread(
        bring_program, store, spec, arguments.worker_file, arguments.scratch / PROGRAM
    )
    ca, host = arguments.tls_ca, arguments.master.rpartition(":")[0]
    settings = Settings(
        arguments.run,
        arguments.master,
        read_token(arguments.token_file),
        arguments.scratch / PROGRAM,
        arguments.scratch,
        arguments.slots,
        Trust(read_pem(ca), host) if ca else None,
    )
    return await Supervisor(settings, store, spec).run(terminated)


def main() -> int:
    open_streams()
    setproctitle("gomr-worker")
    hide_from_user_code()
    try:
        arguments = parse(sys.argv[1:])
        arguments.scratch.mkdir(parents=True, exist_ok=True)
        # Sockets of multiprocessing and temporary files of user code go with the run's folders.
        os.environ["TMPDIR"] = str(arguments.scratch)
        tempfile.tempdir = str(arguments.sockets or arguments.scratch)
        store = open_store(arguments.store)
        spec = read_job(store, arguments.run)
        forkserver.start(preload_for(spec))
        return asyncio.run(work(arguments, store, spec))
    except GomrError as error:
        say_error("gomr-worker", error)
        return error.exit_code
    except Exception as error:
        if not is_limit(error):
            raise
        say_error("gomr-worker", unforeseen(error))  # another worker would meet it, too
        return EXIT_ENVIRONMENT


if __name__ == "__main__":
    sys.exit(main())
