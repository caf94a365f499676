"""Input files: words in every record format, with the odd line ends, marks and compressions."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
from collections.abc import Callable
from random import Random
from typing import Any

import zstandard

from tests.differential.program import File
from tests.differential.vocabulary import WORDS

NAMES = ["a.txt", "b/c.txt", "b/d", "Z", "10", "9", "é.log", "a b", "b.txt", "b/a/x"]
PACKED: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gz": lambda data: gzip.compress(data, mtime=0),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.ZstdCompressor().compress,
}
ATOMS: dict[str, list[str]] = {
    "chunk": [
        "record.split()",
        "[a for line in record.split('\\n') for a in line.split(' ') if a]",
        "record.splitlines()",
    ],
    "lines": ["record.split()", "[record]", "record.split(' ')", "list(dict.fromkeys(record))"],
    "jsonl": ["record['w']", "[str(record)]", "[str(value) for value in record.values()]"],
    "csv": ["list(record.values())", "[record['a']]", "record['b'].split()", "list(record)"],
    "whole_file": ["record.split()", "record.splitlines()"],
    "raw_bytes": ["[w.decode('latin-1') for w in record.split()]", "[str(len(record))]"],
}
RECORDS = ["chunk", *["lines"] * 3, "jsonl", "csv", "csv(quoted_newlines=False)"]
RECORDS += ["whole_file", "raw_bytes"]


def kind_of(record: str) -> str:
    return record.partition("(")[0]


def files_of(random: Random, record: str, fault: str) -> tuple[File, ...]:
    """One to four files; with a fault that is in the input, or comes with "boom", it is in one."""
    names = random.sample(NAMES, random.choice([1, 1, 2, 3, 4]))
    files = []
    for name in names:
        lines = [_line(random, record) for _ in range(random.choice([0, 1, 2, 5, 12, 30]))]
        files.append((name, lines))
    if fault:
        _spoil(random, record, fault, files)
    made = [
        File(f"in/{name}", _joined(random, record, lines), random.choice(["", "", "", *PACKED]))
        for name, lines in files
    ]
    if random.random() < 0.1:
        made.append(File("in/.hidden", b"hidden\n"))
    return tuple(made)


def _words(random: Random, most: int = 8) -> list[str]:
    few = random.sample(WORDS, 6)
    return random.choices(few, k=random.randint(0, most))


def _line(random: Random, record: str) -> bytes:
    words = _words(random)
    if kind_of(record) == "jsonl":
        value: dict[str, Any] = {"w": words, "n": random.choice([None, 1, -2.5, 10**30, [1, {}]])}
        return json.dumps(value, ensure_ascii=random.random() < 0.5).encode()
    if kind_of(record) == "csv":
        if record == "csv" and random.random() < 0.2:
            words.append("\n")
        return _row([" ".join(words[:3]), " ".join(words[3:]), random.choice(WORDS)])
    return " ".join(words).encode()


def _row(cells: list[str]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerow(cells)
    return text.getvalue().removesuffix("\r\n").encode()


def _spoil(random: Random, record: str, fault: str, files: list[tuple[str, list[bytes]]]) -> None:
    bad = {"bad UTF-8": b"\xc3(", "bad JSON": b"{nope", "short row": b"one,two"}.get(fault)
    if bad is None:
        bad = b"boom"
        if kind_of(record) == "jsonl":
            bad = b'{"w": ["boom"], "n": 1}'
        elif kind_of(record) == "csv":
            bad = b"boom,boom,boom"
    for _ in range(random.choice([1, 1, 2])):
        lines = random.choice(files)[1]
        lines.insert(random.randint(0, len(lines)), bad)


def _joined(random: Random, record: str, lines: list[bytes]) -> bytes:
    kind = kind_of(record)
    end = random.choice([b"\n", b"\n", b"\n", b"\r\n"])
    if kind == "csv":
        lines = [b"a,b,c", *lines]
    elif kind == "jsonl" and random.random() < 0.3:
        lines = [*lines[:1], b"", b"  ", *lines[1:]]
    elif kind in ("lines", "chunk") and random.random() < 0.2:
        lines = [*lines[:2], b"", *lines[2:]]
    data = end.join(lines)
    if lines and random.random() < 0.8:
        data += end
    return b"\xef\xbb\xbf" + data if kind != "raw_bytes" and random.random() < 0.1 else data


def stored(file: File) -> bytes:
    """The file's bytes on the disk."""
    return PACKED[file.compression](file.content)
