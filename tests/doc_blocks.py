"""What README.md and docs/ tell people to type, taken out of the pages as it stands there.

Commands are in fenced blocks marked `sh`, or in blocks that are indented by four spaces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
_SAVED = re.compile(r"[Ss]ave (?:it |this )?as `([^`]+)`")
_INLINE = re.compile(r"`((?:python|make|prefect|kubectl|docker|kind|uv) [^`]+)`")


@dataclass(frozen=True)
class Block:
    """A block of a page. heading: what it stands under. saved_as: the file name that the text
    before it gives it."""

    page: str
    line: int
    language: str
    text: str
    heading: str
    saved_as: str = ""


def blocks_of(page: str) -> list[Block]:
    """Fenced and indented blocks of a page in order; an indented one is `sh`."""
    return list(_blocks(page, (ROOT / page).read_text(encoding="utf-8").split("\n")))


def _blocks(page: str, lines: list[str]) -> Iterator[Block]:
    at = 0
    before = heading = ""
    while at < len(lines):
        line, start = lines[at], at + 1
        if line.startswith("```"):
            end = next(i for i in range(start, len(lines)) if lines[i].startswith("```"))
            saved = _SAVED.search(before)
            text = "\n".join(lines[start:end]) + "\n"
            yield Block(page, start, line[3:], text, heading, saved[1] if saved else "")
            at, before = end + 1, ""
        elif line.startswith("    ") and not (at and lines[at - 1].strip()):
            end = at
            while end < len(lines) and (lines[end].startswith("    ") or not lines[end].strip()):
                end += 1
            text = "\n".join(found[4:] for found in lines[at:end]).rstrip() + "\n"
            yield Block(page, start, "sh", text, heading)
            at = end
        else:
            before = line if line.strip() else before
            heading = line.lstrip("# ") if line.startswith("#") else heading
            at += 1


def commands_in(text: str) -> list[str]:
    """The commands of a block, each with its continuation lines, without comments."""
    found: list[str] = []
    going_on = False
    for line in text.split("\n"):
        if going_on:
            found[-1] += f"\n{line}"
        elif line.strip() and not line.lstrip().startswith("#"):
            found.append(line)
        going_on = line.endswith("\\")
    return [re.sub(r"\s+#\s.*$", "", command) for command in found]


def commands_of(page: str) -> list[str]:
    """Every command of a page in order."""
    return [
        command
        for block in blocks_of(page)
        if block.language == "sh"
        for command in commands_in(block.text)
    ]


def mentioned_in(page: str) -> list[str]:
    """Commands within the text of a page: what stands between backquotes and begins like one."""
    text = re.sub(
        r"^```.*?^```",
        "",
        (ROOT / page).read_text(encoding="utf-8"),
        flags=re.MULTILINE | re.DOTALL,
    )
    return _INLINE.findall(text)


def words_of(command: str) -> list[str]:
    """The command's words, roughly as a shell has them: variables set before it left out."""
    import shlex

    words = shlex.split(command.replace("\\\n", " ").replace("…", "X"))
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0], flags=re.DOTALL):
        words = words[1:]
    return words
