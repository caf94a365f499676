"""A store in S3 or anything that speaks it, through obstore.

Importing this module imports obstore; `open_store` does so for `s3://` alone. An upload that was
cut off by a killed process stays as parts that only S3 sees, until `delete` is called for a
folder above: it aborts such uploads.
"""

from __future__ import annotations

import asyncio
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store as Bucket

from gomr_runtime.errors import StorageError
from gomr_runtime.storage.base import ObjectInfo, Pieces
from gomr_runtime.storage.keys import check_key, check_prefix, check_range
from gomr_runtime.storage.s3.errors import fault_of
from gomr_runtime.storage.s3.retries import FIRST_PAUSE, LONGEST_PAUSE, Again, Retries
from gomr_runtime.storage.s3.settings import S3Settings
from gomr_runtime.storage.s3.unfinished_uploads import abort_unfinished
from gomr_runtime.system.os_errors import os_cause
from gomr_runtime.system.own_files import open_regular

if TYPE_CHECKING:
    from obstore import GetOptions, ObjectMeta

CHUNK = 8 << 20  # of a multipart upload, and of a copy through this machine
MAX_CHUNKS = 9_000  # S3 takes 10,000
UPLOADS_AT_ONCE = 4
RANGE_NOT_SATISFIABLE = 416
PAGE = 1_000  # objects a list or delete request
PART_RETRIES = 10.0  # seconds for one of the requests that an upload takes
# A silent server ends a request after `read_timeout`; this is for one that drips.
LONGEST_REQUEST = timedelta(hours=1)


