"""Programs that are only texts import names that are there: no type checker reads them."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
ROOMS = "gomr|gomr_runtime|k8s|tasks|flows"
IMPORT = re.compile(
    rf"^[ \t>]*from ((?:{ROOMS})(?:\.\w+)*) import (?:\(([^)]*)\)|([^\n;#\"'\\]+))", re.MULTILINE
)


def imports(text: str) -> Iterator[tuple[str, str]]:
    for found in IMPORT.finditer(text):
        for name in (found[2] or found[3]).split(","):
            if name.strip():
                yield found[1], name.split()[0]


def is_there(module: str, name: str) -> bool:
    if hasattr(importlib.import_module(module), name):
        return True
    try:
        importlib.import_module(f"{module}.{name}")
    except ModuleNotFoundError:
        return False
    return True


def test_what_the_texts_of_the_tests_and_the_pages_import_is_there() -> None:
    files = [*ROOT.glob("tests/**/*.py"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md")]
    found = {(file, *what) for file in files for what in imports(file.read_text())}
    assert len(found) > 500
    assert [what for what in sorted(found) if not is_there(what[1], what[2])] == []


def test_a_name_that_has_moved_is_seen() -> None:
    program = "\n".join(["", "from gomr_runtime.errors " + "import Gone, GomrError", ""])
    assert [what for what in imports(program) if not is_there(*what)] == [
        ("gomr_runtime.errors", "Gone")
    ]
