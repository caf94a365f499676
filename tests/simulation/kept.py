"""Seeds that once failed: they are run again for ever. One a line: seed, tab, what it found."""

from __future__ import annotations

from pathlib import Path

FILE = Path(__file__).with_name("kept_seeds.txt")


def kept() -> dict[int, str]:
    """What each kept seed found."""
    found: dict[int, str] = {}
    for line in FILE.read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            seed, _, cause = line.partition("\t")
            found[int(seed)] = cause
    return found


def keep(seed: int, cause: str) -> None:
    """Add a seed that failed, once."""
    if seed not in kept():
        with FILE.open("a", encoding="utf-8") as file:
            file.write(f"{seed}\t{cause[:300]}\n")
