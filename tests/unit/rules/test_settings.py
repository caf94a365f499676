"""The environment is read in one module, by settings that are declared there."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from gomr_runtime.options.declared import FIELDS
from gomr_runtime.system.settings import SETTINGS

ROOT = Path(__file__).parents[3]
READER = "gomr_runtime/system/settings.py"
# These hand the environment of this process to another one, or set it for one or for a library.
# None of them takes a setting from it.
HANDED_ON = {
    "flows/__init__.py": "sets the safe path of the processes of the command",
    "flows/cli.py": "Prefect is told by it where its server is, before it is imported",
    "flows/kept_server.py": "of a server's process",
    "gomr_runtime/rpc/connection.py": "gRPC is told by it, before it is imported",
    "gomr_runtime/system/processes.py": "of masters and workers",
    "gomr_runtime/user_code/interpreter_state.py": "put back as it was after a worker file ran",
    "gomr_runtime/worker/__main__.py": "sets the folder for temporary files of user code",
    "gomr_runtime/worker/forkserver.py": "hides secrets from user code, fixes its hashes",
    "k8s/images/build.py": "of the docker command",
}
# A program of its own, which runs in a pod that has none of our packages.
BY_ITSELF = "k8s/manifests/rbac/reaper.py"
SOURCES = sorted(
    path
    for folder in ("gomr_runtime", "flows", "tasks", "k8s")
    for path in (ROOT / folder).rglob("*.py")
    if "_pb" not in path.parts
)
NAMES = {"environ", "environb", "getenv", "getenvb"}


def readings(text: str) -> Iterator[tuple[int, str]]:
    """Line and words of each use of `os.environ` and its likes, however they are imported."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Attribute) and node.attr in NAMES:
            if isinstance(node.value, ast.Name) and node.value.id in {"os", "posix"}:
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.ImportFrom) and node.module in {"os", "posix"}:
            yield from ((node.lineno, a.name) for a in node.names if a.name in NAMES)
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, f"as {a.asname}") for a in node.names if _hidden(a))


def _hidden(alias: ast.alias) -> bool:
    return alias.name in {"os", "posix"} and alias.asname not in {None, "os"}


def variables_taken(text: str) -> set[str]:
    """The names that are taken from the process's own environment: `os.environ["A"]`,
    `os.environ.get("A")`, `"A" in os.environ`, `os.getenv("A")`."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        taken: list[ast.expr] = []
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
            taken = [node.slice] if ast.unparse(node.value) == "os.environ" else []
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            taken = node.args[:1] if called in {"os.environ.get", "os.getenv"} else []
        elif isinstance(node, ast.Compare) and ast.unparse(node.comparators[0]) == "os.environ":
            taken = [node.left] if isinstance(node.ops[0], ast.In | ast.NotIn) else []
        found |= {ast.unparse(name) for name in taken}
    return found


def test_the_environment_is_read_in_one_module() -> None:
    found = {
        str(path.relative_to(ROOT))
        for path in SOURCES
        if list(readings(path.read_text(encoding="utf-8")))
    }
    assert found == {READER, BY_ITSELF, *HANDED_ON}


@pytest.mark.parametrize("name", HANDED_ON)
def test_who_hands_the_environment_on_takes_no_setting_from_it(name: str) -> None:
    assert variables_taken((ROOT / name).read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize(
    "text",
    [
        "import os\nos.environ.get('A')",
        "import os\nos.getenv('A')",
        "from os import environ",
        "from os import getenv as g",
        "import os as o\no.environ",
        "def f(environ=os.environ): ...",
    ],
)
def test_the_check_sees_a_reading(text: str) -> None:
    assert list(readings(text))


def test_the_check_sees_what_is_taken() -> None:
    text = "os.environ['A']; os.environ.get('B', ''); 'C' in os.environ; os.environ['D'] = ''"
    assert variables_taken(text) == {"'A'", "'B'", "'C'"}


def test_no_setting_has_the_variable_of_another_or_of_an_option() -> None:
    variables = [setting.variable for setting in SETTINGS.values()]
    variables += [f"{setting.variable}_FILE" for setting in SETTINGS.values() if setting.by_file]
    variables += [f"GOMR_{name.upper()}" for name in FIELDS]
    assert len(variables) == len(set(variables))


def test_every_setting_is_read_by_its_name_somewhere() -> None:
    text = "".join(p.read_text(encoding="utf-8") for p in SOURCES if not str(p).endswith(READER))
    by_pattern = {name for name in SETTINGS if name.startswith("s3_reader_")}
    ways = {name: (f'"{name}"', f"    {name}: str") for name in SETTINGS if name not in by_pattern}
    assert [name for name, words in ways.items() if not any(w in text for w in words)] == []
