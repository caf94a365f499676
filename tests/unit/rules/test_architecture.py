"""ARCHITECTURE.md names every module in its room, no file that is not there, and each decision."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
SPEAK_FOR_THEMSELVES = {"scheduler", "master/core"}  # their docstrings are the page
ROOMS = sorted(
    path
    for top in ("gomr_runtime", "k8s", "tasks", "flows")
    for path in [ROOT / top, *(ROOT / top).rglob("*")]
    if path.is_dir() and any(path.glob("*.py")) and path.name not in {"_pb", "__pycache__"}
)
PATHS = sorted(set(re.findall(r"`([\w.]+(?:/[\w.]+)+\.\w+)`", PAGE)))


def name_of(room: Path) -> str:
    """As the page writes it: a room of the wheel without `gomr_runtime/`."""
    return str(room.relative_to(ROOT)).removeprefix("gomr_runtime/")


def words_of(room: str) -> str:
    """The rows of a room, and what the page says of it outside tables."""
    rows, inside = [], False
    for line in PAGE.splitlines():
        if line.startswith("| `") and line.split("|")[1].strip().endswith("/`"):
            inside = line.split("|")[1].strip() == f"`{room}/`"
        elif not line.startswith("| |"):
            inside = False
        if inside or not line.startswith("|"):
            rows.append(line)
    return "\n".join(rows)


@pytest.mark.parametrize("room", ROOMS, ids=name_of)
def test_every_module_is_named_in_its_room(room: Path) -> None:
    if name_of(room) in SPEAK_FOR_THEMSELVES:
        assert (room / "__init__.py").is_file()
        return
    words = words_of(name_of(room))
    shared = {"state", "step"}  # all else in tasks/ is a step, named as its file
    for path in room.glob("*.py"):
        named = path.name.startswith("__") or f"`{path.stem}`" in words
        is_step = room.name == "tasks" and path.stem not in shared
        assert named or is_step, path.relative_to(ROOT)


@pytest.mark.parametrize("path", PATHS)
def test_every_file_that_is_named_is_there(path: str) -> None:
    assert (ROOT / path).exists() or (ROOT / "gomr_runtime" / path).exists()


def test_decisions_are_numbered_and_listed() -> None:
    numbers = [int(n) for n in re.findall(r"^### D(\d+)\. ", PAGE, re.MULTILINE)]
    assert numbers == list(range(1, len(numbers) + 1))
    titles = re.findall(r"^### (D\d+\. .+)$", PAGE, re.MULTILINE)
    assert titles == re.findall(r"^  - \[(D\d+\. .+)\]\(#", PAGE, re.MULTILINE)


def test_links_lead_to_headings() -> None:
    headings = {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    }
    links = re.findall(r"\]\(#([\w-]+)\)", PAGE)
    assert len(links) > 40
    assert set(links) <= headings