class S3Store:
    """Objects of `bucket` below `prefix` ("" for all of it).

    Every operation ends: it retries outages, 5xx and throttling with growing random pauses for
    `settings.retry_seconds`, then raises `StorageError` with a plain cause and no credentials. An
    outage counts once for all operations, see `Retries`.
    """

    copy_limit = 5 << 30  # S3 copies no larger object in one request

    def __init__(self, bucket: str, prefix: str, settings: S3Settings) -> None:
        self._bucket_name = bucket
        self._above = f"{check_key(prefix)}/" if prefix else ""
        self._settings = settings
        self._retries = Retries(self.url, settings.retry_seconds)
        self._bucket = _open_bucket(bucket, settings, 0.0)

    @cached_property
    def _parts(self) -> Bucket:
        """For what takes many requests: one that fails is sent again, not all of them."""
        return _open_bucket(self._bucket_name, self._settings, PART_RETRIES)

    @property
    def url(self) -> str:
        return f"s3://{self._bucket_name}/{self._above}".rstrip("/")

    def get(
        self, key: str, start: int = 0, length: int | None = None, *, version: str = ""
    ) -> bytes:
        """As in `Store`; DataError when `version` is given and the object is another by now."""
        return bytes(self.view(key, start, length, version=version))

    def view(
        self, key: str, start: int = 0, length: int | None = None, *, version: str = ""
    ) -> memoryview:
        """The bytes of `get` where they came in: copying them takes as long as reading them."""
        check_range(check_key(key), start, length)
        path = self._above + key
        if length == 0:  # S3 knows no empty range
            self.info(key)
            return memoryview(b"")
        options: GetOptions = {"if_match": f'"{version}"'} if version else {}
        if length is not None:
            options["range"] = (start, start + length)
        elif start:
            options["range"] = {"offset": start}
        return self._retries.run("read", key, lambda: _read(self._bucket, path, options))

    def info(self, key: str) -> ObjectInfo:
        path = self._above + check_key(key)
        found = self._retries.run("read", key, lambda: obstore.head(self._bucket, path))
        return ObjectInfo(key, found["size"], _version(found["e_tag"]))

    def put(self, key: str, data: bytes) -> None:
        path = self._above + check_key(key)
        bucket = self._parts if len(data) > CHUNK else self._bucket
        self._retries.run(
            "write",
            key,
            lambda: obstore.put(
                bucket, path, data, chunk_size=CHUNK, max_concurrency=UPLOADS_AT_ONCE
            ),
        )

    def put_file(self, key: str, path: Path) -> None:
        target = self._above + check_key(key)
        try:
            file = open_regular(path)  # no link: user code may have put one there
            try:
                step = partial(_send, self._parts, target, file, os.fstat(file).st_size)
                self._retries.run("write", key, step)
            finally:
                os.close(file)
            path.unlink()
        except OSError as error:
            raise StorageError(f"cannot read {path} for {key}: {os_cause(error)}") from None

    def put_pieces(self, key: str, pieces: Pieces, size: int) -> None:
        target, chunk = self._above + check_key(key), _chunk_size(size)
        failed: list[Exception] = []

        def step() -> None:
            with ThreadPoolExecutor(1, "pieces") as apart:
                try:
                    obstore.put(
                        self._parts,
                        target,
                        _made_apart(pieces, apart, failed),
                        chunk_size=chunk,
                        max_concurrency=UPLOADS_AT_ONCE,
                    )
                except Exception:
                    if failed:  # whatever obstore makes of it
                        raise failed[0] from None
                    raise

        self._retries.run("write", key, step)

    def upload(self, key: str, path: Path, sent: Callable[[int], None]) -> None:
        """Write a copy of the local file; `sent` hears of bytes on their way, and of a negative
        number when they have to be sent again. OSError when the file cannot be read."""
        target = self._above + check_key(key)
        chunk = _chunk_size(path.stat().st_size)

        def step() -> None:
            on_the_way = 0

            def chunks() -> Iterator[bytes]:
                nonlocal on_the_way
                with path.open("rb") as file:
                    while data := file.read(chunk):
                        on_the_way += len(data)
                        sent(len(data))
                        yield data

            try:
                obstore.put(
                    self._parts,
                    target,
                    chunks(),
                    chunk_size=chunk,
                    max_concurrency=UPLOADS_AT_ONCE,
                )
            except BaseError:
                sent(-on_the_way)
                raise

        self._retries.run("write", key, step)

    def create(self, key: str, data: bytes) -> bool:
        path = self._above + check_key(key)
        return self._retries.run("create", key, lambda: self._create(path, data))

    def _create(self, path: str, data: bytes) -> bool:
        """One try; after a lost answer there is another, which finds what this one did.

        So "already there" may mean our own earlier try: what is stored decides.
        """
        try:
            obstore.put(self._bucket, path, data, mode="create", use_multipart=False)
        except (AlreadyExistsError, PreconditionError) as error:
            stored = self._stored(path)
            if stored is None:  # a conflict with a writer that did not get through
                raise Again(error) from None
            return stored == data
        return True

    def _stored(self, path: str) -> bytes | None:
        try:
            return bytes(obstore.get(self._bucket, path).bytes())
        except FileNotFoundError:
            return None

    def copy(self, source: str, target: str) -> None:
        from_, to = self._above + check_key(source), self._above + check_key(target)
        size = self._retries.run("copy", source, lambda: obstore.head(self._bucket, from_))["size"]

        def step() -> None:
            if size <= self.copy_limit:
                obstore.copy(self._bucket, from_, to)
            else:
                asyncio.run(_copy_through(self._parts, from_, to, size))

        self._retries.run("copy", source, step)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        return self._listed(self._above + check_prefix(prefix))

    def _listed(self, prefix: str) -> Iterator[ObjectInfo]:
        # obstore lists whole folders: ours is the folder, from just before the prefix on.
        folder, slash, beginning = prefix.rpartition("/")
        last = folder + slash + beginning[:-1] if beginning[:-1] else ""
        known = len(self._above)
        pages = _Pages(self._bucket, folder)
        while page := self._retries.run("list", prefix, partial(pages.next, last)):
            for found in page:
                path, size = found["path"], found["size"]
                if path <= last:
                    if size == 0:  # `a/`, an empty folder marker: shown as `a`, in place of `a/`
                        continue
                    raise StorageError(f"{self.url}: the store does not list keys in order")
                last = path
                if path.startswith(prefix):
                    yield ObjectInfo(path[known:], size, _version(found["e_tag"]))
                elif path > prefix:
                    return

    def delete(self, prefix: str) -> int:
        if not check_prefix(prefix):
            raise StorageError("an empty prefix would delete the whole store")
        count, keys = 0, (found.key for found in self.list(prefix))
        while page := [self._above + key for key in itertools.islice(keys, PAGE)]:
            self._retries.run("delete", prefix, partial(obstore.delete, self._bucket, page))
            count += len(page)
        if prefix.endswith("/"):  # all of a run, whose killed workers may have left some
            above = self._above + prefix
            abort = partial(abort_unfinished, self._settings, self._bucket_name, above)
            self._retries.run("delete", prefix, abort)
        return count

    def local_path(self, key: str) -> Path | None:
        check_key(key)
        return None


