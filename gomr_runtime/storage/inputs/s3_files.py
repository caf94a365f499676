"""From `s3://` addresses to input files."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gomr_runtime.errors import StorageError, UsageError
from gomr_runtime.model.file_signatures import HEAD_BYTES, compression_of, content_of
from gomr_runtime.model.job import InputFile
from gomr_runtime.storage.base import ObjectInfo, Store
from gomr_runtime.storage.inputs.selection import Own, is_glob, select, split_glob
from gomr_runtime.storage.keys import check_key
from gomr_runtime.storage.parallel import at_once
from gomr_runtime.storage.s3.settings import S3Settings, split_s3_url
from gomr_runtime.storage.success import MAX_BYTES


def list_inputs(
    url: str, settings: S3Settings | None = None, *, own_store: str = ""
) -> list[InputFile]:
    """Return the inputs at `s3://bucket/prefix`, in order of the bytes of their names.

    An object of exactly that key is the one input, its `source` the URL. Otherwise the address is
    a folder or a glob, with the rules of `selection`, and `source` is relative to the folder that
    it begins with. `version` is the etag.

    Args:
        url: The address.
        settings: The endpoint and who we are there; None takes them from the environment.
        own_store: Where the run's own data lies, which is no input of it.

    Raises:
        UsageError: Nothing is there, or it cannot be an input.
    """
    from gomr_runtime.storage.s3.store import S3Store  # obstore, only when it is needed

    bucket, _ = split_s3_url(url)
    return inputs_in(S3Store(bucket, "", settings or S3Settings.from_env()), url, own_store)


def inputs_in(store: Store, url: str, own_store: str = "") -> list[InputFile]:
    """Return the inputs at `url`, as `list_inputs` does, from the bucket in `store`."""
    bucket, prefix = split_s3_url(url)
    if prefix and not url.endswith("/") and (exact := _exact(store, prefix)):
        files = [InputFile(url, exact.key, exact.size, version=exact.version)]
    else:
        root, pattern = split_glob(prefix) if is_glob(prefix) else (prefix, ["**"])
        tree = _BucketTree(store, root, url)
        if not tree.entries(root):
            raise UsageError(f"--input {url}: no objects there")
        files = select(tree, url, root, pattern, Own(store=_folder_in(bucket, own_store)))
    return list(at_once(lambda file: _looked_into(store, bucket, file), files))


def _exact(store: Store, key: str) -> ObjectInfo | None:
    """The object of this key, unless it is the empty one by which consoles mark a folder."""
    with contextlib.suppress(KeyError):
        exact = store.info(key)
        if exact.size or not any(True for _ in store.list(f"{key}/")):
            return exact
    return None


def _folder_in(bucket: str, url: str) -> str | None:
    """The folder of the bucket that `url` is; None where it is somewhere else."""
    if not url.startswith("s3://"):
        return None
    its_bucket, prefix = split_s3_url(url)
    return prefix if its_bucket == bucket else None


@dataclass(frozen=True, slots=True)
class _Name:
    """An object, or a folder of objects, by its last name."""

    name: str
    found: ObjectInfo | None = None  # None for a folder

    def is_folder(self) -> bool:
        return self.found is None


class _BucketTree:
    """The objects below one folder of a bucket, as a `selection.Tree`."""

    def __init__(self, store: Store, root: str, url: str) -> None:
        self._store = store
        self._url = url
        self._folders: dict[str, dict[tuple[str, bool], _Name]] = {root: {}}
        self._objects: dict[str, ObjectInfo] = {}
        for info in _without_markers(store.list(f"{root}/" if root else "")):
            self._add(root, info)

    def _add(self, root: str, info: ObjectInfo) -> None:
        self._objects[info.key] = info
        folder = root
        *above, name = info.key[len(root) + bool(root) :].split("/")
        if "" in above:
            raise UsageError(f"--input {self._url}: the key {info.key!r} has an empty part")
        for inner in above:
            self._folders[folder].setdefault((inner, True), _Name(inner))
            folder = self.path(folder, inner)
            self._folders.setdefault(folder, {})
        self._folders[folder][name, False] = _Name(name, info)

    def entries(self, folder: str) -> list[_Name]:
        return list(self._folders[folder].values())

    def path(self, folder: str, name: str) -> str:
        return f"{folder}/{name}" if folder else name

    def identity(self, folder: str) -> str:
        return folder

    def file(self, path: str, source: str) -> InputFile:
        info = self._objects[path]
        return InputFile(source, path, info.size, version=info.version)

    def read(self, path: str) -> bytes:
        return _first_bytes(self._store, path, MAX_BYTES)


def _without_markers(found: Iterable[ObjectInfo]) -> Iterator[ObjectInfo]:
    """Leave out the empty objects `folder/` that consoles make; they are listed as `folder`."""
    held: ObjectInfo | None = None
    for info in found:
        if held and not info.key.startswith(f"{held.key}/"):
            yield held
        held = info if info.size == 0 else None
        if held is None:
            yield info
    if held:
        yield held


def _looked_into(store: Store, bucket: str, file: InputFile) -> InputFile:
    """The input with its compression, content and full location; `file.location` is its key."""
    head = _first_bytes(store, file.location, min(HEAD_BYTES, file.size))
    return dataclasses.replace(
        file,
        location=f"s3://{bucket}/{file.location}",
        compression=compression_of(head),
        content=content_of(head),
    )


def _first_bytes(store: Store, key: str, most: int) -> bytes:
    where = f"--input {store.url}/{key}"
    try:
        check_key(key)
    except StorageError as error:
        raise UsageError(f"{where}: {error}") from None
    try:
        return store.get(key, 0, most)
    except KeyError:
        raise UsageError(f"{where}: it is listed, and is not there") from None
