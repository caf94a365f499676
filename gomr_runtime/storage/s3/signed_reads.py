"""Reading single objects by signatures that somebody else made.

A worker's keys open its own run and nothing else, while inputs lie anywhere and are shared by runs.
So the master, which has keys for them, signs the reading of each input of a task that it hands out:
`ReadGrants` makes the signatures, `GrantedReads` is what a worker does with them.
"""

from __future__ import annotations

import http.client
from collections import deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gomr_runtime.errors import DataError, StorageError
from gomr_runtime.storage.read_ahead import AheadBlob
from gomr_runtime.storage.s3.errors import CODE, NoAnswer, Refusal
from gomr_runtime.storage.s3.presign import Signer, endpoint_of, path_of
from gomr_runtime.storage.s3.retries import Retries
from gomr_runtime.storage.s3.settings import S3Settings, split_s3_url
from gomr_runtime.storage.stored_blob import StoredBlob
from gomr_runtime.system.os_errors import os_cause

if TYPE_CHECKING:
    from gomr_runtime.model.blob import Blob

VALID_SECONDS = 7 * 86_400  # the most that S3 takes, and as long as temporary keys of MinIO hold
SIGNATURE_BYTES = 32
STORED, FAR = "store:", "s3://"
OK, PARTIAL = 200, 206
CHANGED, NO_SUCH_RANGE = 412, 416


class ReadGrants:
    """Signs the reading of inputs, as of the moment at which it is made."""

    def __init__(self, settings: S3Settings, store: str) -> None:
        """settings: of who may read all inputs. store: `s3://` URL of the run's store."""
        self._signer = Signer(settings, VALID_SECONDS)
        self._settings = settings
        self._store = store

    @property
    def query(self) -> str:
        """What goes into every request, without its signature."""
        return self._signer.query

    def signatures(self, locations: Iterable[str]) -> bytes:
        """Of reading the objects at these locations, one after another; zeros for other places."""
        return b"".join(map(self._signature, locations))

    def _signature(self, location: str) -> bytes:
        if not location.startswith((STORED, FAR)):
            return bytes(SIGNATURE_BYTES)
        path = path_of(self._settings, *object_at(location, self._store))
        return self._signer.signature("GET", path)


