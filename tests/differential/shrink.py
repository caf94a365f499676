"""A program that differs, without every feature that it differs without, and with less input."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

from tests.differential.campaign import Campaign, Difference
from tests.differential.program import File, Program

KEPT = {"seed", "record", "atoms", "reducer", "domain", "files", "arguments", "keys", "values"}
"""Not features, or such that the rest rests on."""


def shrunk(campaign: Campaign, program: Program, found: Difference) -> tuple[Program, Difference]:
    """The smallest that still differs in the same way."""
    smaller = True
    while smaller:
        smaller = False
        for candidate in candidates(program):
            again = _difference(campaign, candidate)
            if again is not None and again.what == found.what:
                program, found, smaller = candidate, again, True
                break
    return program, found


def _difference(campaign: Campaign, program: Program) -> Difference | None:
    """None also for a program that makes no sense any more."""
    try:
        return campaign.difference(program)
    except RuntimeError:
        return None


def candidates(program: Program) -> Iterator[Program]:
    """Programs with one thing less."""
    for field in fields(Program):
        if field.name not in KEPT and getattr(program, field.name) != field.default:
            without: dict[str, Any] = {field.name: field.default}
            yield replace(program, **without)
    for i, file in enumerate(program.files):
        rest = (*program.files[:i], *program.files[i + 1 :])
        if rest:
            yield replace(program, files=rest)
        for smaller in _smaller(file):
            yield replace(program, files=(*program.files[:i], smaller, *program.files[i + 1 :]))


def _smaller(file: File) -> Iterator[File]:
    if file.compression:
        yield replace(file, compression="")
    lines = file.content.split(b"\n")
    for size in (len(lines) // 2, len(lines) // 4, 1):
        for start in range(0, len(lines) if size else 0, max(1, size)):
            yield replace(file, content=b"\n".join(lines[:start] + lines[start + size :]))
