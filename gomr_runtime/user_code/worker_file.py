"""What can be told about a worker file without running it: its syntax tree and its header."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gomr_runtime.errors import UsageError
from gomr_runtime.user_code.local_imports import read_program, read_source
from gomr_runtime.user_code.program_files import ProgramFiles

# Inline script metadata, as in PEP 723.
_BLOCK = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
_REQUIREMENT = re.compile(r"[A-Za-z0-9][^\x00-\x1f\x7f]*")


@dataclass(frozen=True, slots=True)
class WorkerFile:
    """A worker file that compiles and calls `gomr.run`.

    program: it and the modules beside it that it imports, as they were when they were read.
    dependencies and requires_python: of its PEP 723 header, empty without one.
    """

    path: Path
    program: ProgramFiles
    dependencies: tuple[str, ...] = ()
    requires_python: str = ""


def inspect_worker(path: str | Path, module: str = "") -> WorkerFile:
    """Compile the file and read its syntax tree and header; it is not run.

    Args:
        module: the file's dotted name where it was started by it, with `python -m`.

    Raises:
        UsageError: no such file, a syntax error, no call of `gomr.run`, a config without mapper,
            a header that is not TOML, or a module beside it that cannot be read.
    """
    path = Path(path)
    try:
        source = read_source(path)
    except FileNotFoundError:
        raise UsageError(f"{path}: no such worker file") from None
    except OSError as error:
        raise UsageError(f"{path}: the worker file cannot be read: {error.strerror}") from None
    tree = _parse(path, source)
    _check_tree(path, tree)
    header = _header(path, source)
    return WorkerFile(
        path.absolute(),
        read_program(path.absolute(), source, tree, module),
        tuple(header.get("dependencies", ())),
        header.get("requires-python", ""),
    )


def _parse(path: Path, source: bytes) -> ast.Module:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(source, str(path), "exec", dont_inherit=True)
            return ast.parse(source, str(path))
    except SyntaxError as error:
        line = f":{error.lineno}" if error.lineno else ""
        raise UsageError(
            f"{path}{line}: syntax error: {error.msg}: {(error.text or '').strip():.80}"
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise UsageError(f"{path}: cannot be compiled: {error}") from None


def _check_tree(path: Path, tree: ast.Module) -> None:
    nodes = [*ast.walk(tree)]
    names = dict(_imported_names(nodes))
    calls = list(_calls(nodes, names, "run"))
    if not calls:
        raise UsageError(
            f"{path}: no call of gomr.run: end the file with "
            "gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=reducer))"
        )
    configs = list(_calls(nodes, names, "MapReduceConfig"))
    for call in configs:
        if not _has_mapper(call):
            raise UsageError(
                f"{path}:{call.lineno}: the config has no mapper: "
                "write gomr.MapReduceConfig(mapper=…)"
            )
    for call in calls:
        if not call.args and not call.keywords:
            raise UsageError(f"{path}:{call.lineno}: gomr.run() needs a gomr.MapReduceConfig")


def _imported_names(nodes: list[ast.AST]) -> Iterator[tuple[str, str]]:
    """Local names of `gomr_runtime` and of what is imported from it: `gomr` -> `gomr_runtime`."""
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name == "gomr_runtime":
                    yield alias.asname or alias.name, "gomr_runtime"
        elif isinstance(node, ast.ImportFrom) and node.module == "gomr_runtime":
            for alias in node.names:
                yield alias.asname or alias.name, f"gomr_runtime.{alias.name}"


def _calls(nodes: list[ast.AST], names: dict[str, str], function: str) -> Iterator[ast.Call]:
    wanted = f"gomr_runtime.{function}"
    for node in nodes:
        if isinstance(node, ast.Call) and _dotted(node.func, names) == wanted:
            yield node


def _dotted(node: ast.expr, names: dict[str, str]) -> str:
    if isinstance(node, ast.Name):
        return names.get(node.id, f"gomr_runtime.{node.id}" if "*" in names else "")
    if isinstance(node, ast.Attribute):
        return f"{_dotted(node.value, names)}.{node.attr}"
    return ""


def _has_mapper(config: ast.Call) -> bool:
    given = [keyword.value for keyword in config.keywords if keyword.arg in {"mapper", None}]
    return any(
        not (isinstance(value, ast.Constant) and value.value is None)
        for value in (*config.args[:1], *given)
    )


def _header(path: Path, source: bytes) -> dict[str, Any]:
    text = source.decode("utf-8", "replace").replace("\r\n", "\n")
    blocks = [match for match in _BLOCK.finditer(text) if match["type"] == "script"]
    if not blocks:
        return {}
    if len(blocks) > 1:
        raise UsageError(f"{path}: two '# /// script' headers, PEP 723 allows one")
    lines = blocks[0]["content"].splitlines(keepends=True)
    content = "".join(line[2:] if line.startswith("# ") else line[1:] for line in lines)
    try:
        header = tomllib.loads(content)
    except ValueError as error:
        raise UsageError(f"{path}: the '# /// script' header is no TOML: {error}") from None
    dependencies = header.get("dependencies", [])
    if not isinstance(dependencies, list) or not all(isinstance(d, str) for d in dependencies):
        raise UsageError(f"{path}: dependencies in the '# /// script' header: a list of strings")
    for dependency in dependencies:  # they become lines and arguments for an installer
        if not _REQUIREMENT.fullmatch(dependency):
            raise UsageError(
                f"{path}: dependency {dependency!r} in the '# /// script' header: "
                "write a package's name, with versions if need be, such as 'rich>=13'"
            )
    if not isinstance(header.get("requires-python", ""), str):
        raise UsageError(f"{path}: requires-python in the '# /// script' header: a string")
    return header


def main(argv: list[str]) -> int:
    """Print the packages that a worker file asks for, one a line; images are built with it."""
    try:
        sys.stdout.writelines(f"{name}\n" for name in inspect_worker(*argv).dependencies)
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
