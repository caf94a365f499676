"""`Blobs` over stores: what a supervisor reads from on behalf of a task."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from gomr_runtime.errors import DataError
from gomr_runtime.model.layout import map_data, uploaded
from gomr_runtime.storage.base import ObjectInfo, Store, Viewing
from gomr_runtime.storage.read_ahead import AheadBlob
from gomr_runtime.storage.s3.settings import S3Settings, split_s3_url
from gomr_runtime.storage.stored_blob import StoredBlob
from gomr_runtime.system.file_blob import FileBlob

if TYPE_CHECKING:
    from gomr_runtime.model.blob import Blob
    from gomr_runtime.model.inputs.files import Piece
    from gomr_runtime.model.task import TaskSpec
    from gomr_runtime.storage.s3.store import S3Store


INPUTS = uploaded("")


class StoreBlobs:
    """Opens `store:<key>` in `store`, `s3://bucket/key` by `settings`, and absolute paths.

    Inputs are read ahead; of what attempts wrote a task reads some ranges and no more.
    An object of a directory store is read as the file it is. An S3 input that is replaced while
    it is read is a DataError. settings: None takes them from the environment when needed.
    """

    def __init__(self, store: Store | None, settings: S3Settings | None = None) -> None:
        self._store = store
        self._settings = settings
        self._buckets: dict[str, S3Store] = {}

    def open(self, location: str, until: int | None = None) -> Blob:
        """Open an input file or an object of the run's store.

        Args:
            location: An `InputFile.location`, or `store:<key>`.
            until: The offset up to which the input is read ahead, by default its end.
        """
        if location.startswith("store:"):
            return self._open_stored(location.removeprefix("store:"), until)
        if location.startswith("s3://"):
            return self._open_s3(location, until)
        if not location.startswith("/"):
            raise DataError(f"{location!r} is neither a path, s3:// nor store:")
        return FileBlob(location)

    def _open_stored(self, key: str, until: int | None) -> Blob:
        store = self._store
        if store is None:
            raise DataError(f"{key}: this task has no store to read from")
        try:
            if path := store.local_path(key):
                return FileBlob(path)
        except KeyError:
            raise DataError(f"{key} is not in {store.url}") from None
        size = _info(store, key).size
        look = store.view if isinstance(store, Viewing) else store.get
        blob = StoredBlob(key, size, partial(look, key))
        return AheadBlob(blob, until) if key.startswith(INPUTS) else blob

    def _open_s3(self, location: str, until: int | None) -> Blob:
        bucket, key = split_s3_url(location)
        store = self._bucket(bucket)
        info = _info(store, key)

        look = partial(store.view, key, version=info.version)
        return AheadBlob(StoredBlob(location, info.size, look, info.version), until)

    def _bucket(self, name: str) -> S3Store:
        from gomr_runtime.storage.s3.store import S3Store  # obstore, only when it is needed

        if name not in self._buckets:
            settings = self._settings or S3Settings.configured()
            self._buckets[name] = S3Store(name, "", settings)
        return self._buckets[name]


class Granted(Protocol):
    """Opens what another one's signature lets us read; see `signed_reads`."""

    def open(self, location: str, number: int, until: int | None) -> Blob | None:
        """The file of the task's piece `number`; None where no signature is for it."""


class TaskBlobs:
    """`StoreBlobs` as one task reads them: what its plan names and nothing else, ahead no further
    than its pieces go. Of map outputs a reduce may open any of its run. For any number of threads.
    """

    def __init__(
        self,
        blobs: StoreBlobs,
        task: TaskSpec,
        pieces: Sequence[Piece],
        granted: Granted | None = None,
        table: str = "",
    ) -> None:
        """pieces: of the task. granted: for what our own keys do not open. table: key of the list
        of input files, where that is in the store."""
        self._blobs = blobs
        self._granted = granted
        self._named = {f"store:{key}" for key in (task.maps_key, task.cuts_key, table) if key}
        self._maps = f"store:{map_data(task.run)}" if task.kind == "reduce" else ""
        self._pieces = pieces
        self._at = 0  # the piece that was opened last
        self._lock = Lock()  # of the pieces

    def open(self, location: str) -> Blob:
        """DataError for what the task has no business with: user code asked for it."""
        of_a_map = self._maps and location.startswith(self._maps)
        if of_a_map or location in self._named:
            return self._blobs.open(location)
        with self._lock:
            number = self._number_of(location)
            if number is None:
                raise DataError(f"{location} is not among what this task reads")
            piece = self._pieces[number]
        until = piece.file.size if piece.file.compression else piece.end
        if self._granted is not None and (blob := self._granted.open(location, number, until)):
            return blob
        return self._blobs.open(location, until)

    def _number_of(self, location: str) -> int | None:
        """The piece with that file: mostly the one that was opened last, or the one after it."""
        pieces = self._pieces
        for number in range(self._at, min(self._at + 2, len(pieces))):
            if pieces[number].file.location == location:
                self._at = number
                return number
        for number, piece in enumerate(pieces):
            if piece.file.location == location:
                self._at = number
                return number
        return None


def _info(store: Store, key: str) -> ObjectInfo:
    try:
        return store.info(key)
    except KeyError:
        raise DataError(f"{key} is not in {store.url}") from None
