"""Programs that are only texts import names that are there: no type checker reads them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
ROOMS = "gomr|gomr_runtime|k8s|tasks|flows|tests|bench"
IMPORT = re.compile(
    rf"^[ \t>]*from ((?:{ROOMS})(?:\.\w+)*) import (?:\(([^)]*)\)|([^\n;#\"'\\]+))", re.MULTILINE
)


def imports(text: str) -> Iterator[tuple[str, str]]:
    for found in IMPORT.finditer(text):
        for name in (found[2] or found[3]).split(","):
            if name.strip():
                yield found[1], name.split()[0]


# In a process of its own: what other tests have imported by then does not matter there.
LOOK = """
import importlib, json, sys
def is_there(module, name):
    if hasattr(importlib.import_module(module), name):
        return True
    try:
        importlib.import_module(f"{module}.{name}")
    except ModuleNotFoundError:
        return False
    return True
print(json.dumps([what for what in json.load(sys.stdin) if not is_there(*what)]))
"""


def missing(names: set[tuple[str, str]]) -> list[list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", LOOK],
        input=json.dumps(sorted(names)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[list[str]] = json.loads(done.stdout)
    return found


def test_what_the_texts_of_the_tests_and_the_pages_import_is_there() -> None:
    files = [*ROOT.glob("tests/**/*.py"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*.md")]
    found = {(file, what) for file in files for what in imports(file.read_text())}
    assert len(found) > 500
    gone = [tuple(what) for what in missing({what for _, what in found})]
    assert sorted((file, what) for file, what in found if what in gone) == []


def test_a_name_that_has_moved_is_seen() -> None:
    program = "\n".join(["", "from gomr_runtime.errors " + "import Gone, GomrError", ""])
    assert missing(set(imports(program))) == [["gomr_runtime.errors", "Gone"]]
