"""Which keys a store takes: the same for every store, so that a run can move between them."""

from __future__ import annotations

from gomr_runtime.errors import StorageError

MAX_KEY_BYTES = 1024  # the limit of S3
MAX_NAME_BYTES = 255  # the limit of a file name on Linux


def check_key(key: str) -> str:
    """`key` itself, or StorageError naming what is wrong with it.

    A key is 1 to 1024 bytes of UTF-8 in non-empty components of at most 255 bytes, separated by
    `/`, without control characters. No component starts with `.`: this rules out `.` and `..`,
    and leaves such names to the stores for files in the making.
    """
    if problem := _problem(key):
        raise StorageError(f"object key {key[:200]!r} is refused: {problem}")
    return key


def check_prefix(prefix: str) -> str:
    """`prefix` itself, or StorageError: the beginning of a valid key, or nothing at all."""
    if prefix:
        check_key(prefix.removesuffix("/"))
    return prefix


def check_range(key: str, start: int, length: int | None) -> None:
    """StorageError for a range that no object can have."""
    if start < 0 or (length is not None and length < 0):
        raise StorageError(f"{key}: bytes from {start}, {length} long: cannot be negative")


def _problem(key: str) -> str:
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    names = encoded.split(b"/")
    if len(encoded) > MAX_KEY_BYTES:
        return f"longer than {MAX_KEY_BYTES} bytes"
    if not all(names):
        return "empty, or with an empty component"
    if any(name.startswith(b".") for name in names):
        return "a component starts with '.'"
    if max(map(len, names)) > MAX_NAME_BYTES:
        return f"a component is longer than {MAX_NAME_BYTES} bytes"
    if any(c < " " or c == "\x7f" for c in key):
        return "it has a control character"
    return ""
