"""Objects of a MinIO on this machine: our store beside the clients there are."""

from __future__ import annotations

import io
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import obstore
import obstore.store
import pyarrow.fs
from minio import Minio

from bench.scale.minio import BUCKET, minio
from gomr_runtime.storage.open_store import open_store
from gomr_runtime.storage.read_ahead import AheadBlob
from gomr_runtime.storage.s3.settings import S3Settings
from gomr_runtime.storage.s3.store import S3Store
from gomr_runtime.storage.stored_blob import StoredBlob

LARGE, SMALL = 64 << 20, 20_000  # bytes
BLOCK = 256 << 10  # bytes that a task reads at once
AT_ONCE = (1, 8)


class Client(Protocol):
    """Blocking, from any thread."""

    def put(self, key: str, data: bytes) -> None: ...
    def put_file(self, key: str, path: Path) -> None: ...
    def get(self, key: str) -> int:
        """Reads the object; how many bytes it has."""


class Ours:
    """As a run uses it: a file that is put is gone afterwards, so it gets a name of its own."""

    def __init__(self) -> None:
        store = open_store(f"s3://{BUCKET}/ours")
        assert isinstance(store, S3Store)
        self._store = store

    def put(self, key: str, data: bytes) -> None:
        self._store.put(key, data)

    def put_file(self, key: str, path: Path) -> None:
        link = path.with_name(f"{path.name}-{os.urandom(4).hex()}")
        os.link(path, link)
        self._store.put_file(key, link)

    def get(self, key: str) -> int:
        return len(self._store.get(key))


class OursInBlocks(Ours):
    """As a map task reads its input."""

    def get(self, key: str) -> int:
        store, size = self._store, self._store.info(key).size
        blob = AheadBlob(StoredBlob(key, size, partial(store.view, key)))
        return sum(len(blob.read_at(at, BLOCK)) for at in range(0, size, BLOCK))


class MinioPy:
    def __init__(self, settings: S3Settings) -> None:
        host = settings.endpoint.partition("//")[2]
        self._client = Minio(
            host, access_key=settings.access_key, secret_key=settings.secret_key, secure=False
        )

    def put(self, key: str, data: bytes) -> None:
        self._client.put_object(BUCKET, f"minio/{key}", io.BytesIO(data), len(data))

    def put_file(self, key: str, path: Path) -> None:
        self._client.fput_object(BUCKET, f"minio/{key}", str(path))

    def get(self, key: str) -> int:
        answer = self._client.get_object(BUCKET, f"minio/{key}")
        try:
            return len(answer.read())
        finally:
            answer.close()
            answer.release_conn()


class Obstore:
    def __init__(self, settings: S3Settings) -> None:
        self._bucket = obstore.store.S3Store(
            BUCKET,
            prefix="obstore",
            endpoint=settings.endpoint,
            region=settings.region,
            access_key_id=settings.access_key,
            secret_access_key=settings.secret_key,
            client_options={"allow_http": True},
        )

    def put(self, key: str, data: bytes) -> None:
        obstore.put(self._bucket, key, data)

    def put_file(self, key: str, path: Path) -> None:
        obstore.put(self._bucket, key, path)

    def get(self, key: str) -> int:
        return len(bytes(obstore.get(self._bucket, key).bytes()))


class Arrow:
    def __init__(self, settings: S3Settings) -> None:
        self._files: Any = pyarrow.fs.S3FileSystem(
            access_key=settings.access_key,
            secret_key=settings.secret_key,
            endpoint_override=settings.endpoint,
            region=settings.region,
        )

    def put(self, key: str, data: bytes) -> None:
        with self._files.open_output_stream(f"{BUCKET}/arrow-{key}") as out:
            out.write(data)

    def put_file(self, key: str, path: Path) -> None:
        with (
            self._files.open_output_stream(f"{BUCKET}/arrow-{key}") as out,
            path.open("rb") as file,
        ):
            while data := file.read(8 << 20):
                out.write(data)

    def get(self, key: str) -> int:
        with self._files.open_input_stream(f"{BUCKET}/arrow-{key}") as found:
            return len(found.read())


@dataclass(frozen=True, slots=True)
class Work:
    """rate: what a second of it is counted in."""

    name: str
    unit: str
    step: Callable[[Client, int], object]
    count: int
    size: int

    def rate(self, seconds: float) -> float:
        done = self.count / seconds
        return done * self.size / 1e6 if self.unit == "MB/s" else done


def works(file: Path, large: int, small: int) -> list[Work]:
    """In an order in which what is read was written."""
    data = file.read_bytes()[:SMALL]
    return [
        Work("write 64 MB", "MB/s", lambda c, n: c.put_file(f"large-{n}", file), large, LARGE),
        Work("read 64 MB", "MB/s", lambda c, n: _read(c, f"large-{n}", LARGE), large, LARGE),
        Work("write 20 KB", "op/s", lambda c, n: c.put(f"small-{n}", data), small, SMALL),
        Work("read 20 KB", "op/s", lambda c, n: _read(c, f"small-{n}", SMALL), small, SMALL),
    ]


def _read(client: Client, key: str, size: int) -> None:
    found = client.get(key)
    if found != size:
        raise RuntimeError(f"{key}: {found} bytes instead of {size}")


def measure_stores(
    rounds: int, large: int, small: int
) -> dict[tuple[str, str, int], dict[str, float]]:
    """The median rate of each client, by kind of work, its unit and how many are under way."""
    rates: dict[tuple[str, str, int], dict[str, list[float]]] = {}
    with minio() as server, tempfile.TemporaryDirectory(prefix="gomr-bench-") as folder:
        file = Path(folder) / "large"
        file.write_bytes(os.urandom(LARGE))
        clients: dict[str, Client] = {
            "gomr": Ours(),
            "gomr, read in blocks": OursInBlocks(),
            "minio-py": MinioPy(server.settings),
            "obstore": Obstore(server.settings),
            "pyarrow.fs": Arrow(server.settings),
        }
        for n in range(rounds):
            turn = list(clients.items())  # begun by another one, so that none is always first
            turn = turn[n % len(turn) :] + turn[: n % len(turn)]
            for work in works(file, large, small):
                for at_once in AT_ONCE:
                    found = rates.setdefault((work.name, work.unit, at_once), {})
                    for name, client in turn:
                        seconds = _seconds(work, client, at_once)
                        found.setdefault(name, []).append(work.rate(seconds))
    return {
        key: {name: statistics.median(found[name]) for name in clients}
        for key, found in rates.items()
    }


def _seconds(work: Work, client: Client, at_once: int) -> float:
    with ThreadPoolExecutor(at_once) as threads:
        began = time.perf_counter()
        for _ in threads.map(lambda n: work.step(client, n), range(work.count)):
            pass
        return time.perf_counter() - began
