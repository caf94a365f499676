"""What `python worker.py` makes of the packages in a worker file's header."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from gomr_runtime.cli.worker import check_dependencies
from gomr_runtime.errors import UsageError
from gomr_runtime.user_code.program_files import ProgramFiles
from gomr_runtime.user_code.worker_file import WorkerFile

HERE = version("msgpack")


def check(*dependencies: str) -> None:
    check_dependencies(WorkerFile(Path("w.py"), ProgramFiles("/", "/w.py", "", ()), dependencies))


@pytest.mark.parametrize(
    "dependency",
    [
        "msgpack",
        "msgpack>=1",
        f"msgpack=={HERE}",
        "msgpack >=1, <1000",
        "MsgPack[extra]",
        'nosuch-package; python_version < "3"',
        'nosuch-package>=2; sys_platform == "elsewhere"',
        'msgpack>=1; python_version >= "3"',
    ],
)
def test_what_is_here_or_is_for_others_is_no_obstacle(dependency: str) -> None:
    check("numpy", dependency)


@pytest.mark.parametrize(
    ("dependency", "has"),
    [
        ("nosuch-package", "does not have"),
        ('nosuch-package; python_version >= "3"', "does not have"),
        ("msgpack>=1000", f"has as {HERE}"),
        (f"msgpack!={HERE}", f"has as {HERE}"),
    ],
)
def test_what_is_missing_or_of_another_version_is_named(dependency: str, has: str) -> None:
    with pytest.raises(UsageError) as caught:
        check("numpy", dependency)
    assert str(caught.value).startswith(f"w.py needs {dependency!r}, which {sys.executable} {has}")


@pytest.mark.parametrize("dependency", ["a b", "msgpack>>1", "msgpack>=one", "msgpack; python"])
def test_what_is_no_requirement_is_refused(dependency: str) -> None:
    with pytest.raises(UsageError, match=r"w\.py: dependency .* is not understood"):
        check(dependency)
