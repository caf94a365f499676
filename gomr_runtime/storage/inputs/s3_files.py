"""From `s3://` addresses to input files."""

from __future__ import annotations

import contextlib
import dataclasses
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from gomr_runtime.errors import StorageError, UsageError
from gomr_runtime.model.inputs.file_signatures import HEAD_BYTES, compression_of, content_of
from gomr_runtime.model.inputs.file_table import Collector, collect
from gomr_runtime.model.inputs.files import InputFile
from gomr_runtime.storage.base import ObjectInfo, Store
from gomr_runtime.storage.inputs.selection import Own, is_glob, select, split_glob
from gomr_runtime.storage.keys import check_key
from gomr_runtime.storage.parallel import at_once
from gomr_runtime.storage.s3.settings import S3Settings, split_s3_url
from gomr_runtime.storage.success import MAX_BYTES


def list_inputs(
    url: str, settings: S3Settings | None = None, *, own_store: str = ""
) -> Sequence[InputFile]:
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
    return inputs_in(S3Store(bucket, "", settings or S3Settings.configured()), url, own_store)


def inputs_in(store: Store, url: str, own_store: str = "") -> Sequence[InputFile]:
    """Return the inputs at `url`, as `list_inputs` does, from the bucket in `store`."""
    bucket, prefix = split_s3_url(url)
    if prefix and not url.endswith("/") and (exact := _exact(store, prefix)):
        files: Iterable[InputFile] = [InputFile(url, exact.key, exact.size, version=exact.version)]
    else:
        root, pattern = split_glob(prefix) if is_glob(prefix) else (prefix, ["**"])
        tree = _BucketTree(store, root, url)
        if not tree.count:
            raise UsageError(f"--input {url}: no objects there")
        files = select(tree, url, root, pattern, Own(store=_folder_in(bucket, own_store)))
    return collect(at_once(partial(_looked_into, store, bucket), files))


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


class _BucketTree:
    """The objects below one folder of a bucket, as a `selection.Tree`: their list, as it came."""

    def __init__(self, store: Store, root: str, url: str) -> None:
        self._store = store
        self._firsts: list[str] = []  # keys, of each block of the list
        collector = Collector()
        above = f"{root}/" if root else ""
        for info in _without_markers(store.list(above)):
            below = info.key[len(above) :]
            if below.startswith("/") or "//" in below:
                raise UsageError(f"--input {url}: the key {info.key!r} has an empty part")
            if collector.is_at_block():
                self._firsts.append(info.key)
            collector.add(InputFile(info.key, "", info.size, version=info.version))
        self._objects = collector.finish()

    @property
    def count(self) -> int:
        """How many objects there are."""
        return len(self._objects)

    def entries(self, folder: str) -> list[str]:
        above = f"{folder}/" if folder else ""
        names: list[str] = []
        end = self._position(f"{folder}0") if folder else len(self._objects)  # "0" follows "/"
        for file in self._objects.between(self._position(above), end):
            name, slash, _ = file.source[len(above) :].partition("/")
            if not names or names[-1] != name + slash:
                names.append(name + slash)
        return names

    def path(self, folder: str, name: str) -> str:
        return f"{folder}/{name}" if folder else name

    def identity(self, folder: str) -> str:
        return folder

    def file(self, path: str, source: str) -> InputFile:
        found = self._objects[self._position(path)]
        return InputFile(source, path, found.size, version=found.version)

    def read(self, path: str) -> bytes:
        return _first_bytes(self._store, path, MAX_BYTES)

    def _position(self, key: str) -> int:
        """The number of the first object that is not before that key."""
        block = max(0, bisect_right(self._firsts, key) - 1)
        if not self._firsts:
            return 0
        before = sum(row.count for row in self._objects.blocks[:block])
        return before + bisect_left(self._objects.of_block(block), key, key=lambda f: f.source)


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
