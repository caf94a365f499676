"""docs/faults.md and the tests name each other: a row's tests carry its id, and the reverse."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TESTS = ROOT / "tests"
ROW = re.compile(r"^\| ([A-Z]\d+) \|.*\| ([^|]+) \|$", re.MULTILINE)
NAMED = re.compile(r"`([\w/]*test_\w+\.py)`")
OF_THE_RUNTIME = "UWMNS"  # user code, workers, masters, messages, stores
NOT_HERE = {"M2", "W9", "W13"}  # pods and nodes: docs/kubernetes.md


def rows() -> list[tuple[str, list[str]]]:
    """Id and test files of each row, as the page has them."""
    page = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
    return [(row, NAMED.findall(tests)) for row, tests in ROW.findall(page)]


def ids_in(path: Path) -> set[str]:
    """Of test names and of the ids of their parameters."""
    source = path.read_text(encoding="utf-8")
    names = re.findall(r"(?:def test_|\")((?:[A-Z]\d+_)+)", source)
    return {row for name in names for row in name.strip("_").split("_")}


def file_of(name: str) -> Path:
    found = [ROOT / name] if "/" in name else [*(TESTS / "process").rglob(name)]
    assert len(found) == 1, f"docs/faults.md names {name}, which is not there"
    assert found[0].is_file(), f"docs/faults.md names {name}, which is not there"
    return found[0]


def test_the_page_has_rows() -> None:
    assert len(rows()) >= 40
    assert {row[0] for row, _ in rows()} >= set(OF_THE_RUNTIME)


@pytest.mark.parametrize(("row", "files"), rows(), ids=[row for row, _ in rows()])
def test_a_row_has_tests_with_its_id(row: str, files: list[str]) -> None:
    assert files, f"row {row} of docs/faults.md names no test"
    for name in files:
        assert row in ids_in(file_of(name)), f"no test in {name} has {row} in its name"


def test_every_test_of_a_fault_has_its_row() -> None:
    folders = [TESTS / folder for folder in ("unit", "process", "simulation")]
    files = [path for folder in folders for path in folder.rglob("test_*.py")]
    tested = {row for path in files for row in ids_in(path) if row[0] in OF_THE_RUNTIME}
    assert tested - {row for row, _ in rows()} - NOT_HERE == set()
