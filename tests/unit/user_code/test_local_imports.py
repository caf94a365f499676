"""Which modules beside a worker file belong to its program."""

from __future__ import annotations

import json
import sysconfig
from pathlib import Path

import pytest

from gomr_runtime.errors import UsageError
from gomr_runtime.user_code.program_files import ProgramFiles, decode, encode
from gomr_runtime.user_code.worker_file import inspect_worker

RUN = "\nimport gomr_runtime as gomr\ngomr.run(gomr.MapReduceConfig(mapper=print))\n"
EXTENSION = f"fast{sysconfig.get_config_var('EXT_SUFFIX')}"

# Files beside the worker by their text, the worker's own first lines, the modules of the program.
CASES = {
    "none": ({"other.py": ""}, "import json, os.path", []),
    "one": ({"a.py": "", "b.py": ""}, "import a", ["a"]),
    "several in one line": ({"a.py": "", "b.py": ""}, "import a as x, b", ["a", "b"]),
    "transitive": ({"a.py": "import b", "b.py": "from c import d", "c.py": ""}, "import a", "abc"),
    "in a circle": ({"a.py": "import b", "b.py": "import a"}, "import a", "ab"),
    "of itself": ({"a.py": "import worker"}, "import a", ["a", "worker"]),
    "in a function": ({"a.py": ""}, "def f():\n    from a import x", ["a"]),
    "under TYPE_CHECKING": (
        {"a.py": ""},
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a\n    import nowhere",
        ["a"],
    ),
    "where it may be missing": (
        {"a.py": ""},
        "try:\n    import nowhere\nexcept ImportError:\n    import a",
        ["a"],
    ),
    "by name": (
        {"a.py": "", "b.py": "", "c.py": ""},
        "import importlib\nfrom importlib import import_module\n"
        "importlib.import_module('a')\nimport_module('b')\n__import__('c')",
        "abc",
    ),
    "by a name that is computed": ({"a.py": ""}, "import importlib\nimport_module('a' + '')", []),
    "package": ({"p/__init__.py": "", "p/a.py": ""}, "import p", ["p"]),
    "module of a package": ({"p/__init__.py": "", "p/a.py": ""}, "import p.a", ["p", "p.a"]),
    "from a package": (
        {"p/__init__.py": "", "p/a.py": "", "p/b.py": ""},
        "from p import a, nothing",
        ["p", "p.a"],
    ),
    "star": (
        {"p/__init__.py": "__all__ = ['a']\n__all__ += ['b']", "p/a.py": "", "p/b.py": ""},
        "from p import *",
        ["p", "p.a", "p.b"],
    ),
    "relative": (
        {
            "p/__init__.py": "from . import a",
            "p/a.py": "from .q import b",
            "p/q/__init__.py": "from ..c import d",
            "p/q/b.py": "",
            "p/c.py": "",
        },
        "import p",
        ["p", "p.a", "p.c", "p.q", "p.q.b"],
    ),
    "relative by name": (
        {"p/__init__.py": "import importlib\nimportlib.import_module('.a', 'p')", "p/a.py": ""},
        "import p",
        ["p", "p.a"],
    ),
    "relative beyond the top": ({"a.py": "from .. import b", "b.py": ""}, "import a", ["a"]),
    "folder without init": ({"p/q/a.py": ""}, "from p.q import a", ["p.q.a"]),
    "folder named as what is installed": ({"numpy/a.py": ""}, "import numpy.a", []),
    "package before a module": (
        {"a.py": "", "a/__init__.py": "import b", "b.py": ""},
        "import a",
        "ab",
    ),
    "compiled": ({EXTENSION: "", "fast.py": ""}, "import fast", []),
    "named as the standard library": ({"queue.py": "", "json.py": ""}, "import queue", ["queue"]),
    "named as what is part of Python": ({"sys.py": "", "os.py": ""}, "import sys, os", []),
    "ours": ({"gomr_runtime/__init__.py": ""}, "import gomr_runtime", []),
    "no Python": ({"a.py": "def"}, "try:\n    import a\nexcept SyntaxError: pass", ["a"]),
    "in another encoding": ({"a.py": "# coding: latin-1\nimport b", "b.py": ""}, "import a", "ab"),
}  # fmt: skip


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def program(folder: Path, files: dict[str, str], worker: str = "worker.py") -> ProgramFiles:
    write(folder, files)
    return inspect_worker(folder / worker).program


@pytest.mark.parametrize("case", CASES)
def test_what_is_imported_from_beside_the_worker_file(tmp_path: Path, case: str) -> None:
    files, text, expected = CASES[case]
    found = program(tmp_path, {**files, "worker.py": text + RUN})
    assert sorted(found.by_module) == sorted(expected)
    for file in found.files:
        assert file.source == (tmp_path / file.path).read_bytes()
        assert found.path_of(file) == str(tmp_path / file.path)


