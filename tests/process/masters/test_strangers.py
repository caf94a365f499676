"""What somebody without a token can make a master keep or lose: nothing that counts."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import grpc
import pytest

from gomr_runtime.master.gate import Gate
from gomr_runtime.model.inputs.files import InputFile
from gomr_runtime.model.job import JobSpec
from gomr_runtime.rpc import connection
from tests.process.workers.test_session import RUN, SHA, Master

BODY = b"\n" + b"x" * 4_000_000
CALLS, CONNECTIONS = 60, 12
MOST_MEMORY = 150  # megabytes that a master of 45 may come to; it came to 280 and more
FILES = 300  # descriptors of a master that is short of them
SECONDS = 30.0
REFUSED = "UNAUTHENTICATED"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS = b"\0\0\0\4\0\0\0\0\0"  # a frame of HTTP/2 that sets none


@contextmanager
def started(folder: Path) -> Iterator[Master]:
    (folder / "input.txt").write_text("a\n")
    files = (InputFile("input.txt", str(folder / "input.txt"), 2),)
    master = Master(folder, JobSpec(RUN, files, 1, 1, 1, SHA, "worker.py"))
    try:
        yield master
    finally:
        master.close()


def peak_of(pid: int) -> float:
    """The most memory that the process has ever had, in megabytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


async def flood(address: str, method: str, token: str = "") -> Counter[str]:
    """Make all calls at once; how many of them ended how."""
    options = [*connection.CLIENT_OPTIONS, ("grpc.max_send_message_length", 2 * len(BODY))]
    channels = [grpc.aio.insecure_channel(address, options=options) for _ in range(CONNECTIONS)]
    metadata = connection.bearer(token) if token else None
    ended: Counter[str] = Counter()

    async def call(channel: grpc.aio.Channel) -> None:
        try:
            send: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
            await send(BODY, timeout=SECONDS, metadata=metadata)
            ended["OK"] += 1
        except grpc.RpcError as error:
            ended[error.code().name] += 1

    await asyncio.gather(*(call(channels[n % CONNECTIONS]) for n in range(CALLS)))
    for channel in channels:
        await channel.close()
    return ended


def test_large_requests_of_strangers_are_not_read(tmp_path: Path) -> None:
    with started(tmp_path) as master:
        for method, token, answer in (
            ("/gomr.v1.Run/Cancel", "", REFUSED),
            ("/gomr.v1.Run/Watch", "wrong", REFUSED),
            ("/gomr.v1.Master/Session", "", REFUSED),
            ("/grpc.health.v1.Health/Check", "", "OK"),
        ):
            ended = asyncio.run(flood(f"unix:{master.sockets}/master", method, token))
            assert (method, ended) == (method, {answer: CALLS})
            assert peak_of(master.process.pid) < MOST_MEMORY, method
        worker = master.worker()
        worker.register()
        worker.hear("ack")


def test_connections_of_strangers_leave_a_master_the_files_it_needs(tmp_path: Path) -> None:
    ours, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, most))
    with ExitStack() as stack:
        try:
            master = stack.enter_context(started(tmp_path))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (ours, most))
        strangers = []
        for _ in range(FILES):
            stranger = stack.enter_context(socket.socket(socket.AF_UNIX))
            stranger.settimeout(SECONDS)
            stranger.connect(f"{master.sockets}/master")
            strangers.append(stranger)
        assert stranger.recv(1) == b"", "hung up on: there are too many"
        worker = master.worker()
        worker.register()
        worker.hear("ack")
        assert (master.folder / "store/runs/run-1/plan.json").exists()
        assert (
            len(os.listdir(f"/proc/{master.process.pid}/fd")) < FILES - connection.OTHER_FILES // 2
        )


@asynccontextmanager
async def serving(idle: float) -> AsyncIterator[int]:
    server = grpc.aio.server(interceptors=[Gate({})], options=connection.server_options(1000, idle))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(0)


@pytest.mark.parametrize("said", [b"", PREFACE, PREFACE + SETTINGS], ids=["nothing", "half", "all"])
def test_connections_that_say_nothing_are_closed(said: bytes) -> None:
    async def wait_for_the_end() -> None:
        async with serving(idle=0.2) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(said)
            await asyncio.wait_for(reader.read(), SECONDS)
            writer.close()

    asyncio.run(wait_for_the_end())
