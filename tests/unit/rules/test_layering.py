"""Dependencies point one way: flows -> tasks -> k8s -> gomr_runtime, and inside it from the public
face down to values. Lazy imports and those for type checkers count."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TOP = ("gomr_runtime", "k8s", "tasks", "flows")
VALUES = "errors codec model"
# What each layer imports of ours, the lowest first; a layer stands for its modules.
LAYERS: dict[str, str] = {
    "gomr_runtime.version": "",
    "gomr_runtime.codec": "",
    "gomr_runtime.errors": "model",  # the values that an error carries
    "gomr_runtime.model": "errors codec",
    "gomr_runtime.laws": VALUES,
    "gomr_runtime.system": VALUES,
    "gomr_runtime.api": f"{VALUES} laws",
    "gomr_runtime.columns": f"{VALUES} api",
    "gomr_runtime.user_code": f"{VALUES} laws system api columns",
    "gomr_runtime.dataflow": f"{VALUES} laws system api columns user_code",
    "gomr_runtime.scheduler": VALUES,
    "gomr_runtime.storage": f"{VALUES} system",
    "gomr_runtime.rpc": f"{VALUES} system version",
    "gomr_runtime.master.core": f"{VALUES} laws scheduler",
    "gomr_runtime.master": f"{VALUES} laws system dataflow scheduler storage rpc master.core",
    "gomr_runtime.worker": f"{VALUES} laws system api user_code dataflow storage rpc",
    "gomr_runtime.options": f"{VALUES} system version",
    "gomr_runtime.publishing": f"{VALUES} system storage",
    "gomr_runtime.runs": f"{VALUES} laws system api user_code dataflow scheduler storage rpc "
    "options publishing master master.core",
    "gomr_runtime.cli": f"{VALUES} laws system api user_code options runs",
    "gomr_runtime.testing": f"{VALUES} laws system api user_code dataflow storage runs",
    "k8s": "",
    "tasks": "k8s",
    "flows": "tasks k8s",
}
PROTOBUF = "gomr_runtime._pb"
FACE = "gomr_runtime"  # what worker files name; nothing of ours imports it
OVER_THE_WHEEL = ("k8s", "tasks", "flows")
PURE = ("asyncio", "grpc", "logging", "os", "random", "socket", "time", "threading")
FOREIGN = {  # packages of others that a layer does without
    "gomr_runtime": ("prefect", "kubernetes", "kubernetes_asyncio", "fastapi"),
    "gomr_runtime.dataflow": (*PURE, PROTOBUF),
    "gomr_runtime.scheduler": (*PURE, PROTOBUF),
    "gomr_runtime.master.core": (*PURE, PROTOBUF, "google"),
    "k8s": ("prefect",),
}
EXCEPTIONS = {("gomr_runtime.dataflow.profile", "time.perf_counter")}  # measuring decides nothing


def module_of(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


MODULES = {
    module_of(path): path
    for folder in TOP
    for path in sorted((ROOT / folder).rglob("*.py"))
    if "_pb" not in path.parts
}


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything imported anywhere in the file, lazily or not."""
    for node in ast.walk(ast.parse(path.read_bytes(), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def ours(name: str) -> str | None:
    """The module of ours that an imported name is, or is in; None for what others made."""
    if within(name, PROTOBUF):
        return None
    while name and name not in MODULES:
        name = name.rpartition(".")[0]
    return name or None


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def layer_of(module: str) -> str:
    """The innermost layer that the module is in."""
    found = [layer for layer in LAYERS if within(module, layer)]
    return max(found, key=len) if found else FACE


def allowed(layer: str) -> set[str]:
    below = {
        f"gomr_runtime.{name}" if layer.startswith(FACE) else name for name in LAYERS[layer].split()
    }
    if layer in OVER_THE_WHEEL:
        below |= {name for name in LAYERS if within(name, FACE)}
    return below | {layer}


def wrong_imports(module: str, path: Path) -> Iterator[str]:
    layer = layer_of(module)
    foreign = [
        name for package, names in FOREIGN.items() if within(module, package) for name in names
    ]
    for line, name in imports(path):
        where = f"{path.relative_to(ROOT)}:{line}: {name}"
        if any(within(name, banned) for banned in foreign) and (module, name) not in EXCEPTIONS:
            yield where
        target = ours(name)
        if target is not None and layer != FACE and layer_of(target) not in allowed(layer):
            yield where


def graph() -> dict[str, set[str]]:
    """Which modules each module imports; a module is not taken to import the packages it is in."""
    found: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        targets = {ours(name) for _, name in imports(path)} - {None, module}
        found[module] = {str(target) for target in targets}
    return found


def reached(start: str, edges: Mapping[str, set[str]]) -> set[str]:
    seen, todo = {start}, [start]
    while todo:
        new = edges[todo.pop()] - seen
        seen |= new
        todo += new
    return seen


@pytest.mark.parametrize("layer", [*LAYERS, FACE])
def test_a_layer_imports_what_is_below_it(layer: str) -> None:
    members = {module: path for module, path in MODULES.items() if layer_of(module) == layer}
    assert members
    assert [
        wrong for module, path in members.items() for wrong in wrong_imports(module, path)
    ] == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_what_is_below_never_reaches_what_is_above() -> None:
    edges = graph()
    for module in MODULES:
        if within(module, FACE):
            far = [name for name in reached(module, edges) if not within(name, FACE)]
            assert far == [], f"{module} reaches {far}"
        if layer_of(module) in {"gomr_runtime.scheduler", "gomr_runtime.master.core"}:
            below = {layer_of(name) for name in reached(module, edges)}
            assert below <= allowed(layer_of(module)) | {"gomr_runtime.system"}, module


def test_the_checks_see_what_is_wrong(tmp_path: Path) -> None:
    assert layer_of("gomr_runtime.master.core.books") == "gomr_runtime.master.core"
    assert ours("gomr_runtime.model.summary.Part") == "gomr_runtime.model.summary"
    module = "gomr_runtime.scheduler.wrong"
    path = ROOT / "gomr_runtime" / "scheduler" / "wrong.py"
    lines = ["import time", "def f():", "    from gomr_runtime.storage import base", "import json"]
    (tmp_path / "wrong.py").write_text("\n".join(lines))
    found = [line for line, name in imports(tmp_path / "wrong.py")]
    assert sorted(found) == [1, 3, 4]
    assert layer_of(module) == "gomr_runtime.scheduler"
    assert layer_of("gomr_runtime.storage.base") not in allowed(layer_of(module))
    assert not path.exists()
    with pytest.raises(CycleError):
        TopologicalSorter({"a": {"b"}, "b": {"a"}}).prepare()


@pytest.mark.parametrize("folder", ["proto", "examples", "tests"])
def test_folders_that_are_no_packages(folder: str) -> None:
    assert list((ROOT / folder).rglob("__init__.py")) == []


def test_the_root_of_the_wheel_is_its_public_face() -> None:
    found = {path.name for path in (ROOT / "gomr_runtime").iterdir() if path.is_file()}
    assert found == {"__init__.py", "errors.py", "testing.py", "version.py", "py.typed"}


@pytest.mark.parametrize("folder", sorted({path.parent for path in MODULES.values()}), ids=str)
def test_a_folder_is_a_room(folder: Path) -> None:
    assert len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) <= 15


@pytest.mark.parametrize("path", MODULES.values(), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_readable(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{path}:{node.lineno}: {node.name}"