def test_a_module_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"worker.py": "import a" + RUN})
    (tmp_path / "a.py").mkdir()
    (tmp_path / "a.py").rmdir()
    (tmp_path / "a.py").symlink_to("/proc/self/mem")
    with pytest.raises(UsageError, match=r"a\.py: the worker file imports it, and it cannot be"):
        inspect_worker(tmp_path / "worker.py")


def test_a_symbolic_link_finds_the_modules_of_the_file_it_leads_to(tmp_path: Path) -> None:
    write(tmp_path / "real", {"job.py": "import a" + RUN, "a.py": ""})
    (tmp_path / "worker.py").symlink_to("real/job.py")
    found = inspect_worker(tmp_path / "worker.py").program
    assert list(found.by_module) == ["a"]
    assert (found.root, found.file) == (str(tmp_path / "real"), str(tmp_path / "worker.py"))


PACKAGE = {
    "top/__init__.py": "",
    "top/jobs/__init__.py": "",
    "top/jobs/a.py": "from top import b",
    "top/b.py": "",
    "c.py": "",
}


def test_a_worker_file_of_a_package_is_run_as_one(tmp_path: Path) -> None:
    write(tmp_path, PACKAGE | {"top/jobs/worker.py": "from . import a\nimport c" + RUN})
    found = inspect_worker(tmp_path / "top" / "jobs" / "worker.py").program
    assert (found.root, found.package) == (str(tmp_path), "top.jobs")
    assert found.main.path == "top/jobs/worker.py"
    assert sorted(found.by_module) == ["c", "top", "top.b", "top.jobs", "top.jobs.a"]


def test_with_python_m_the_name_counts(tmp_path: Path) -> None:
    write(tmp_path, PACKAGE | {"top/jobs/worker.py": "from top.jobs import a" + RUN})
    path = tmp_path / "top" / "jobs" / "worker.py"
    assert inspect_worker(path).program.by_module == {}
    found = inspect_worker(path, "top.jobs.worker").program
    assert (found.root, found.package) == (str(tmp_path), "top.jobs")
    assert sorted(found.by_module) == ["top", "top.b", "top.jobs", "top.jobs.a"]
    alone = inspect_worker(path, "worker").program
    assert (alone.root, alone.package) == (str(path.parent), "")


def test_where_packages_are_installed_only_its_own_is_the_program(tmp_path: Path) -> None:
    site = tmp_path / "lib" / "site-packages"
    write(site, {"mine/__init__.py": "", "mine/a.py": "", "yaml/__init__.py": ""})
    write(
        site,
        {"mine/worker.py": "from mine import a\nimport yaml" + RUN, "w.py": "import yaml" + RUN},
    )
    found = inspect_worker(site / "mine" / "worker.py", "mine.worker").program
    assert sorted(found.by_module) == ["mine", "mine.a"]
    assert inspect_worker(site / "w.py").program.by_module == {}


def test_the_copy_comes_back_from_its_bytes(tmp_path: Path) -> None:
    write(tmp_path, {"worker.py": "import a\nimport p.b" + RUN, "p/b.py": ""})
    (tmp_path / "a.py").write_bytes(b"# coding: latin-1\nx = '\xe9\xff'\r\n")
    found = inspect_worker(tmp_path / "worker.py").program
    data = encode(found)
    assert decode(data) == decode(data, found.sha256) == found
    with pytest.raises(ValueError, match="checksum"):
        decode(data, "0" * 64)
    changed = json.loads(data)
    changed["files"][1]["source"] += "#"
    with pytest.raises(ValueError, match="checksum"):
        decode(json.dumps(changed).encode())
    for wrong in (b"", b"[]", b"{}", b'{"files": [{}]}'):
        with pytest.raises(ValueError):
            decode(wrong)


def test_programs_are_the_same_wherever_they_lie_and_differ_by_every_file(tmp_path: Path) -> None:
    files = {"worker.py": "import a\nimport p.b" + RUN, "a.py": "1", "p/b.py": "2"}
    first = program(tmp_path / "x", files)
    assert program(tmp_path / "y", files).sha256 == first.sha256
    changes = {
        "a.py has changed": {"a.py": "3"},
        "worker.py has changed": {"worker.py": "import p.b\nimport a" + RUN},
        "p/__init__.py became part of the program": {"p/__init__.py": ""},
    }
    for i, (words, change) in enumerate(changes.items()):
        other = program(tmp_path / str(i), files | change)
        assert other.sha256 != first.sha256
        assert first.difference(other) == words
    assert first.difference(program(tmp_path / "z", files)) == ""
    fewer = program(tmp_path / "w", files | {"worker.py": "import a" + RUN})
    assert first.difference(fewer) == "worker.py has changed"
