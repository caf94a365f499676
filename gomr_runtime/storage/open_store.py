"""Opens the store that an address names, and makes sure that commits can rest on it."""

from __future__ import annotations

import secrets
from pathlib import Path
from urllib.parse import urlsplit

from gomr_runtime.errors import StorageError, UsageError
from gomr_runtime.storage.base import Store
from gomr_runtime.storage.directory import DirectoryStore, path_of
from gomr_runtime.storage.memory import MemoryStore
from gomr_runtime.storage.s3.settings import S3Settings, split_s3_url


def open_store(url: str, settings: S3Settings | None = None) -> Store:
    """Open the store at a URL.

    Args:
        url: `file:///path`, a plain path, `s3://bucket/prefix` or `memory:`. A directory is made if
            it is missing; a `memory:` store is new at each call.
        settings: The S3 endpoint and its keys; None takes them from the environment.

    Raises:
        UsageError: The URL has another scheme.
    """
    if url == "memory:":
        return MemoryStore()
    if url.startswith("s3://"):
        from gomr_runtime.storage.s3.store import S3Store  # obstore, only when it is needed

        bucket, prefix = split_s3_url(url)
        return S3Store(bucket, prefix, settings or S3Settings.configured())
    if url.startswith("file:"):
        return DirectoryStore(_path_of(url))
    if "://" in url or not url:
        raise UsageError(f"store {url!r}: use a directory, file:///path or s3://bucket/prefix")
    return DirectoryStore(Path(url))


def probe_create_only(store: Store) -> None:
    """StorageError unless the store honours create-only writes, on which every commit rests."""
    key = f"_probe/{secrets.token_hex(8)}"
    try:
        if not store.create(key, b"first"):
            raise StorageError(f"{store.url}: refused to create a new object")
        if store.create(key, b"second") or store.get(key) != b"first":
            raise StorageError(
                f"{store.url} ignores create-only writes (If-None-Match): two masters could both "
                "commit; use a store that has them (S3, MinIO since 2023, a local directory)"
            )
    finally:
        store.delete(key)


def _path_of(url: str) -> Path:
    parts = urlsplit(url)
    if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
        raise UsageError(f"store {url!r}: write file:///absolute/path")
    return path_of(url)
