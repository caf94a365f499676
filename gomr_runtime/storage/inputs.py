"""Input files that lie in S3, and how to tell compressed data."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator

from gomr_runtime.errors import UsageError
from gomr_runtime.job import Compression, InputFile
from gomr_runtime.storage.base import ObjectInfo, Store
from gomr_runtime.storage.settings import S3Settings, split_s3_url
from gomr_runtime.storage.several import at_once

MAGIC_BYTES = 6
_MAGIC: tuple[tuple[bytes, Compression], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bz2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)


def compression_of(head: bytes) -> Compression:
    """What a file that begins with `head` (at least MAGIC_BYTES of it) is compressed with."""
    return next((name for magic, name in _MAGIC if head.startswith(magic)), "")


def list_inputs(url: str, settings: S3Settings | None = None) -> list[InputFile]:
    """The inputs at `s3://bucket/prefix`, in order of the bytes of their names.

    An object of exactly that key is the one input, its `source` the URL. Otherwise the prefix is
    a folder: everything below it counts, with `source` relative to it, except hidden names
    (a component that starts with `.`) and folder markers. `version` is the etag. settings: None
    takes them from the environment. UsageError when nothing is there.
    """
    from gomr_runtime.storage.s3 import S3Store  # obstore, only when it is needed

    bucket, prefix = split_s3_url(url)
    store = S3Store(bucket, "", settings or S3Settings.from_env())
    files = _found(store, prefix, url)
    if not files:
        raise UsageError(f"--input {url}: no objects there")
    return list(at_once(lambda file: _with_compression(store, bucket, file), files))


def _found(store: Store, prefix: str, url: str) -> list[InputFile]:
    """Without compression; `location` is still the bare key."""
    above = f"{prefix}/" if prefix else ""
    files: list[InputFile] = []
    if prefix and not url.endswith("/"):
        with contextlib.suppress(KeyError):
            exact = store.info(prefix)
            if exact.size or not any(True for _ in store.list(above)):
                return [InputFile(url, exact.key, exact.size, version=exact.version)]
    for info in _without_markers(store.list(above)):
        source = info.key[len(above) :]
        if not any(name.startswith(".") for name in source.split("/")):
            files.append(InputFile(source, info.key, info.size, version=info.version))
    return files


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


def _with_compression(store: Store, bucket: str, file: InputFile) -> InputFile:
    head = store.get(file.location, 0, min(MAGIC_BYTES, file.size))
    location = f"s3://{bucket}/{file.location}"
    return dataclasses.replace(file, location=location, compression=compression_of(head))
