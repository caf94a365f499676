"""Blocks of whole lines of a part of a file, as the scripts written by hand read them."""

import os
from collections.abc import Iterator

BLOCK = 256 * 1024
PARTS = 8

Part = tuple[str, int, int]


def parts(path: str) -> list[Part]:
    size = os.path.getsize(path)
    return [(path, i * size // PARTS, (i + 1) * size // PARTS) for i in range(PARTS)]


def blocks(path: str, start: int, end: int) -> Iterator[str]:
    with open(path, "rb") as file:
        if start:
            file.seek(start - 1)
            file.readline()
        while (at := file.tell()) < end:
            data = file.read(min(BLOCK, end - at))
            if not data:
                return
            if not data.endswith(b"\n"):
                data += file.readline()
            yield data.decode()