class GrantedReads:
    """Opens objects by signatures, over connections that stay open; for any number of threads.
    Close it, or use `with`."""

    def __init__(self, settings: S3Settings, store: str) -> None:
        """settings: how the endpoint is reached; keys are not used. store: the run's, for the
        locations in it."""
        self._settings = settings
        self._store = store
        self._retries = Retries(endpoint_of(settings), settings.retry_seconds)
        self._idle: deque[http.client.HTTPConnection] = deque()
        self._closed = False

    def __enter__(self) -> GrantedReads:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open, and what is in use as soon as it is not."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def open(self, location: str, target: str, until: int | None = None) -> Blob:
        """The object, read ahead up to `until`. target: path and query of the signed request.

        Raises:
            DataError: It is not there, or it is replaced while it is read.
            StorageError: The store does not let us read it, or does not answer.
        """
        size, version = self._info(location, target)
        match = {"If-Match": f'"{version}"'} if version else {}

        def view(offset: int, length: int) -> bytes:
            span = {"Range": f"bytes={offset}-{offset + length - 1}"}
            return self._get(location, target, {**span, **match})[1]

        return AheadBlob(StoredBlob(location, size, view, version), until)

    def of_task(self, pieces: int, query: str, signatures: bytes) -> TaskReads:
        """What was signed for a task of so many pieces, as `ReadGrants` says it of their locations.

        Raises:
            DataError: There is not one signature for each piece.
        """
        if len(signatures) != pieces * SIGNATURE_BYTES:
            raise DataError("the master's message is damaged: not one signature for each piece")
        return TaskReads(self, query, signatures)

    def target(self, location: str, query: str, signature: bytes) -> str:
        """Path and query of a signed request."""
        path = path_of(self._settings, *object_at(location, self._store))
        return f"{path}?{query}&X-Amz-Signature={signature.hex()}"

    def _info(self, location: str, target: str) -> tuple[int, str]:
        """Size and version. A signature is for one kind of request, so this is no HEAD."""
        try:
            headers, data = self._get(location, target, {"Range": "bytes=0-0"})
        except KeyError:
            raise DataError(f"{location} is not in {endpoint_of(self._settings)}") from None
        total = headers.get("Content-Range", "").rpartition("/")[2]
        size = int(total) if total.isascii() and total.isdigit() else len(data)
        return size, headers.get("ETag", "").strip('"')

    def _get(
        self, location: str, target: str, headers: Mapping[str, str]
    ) -> tuple[Mapping[str, str], bytes]:
        return self._retries.run("read", location, lambda: self._ask(location, target, headers))

    def _ask(
        self, location: str, target: str, headers: Mapping[str, str]
    ) -> tuple[Mapping[str, str], bytes]:
        """One try. A connection that was kept may be closed by now: then over another one."""
        try:
            try:
                kept = self._idle.pop()
            except IndexError:
                status, found, data = self._exchange(self._connect(), target, headers)
            else:
                try:
                    status, found, data = self._exchange(kept, target, headers)
                except (OSError, http.client.HTTPException):
                    status, found, data = self._exchange(self._connect(), target, headers)
        except (OSError, http.client.HTTPException) as error:
            cause = os_cause(error) if isinstance(error, OSError) else "it was cut off"
            raise NoAnswer(cause) from None
        if status == CHANGED:
            raise DataError(f"{location} changed while it was read")
        if status == NO_SUCH_RANGE:  # it begins at the end or behind it
            return found, b""
        if status not in {OK, PARTIAL}:
            code = CODE.search(data.decode("utf-8", "replace"))
            raise Refusal(status, code[1] if code else "")
        return found, data

    def _exchange(
        self, connection: http.client.HTTPConnection, target: str, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        try:
            connection.request("GET", target, headers=dict(headers))
            with connection.getresponse() as answer:
                data = answer.read()
        except BaseException:
            connection.close()
            raise
        if answer.will_close:
            connection.close()
        else:
            self._idle.append(connection)
            if self._closed:
                self.close()
        return answer.status, dict(answer.headers.items()), data

    def _connect(self) -> http.client.HTTPConnection:
        server = urlsplit(endpoint_of(self._settings))
        secure = server.scheme == "https"
        kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
        if not server.hostname:
            raise StorageError(f"{endpoint_of(self._settings)}: there is no host in it")
        connection = kind(server.hostname, server.port, timeout=self._settings.connect_timeout)
        connection.connect()
        connection.sock.settimeout(self._settings.read_timeout)
        return connection


class TaskReads:
    """What one task may read by signatures: the `Granted` of its `TaskBlobs`."""

    def __init__(self, reads: GrantedReads, query: str, signatures: bytes) -> None:
        """signatures: of the pieces of the task, one after another."""
        self._reads = reads
        self._query = query
        self._signatures = signatures

    def open(self, location: str, number: int, until: int | None) -> Blob | None:
        """As `GrantedReads.open`, of the piece of that number; None where nothing was signed."""
        signature = self._signatures[number * SIGNATURE_BYTES : (number + 1) * SIGNATURE_BYTES]
        if not any(signature):
            return None
        target = self._reads.target(location, self._query, signature)
        return self._reads.open(location, target, until)


def object_at(location: str, store: str) -> tuple[str, str]:
    """Bucket and key of an input. store: `s3://` URL of the run's store."""
    if location.startswith(FAR):
        bucket, _, key = location.removeprefix(FAR).partition("/")
        return bucket, key
    bucket, prefix = split_s3_url(store)
    key = location.removeprefix(STORED)
    return bucket, f"{prefix}/{key}" if prefix else key
