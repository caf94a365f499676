"""Which addresses an option takes: a path of this machine, `s3://`, and nothing that looks like
another place and would become a folder of that name here."""

from __future__ import annotations

import os
import re

MOST_BYTES = 255  # of one name on Linux
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(/+)(.*)", re.DOTALL)


def check_input(address: str) -> str:
    """Return the address of an input, or raise ValueError saying where GoMR can read from."""
    if address.startswith("s3://"):
        return address
    places = "a file, directory, glob, - or s3://bucket/prefix"
    return _check_path(address, f"give {places}")


def check_store(address: str) -> str:
    """Return the address of a store, or raise ValueError saying what it can be."""
    if address.startswith("s3://"):
        return address
    if address == "-":
        raise ValueError("- is no place for a run's data: give a directory or s3://bucket/prefix")
    return _check_length(_check_path(address, "give a directory or s3://bucket/prefix"))


def check_output(address: str) -> str:
    """Return the directory of an output, or raise ValueError for anything else."""
    if address == "-":
        raise ValueError("an output cannot go to standard output: give a directory")
    return _check_length(
        _check_path(address, "an output can only go to a directory of this machine")
    )


def _check_length(path: str) -> str:
    if any(len(os.fsencode(name)) > MOST_BYTES for name in path.split("/")):
        raise ValueError(f"a name in it is longer than {MOST_BYTES} bytes")
    return path


def _check_path(address: str, otherwise: str) -> str:
    if not address or "\0" in address:
        raise ValueError(f"{address!r} is not a file name")
    if address == "~" or re.match(r"~[\w.-]*/", address):
        raise ValueError(f"{address}: the ~ is not expanded here: write the directory out")
    found = _SCHEME.fullmatch(address)
    if found is None:
        return address
    scheme, slashes, rest = found[1].lower(), found[2], found[3]
    if scheme == "file":
        host, _, path = rest.partition("/") if len(slashes) == 2 else ("", "", rest)
        if host in {"", "localhost"}:
            raise ValueError(f"{address}: write the path alone, /{path}")
    if scheme == "s3" and "s3://" in otherwise:
        otherwise = f"write s3://{rest}"
    raise ValueError(f"{address}: {otherwise} (./{address} is a folder of that name)")