class _Pages:
    """The pages of one folder's listing; after an error the next begins behind `after`."""

    def __init__(self, bucket: Bucket, folder: str) -> None:
        self._bucket = bucket
        self._folder = folder
        self._stream: Iterator[Sequence[ObjectMeta]] | None = None

    def next(self, after: str) -> Sequence[ObjectMeta]:
        """Empty at the end."""
        try:
            self._stream = self._stream or iter(
                obstore.list(
                    self._bucket, self._folder or None, offset=after or None, chunk_size=PAGE
                )
            )
            return next(self._stream, [])
        except BaseError:
            self._stream = None
            raise


async def _copy_through(bucket: Bucket, source: str, target: str, size: int) -> None:
    """Copy by way of this machine. Asynchronous, because obstore reads and writes at once only so;
    it holds a few chunks in memory."""
    stored = await obstore.get_async(bucket, source)
    await obstore.put_async(
        bucket,
        target,
        stored.stream(CHUNK),
        chunk_size=_chunk_size(size),
        max_concurrency=UPLOADS_AT_ONCE,
    )


def _made_apart(
    pieces: Pieces, apart: ThreadPoolExecutor, failed: list[Exception]
) -> Iterator[bytes]:
    """The pieces, made in a thread of their own: obstore asks for them inside its runtime, from
    where nothing that makes them could use a store. failed: takes the error that ends them."""
    source = pieces()
    while True:
        try:
            data = apart.submit(next, source, None).result()
        except Exception as error:
            failed.append(error)
            raise
        if data is None:
            return
        yield data


def _send(bucket: Bucket, target: str, file: int, size: int) -> None:
    obstore.put(
        bucket,
        target,
        Path(f"/proc/self/fd/{file}"),
        chunk_size=_chunk_size(size),
        max_concurrency=UPLOADS_AT_ONCE,
    )


def _chunk_size(size: int) -> int:
    """Bytes a part of the multipart upload of an object of `size` bytes."""
    return max(CHUNK, size // MAX_CHUNKS + 1)


def _version(etag: str | None) -> str:
    return (etag or "").strip('"')


def _open_bucket(name: str, settings: S3Settings, retries: float) -> Bucket:
    """retries: seconds for which obstore itself sends a failed request again."""
    config = {
        "endpoint": settings.endpoint,
        "region": settings.region,
        "access_key_id": settings.access_key,
        "secret_access_key": settings.secret_key,
        "session_token": settings.session_token,
        # TLS notices a changed byte by itself; over plain HTTP the signature's hash does.
        "unsigned_payload": not settings.allow_http,
    }
    return Bucket(
        name,
        config={option: value for option, value in config.items() if value},  # type: ignore[arg-type]
        client_options={
            "allow_http": settings.allow_http,
            "connect_timeout": timedelta(seconds=settings.connect_timeout),
            "read_timeout": timedelta(seconds=settings.read_timeout),
            "timeout": LONGEST_REQUEST,
        },
        retry_config={
            "max_retries": 1_000 if retries else 0,  # the time is the limit
            "retry_timeout": timedelta(seconds=min(retries, settings.retry_seconds)),
            "backoff": {
                "init_backoff": timedelta(seconds=FIRST_PAUSE),
                "max_backoff": timedelta(seconds=LONGEST_PAUSE),
                "base": 2,
            },
        },
    )


def _read(bucket: Bucket, path: str, options: GetOptions) -> memoryview:
    try:
        return memoryview(obstore.get(bucket, path, options=options).bytes())
    except BaseError as error:
        if fault_of(error).status == RANGE_NOT_SATISFIABLE:  # it begins at the end or behind it
            return memoryview(b"")
        raise
