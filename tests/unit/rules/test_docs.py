"""The pages: every command is run by a test or listed with its reason, every worker in them works.

`tests/flow/test_docs.py` runs the commands.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gomr_runtime.testing import run_local
from gomr_runtime.user_code.worker_file import inspect_worker
from tests.doc_blocks import PAGES, ROOT, Block, blocks_of, commands_in, commands_of, mentioned_in
from tests.doc_commands import NOT_RUN, TYPED_BY, fault_of, one_line, reason_not_to_run
from tests.flow.doc_session import SESSIONS

TEXT = "to be or\nnot to be\n"
PYTHON = [block for page in PAGES for block in blocks_of(page) if block.language == "python"]
WORKERS = [block for block in PYTHON if "gomr.run(" in block.text]
TESTS = [block for block in PYTHON if "def test_" in block.text]


def named(block: Block) -> str:
    return f"{block.page}:{block.line}"


@pytest.mark.parametrize("page", PAGES)
def test_a_command_is_run_or_listed_with_its_reason(page: str) -> None:
    left = [
        command
        for block in blocks_of(page)
        if block.language == "sh" and block.heading not in TYPED_BY.get(page, ())
        for command in commands_in(block.text)
        if not reason_not_to_run(command)
    ]
    assert not left or page in SESSIONS, f"nothing runs {left}: add {page} to SESSIONS, or a reason"


@pytest.mark.parametrize("page", TYPED_BY)
def test_what_another_test_types_is_typed_there(page: str) -> None:
    headings = {block.heading for block in blocks_of(page)}
    typed = (ROOT / "tests" / "flow" / "test_deployment.py").read_text(encoding="utf-8")
    assert all(f'documented("{heading}")' in typed for heading in TYPED_BY[page])
    assert headings >= {*TYPED_BY[page]}


@pytest.mark.parametrize("page", PAGES)
def test_what_is_not_run_names_options_and_files_that_exist(page: str) -> None:
    listed = [command for command in commands_of(page) if reason_not_to_run(command)]
    faults = {command: fault_of(command) for command in (*listed, *mentioned_in(page))}
    assert {command: fault for command, fault in faults.items() if fault} == {}


def test_the_list_holds_only_commands_that_are_in_a_page() -> None:
    there = {one_line(command) for page in PAGES for command in commands_of(page)}
    assert set(NOT_RUN) - there == set()


@pytest.mark.parametrize(
    ("command", "fault"),
    [
        ("python -m flows.gomr --inptu f worker.py", "--inptu"),
        ("python worker.py --input f --mapers 3", "--mapers"),
        ("python worker.py --input f --output-format yaml", "yaml"),
        ("python -m flows.gomr clean --evrything", "--evrything"),
        ("make demos", "demos"),
        ("make bench RWO=sort", "RWO"),
        ("docker build -f Dockerfile.none -t x .", "Dockerfile.none"),
        ("docker build -f Dockerfile.worker --build-arg WORKER=x .", "WORKER"),
        ("kubectl apply -k k8s/manifests/overlays/none", "overlays/none"),
        ("python -m bench.nothing", "bench.nothing"),
    ],
)
def test_a_command_with_a_mistake_is_seen(command: str, fault: str) -> None:
    assert fault in fault_of(command)


def test_commands_are_taken_out_as_they_stand() -> None:
    text = "a --x \\\n    b  # why\n\n# only words\n. c\n"
    assert commands_in(text) == ["a --x \\\n    b", ". c"]


@pytest.mark.parametrize("block", WORKERS, ids=named)
def test_a_worker_of_a_page_runs(tmp_path: Path, block: Block) -> None:
    """What comes out is what its words say: it counts words, or the lengths of lines."""
    worker = tmp_path / (block.saved_as or "worker.py")
    worker.write_text(block.text, encoding="utf-8")
    inspect_worker(worker)
    found: dict[Any, int] = dict(run_local(worker, TEXT).pairs)
    by_length = block.saved_as == "lengths.py"
    assert found == Counter(map(len, TEXT.splitlines()) if by_length else TEXT.split())


@pytest.mark.parametrize("block", TESTS, ids=named)
def test_a_test_of_a_page_passes(tmp_path: Path, block: Block) -> None:
    (tmp_path / "test_page.py").write_text(block.text, encoding="utf-8")
    (tmp_path / "examples").symlink_to(Path("examples").absolute())
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_page.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert f"{block.text.count('def test_')} passed" in done.stdout


def test_every_python_block_is_one_of_them_or_a_header() -> None:
    others = [block for block in PYTHON if block not in WORKERS and block not in TESTS]
    assert [block.text.split("\n")[0] for block in others] == ["# /// script"]
