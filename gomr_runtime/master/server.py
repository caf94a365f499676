"""The master process: one server, one run, one exit code."""

from __future__ import annotations

import asyncio
import gc
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import grpc

from gomr_runtime._pb import run_pb2_grpc as services
from gomr_runtime.errors import EXIT_OK, EXIT_SIGTERM, EnvironmentFailed, GomrError, UsageError
from gomr_runtime.master.driver import Driver
from gomr_runtime.master.feed import Feed
from gomr_runtime.master.gate import Gate
from gomr_runtime.master.journal import Journal
from gomr_runtime.master.recovery import RunOver, replay, take_over
from gomr_runtime.master.service import MasterService, RunService
from gomr_runtime.model import layout
from gomr_runtime.rpc import connection
from gomr_runtime.storage.base import Store
from gomr_runtime.storage.open_store import open_store
from gomr_runtime.storage.parallel import at_once
from gomr_runtime.storage.s3.settings import S3Settings
from gomr_runtime.system.lifeline import watch_for_end, write_atomically

if TYPE_CHECKING:
    from gomr_runtime.storage.s3.signed_reads import ReadGrants

LINGER = 5.0  # seconds at most for workers and client to hear of the end
SOCKET_GRACE = 1.0  # a worker on this machine whose socket closed is back by then, or dead
STOP_GRACE = 1.0
LOG_SECONDS = 5.0
# What a run is made of is never garbage: looking through millions of objects, again and again,
# takes a fifth of a large run's CPU time and stops the master for up to a second.
COLLECT = (10_000, 20, 1_000)


@dataclass(frozen=True, slots=True)
class Arguments:
    """What the process is told.

    token_file: what clients show, who may watch and cancel the run. worker_token_file: what workers
    show, who may take tasks and report them. listen: `unix:/path` or `host:port`, port 0 for any.
    tls_cert and tls_key: PEM files of the run's own; both or, where nobody else can listen,
    neither. lifeline: see `watch_for_end`. zero_when_over: for whoever starts another master after
    an exit code that is not 0.
    """

    run: str
    store: str
    listen: str
    token_file: Path
    worker_token_file: Path
    address_file: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    lifeline: int = -1
    zero_when_over: bool = False


async def serve(arguments: Arguments, store: Store | None = None) -> int:
    """Drive the run to its end; the exit code of the process. Raises GomrError before serving.
    store: None opens the one at `arguments.store`."""
    if arguments.tls_cert is None and not connection.stays_on_this_machine(arguments.listen):
        raise UsageError(
            f"--listen {arguments.listen} can be reached from other machines: give --tls-cert and "
            "--tls-key, or listen on 127.0.0.1 or unix:/path"
        )
    gc.set_threshold(*COLLECT)
    loop = asyncio.get_running_loop()
    terminated = asyncio.Event()
    watch_for_end(loop, arguments.lifeline, terminated.set)
    gate = Gate(
        {
            connection.RUN_SERVICE: connection.read_token(arguments.token_file),
            connection.MASTER_SERVICE: connection.read_token(arguments.worker_token_file),
        }
    )
    if store is None:
        store = await asyncio.to_thread(open_store, arguments.store)
    journal = Journal(store, arguments.run, several=at_once)
    succession = await asyncio.to_thread(take_over, journal)
    grants = await asyncio.to_thread(_grants, arguments.store)
    driver = Driver(journal, succession, Feed(succession.epoch), grants)
    work = asyncio.create_task(_work(driver))
    grace = SOCKET_GRACE if arguments.listen.startswith("unix:") else None
    run_service = RunService(driver)
    server = await _start_server(arguments, gate, MasterService(driver, grace), run_service)
    ended = asyncio.create_task(terminated.wait())
    try:
        await asyncio.wait({work, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            driver.feed.log("master ends on SIGTERM; a new one can go on with the run")
            work.cancel()
            await _store_log(driver)
            return EXIT_SIGTERM
        code = work.result()
        if not driver.superseded:
            await _store_log(driver)
            linger = asyncio.create_task(_linger(driver, run_service))
            await asyncio.wait({linger, ended}, timeout=LINGER, return_when="FIRST_COMPLETED")
            linger.cancel()
        return EXIT_OK if arguments.zero_when_over and await _is_over(journal) else code
    finally:
        ended.cancel()
        await server.stop(STOP_GRACE)


def _grants(store: str) -> ReadGrants | None:
    """What signs the reading of inputs for workers, where we have keys for that."""
    settings = S3Settings.of_reader()
    if settings is None or not store.startswith("s3://"):
        return None
    from gomr_runtime.storage.s3.signed_reads import ReadGrants  # obstore, only when it is needed

    return ReadGrants(settings, store)


async def _work(driver: Driver) -> int:
    """Replay what the store knows, then drive."""
    journal = driver.journal
    found = await asyncio.to_thread(replay, journal, driver.job)
    if isinstance(found, RunOver):
        driver.error = found.error
        driver.announce(found.summary)
        return found.summary.exit_code
    if found is not None:
        driver.feed.log(f"master {journal.epoch} goes on: {len(found.commits)} tasks are committed")
        driver.planned(found)
    driver.tell_progress(now=True)
    return await driver.run()


async def _store_log(driver: Driver) -> None:
    """Beside the output, for whoever looks when this process and its machine are gone."""
    journal, feed = driver.journal, driver.feed
    key = layout.log(driver.job.run, f"master-{journal.epoch}.log")
    try:
        await asyncio.wait_for(
            asyncio.to_thread(journal.store.put, key, feed.transcript()), LOG_SECONDS
        )
    except (GomrError, TimeoutError) as error:
        feed.log(f"cannot store the master's log: {error or 'the store does not answer'}")


async def _is_over(journal: Journal) -> bool:
    """Whether the store says how the run ended, so that no other master has anything to do."""
    try:
        await asyncio.to_thread(journal.store.get, layout.summary(journal.run))
    except (KeyError, GomrError):
        return False
    return True


async def _linger(driver: Driver, run_service: RunService) -> None:
    await driver.sessions.until_idle()
    await run_service.summary_told.wait()


async def _start_server(
    arguments: Arguments, gate: Gate, master: MasterService, run_service: RunService
) -> grpc.aio.Server:
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    server = grpc.aio.server(interceptors=[gate], options=connection.server_options(files))
    services.add_MasterServicer_to_server(master, server)  # type: ignore[no-untyped-call]
    services.add_RunServicer_to_server(run_service, server)  # type: ignore[no-untyped-call]
    port = _listen(server, arguments)
    await server.start()
    if arguments.address_file is not None:
        host = arguments.listen.rpartition(":")[0]
        unix = arguments.listen.startswith("unix:")
        address = arguments.listen if unix else f"{host}:{port}"
        write_atomically(arguments.address_file, address)
    return server


def _listen(server: grpc.aio.Server, arguments: Arguments) -> int:
    listen, cert, key = arguments.listen, arguments.tls_cert, arguments.tls_key
    try:
        if cert is not None and key is not None:
            pair = (connection.read_pem(key), connection.read_pem(cert))
            return server.add_secure_port(listen, grpc.ssl_server_credentials([pair]))
        return server.add_insecure_port(listen)
    except RuntimeError as error:
        raise EnvironmentFailed(f"cannot listen on {listen}: {error}") from None
