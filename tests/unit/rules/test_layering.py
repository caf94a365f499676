"""Dependencies point one way: flows -> tasks -> gomr_runtime, pure before I/O."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FORBIDDEN = {
    "gomr_runtime": {"prefect", "kubernetes", "kubernetes_asyncio", "flows", "tasks", "fastapi"},
    "gomr_runtime/dataflow": {
        *("asyncio", "grpc", "logging", "os", "random", "socket", "time", "threading"),
        *("gomr_runtime.scheduler", "gomr_runtime.master", "gomr_runtime.worker"),
        *("gomr_runtime._pb", "gomr_runtime.storage", "gomr_runtime.rpc.client"),
    },
    "gomr_runtime/scheduler": {
        *("asyncio", "grpc", "logging", "os", "random", "socket", "time", "threading"),
        *("gomr_runtime.dataflow", "gomr_runtime.master", "gomr_runtime.worker"),
        *("gomr_runtime._pb", "gomr_runtime.storage", "gomr_runtime.rpc.client"),
    },
    "gomr_runtime/storage": {
        "gomr_runtime.master",
        "gomr_runtime.worker",
        "gomr_runtime.rpc.client",
    },
    "tasks": {"flows"},
}
# Measuring decides nothing.
EXCEPTIONS = {
    "gomr_runtime/dataflow/profile.py": {"time.perf_counter"},
}
SOURCES = sorted(
    path
    for folder in ("gomr_runtime", "flows", "tasks", "k8s")
    for path in (ROOT / folder).rglob("*.py")
    if "_pb" not in path.parts
)


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything imported anywhere in the file, lazily or not."""
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def wrong_imports(path: Path, forbidden: set[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for line, name in imports(path)
        if any(name == banned or name.startswith(banned + ".") for banned in forbidden)
        and name not in EXCEPTIONS.get(str(path.relative_to(ROOT)), ())
    ]


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_point_one_way(folder: str) -> None:
    files = [path for path in SOURCES if path.is_relative_to(ROOT / folder)]
    assert files
    assert [w for path in files for w in wrong_imports(path, FORBIDDEN[folder])] == []


def test_the_check_sees_a_wrong_import(tmp_path: Path) -> None:
    assert wrong_imports(ROOT / "flows" / "gomr.py", {"prefect"}), "the flow imports prefect"
    assert [name for _, name in imports(Path(__file__))][:2] == [
        "__future__.annotations",
        "ast",
    ]


@pytest.mark.parametrize("folder", ["proto", "examples", "tests"])
def test_folders_that_are_no_packages(folder: str) -> None:
    assert list((ROOT / folder).rglob("__init__.py")) == []


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_readable(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 500
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 70, f"{path}:{node.lineno}: {node.name}"
