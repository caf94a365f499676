"""docs/security.md names tests that are there, in each of its rows."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ROW = re.compile(r"^\| (?!---|what \|)(.+) \| (.+) \|$", re.MULTILINE)
TEST = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
ROWS = ROW.findall((ROOT / "docs" / "security.md").read_text(encoding="utf-8"))


def test_the_page_has_rows() -> None:
    assert len(ROWS) >= 35


@pytest.mark.parametrize(("what", "held"), ROWS, ids=[what[:50] for what, _ in ROWS])
def test_a_row_names_its_test_or_says_that_there_is_none(what: str, held: str) -> None:
    if held == "none":
        return
    found = TEST.fullmatch(held)
    assert found, held
    tree = ast.parse((ROOT / found[1]).read_bytes())
    names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert found[2] in {None, *names}, what
