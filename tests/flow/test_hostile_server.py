"""What a Prefect server says is never executed: no result that it names is unpickled."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.flow.command import Server, run
from tests.flow.hostile_server import hostile_server

# Stores a result that touches a file when it is unpickled, in a storage that the server knows, and
# prints what the state of a run would say of it.
MAKE = """\
import sys
from pathlib import Path
from prefect.filesystems import LocalFileSystem
from prefect.results import ResultStore
from prefect.serializers import PickleSerializer

folder, marker = sys.argv[1:]

class Trap:
    def __reduce__(self):
        return Path.touch, (Path(marker),)

storage = LocalFileSystem(basepath=folder)
storage.save("trap", overwrite=True)
store = ResultStore(result_storage=storage, serializer=PickleSerializer())
record = store.create_result_record(Trap(), key="trap")
store.persist_result_record(record)
metadata = record.metadata.model_copy(update={"storage_block_id": storage._block_document_id})
print(metadata.model_dump_json(serialize_as_any=True))
"""
# A flow as people write it, which takes from the server what it says that the flow came to.
PLAIN = """\
from prefect import flow

@flow
def plain():
    return 1

plain()
"""


def python(environ: dict[str, str], program: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    return tmp_path / "executed"


@pytest.fixture
def trap(server: Server, tmp_path: Path, marker: Path) -> dict[str, Any]:
    (tmp_path / "results").mkdir()
    out = python(server.environ, MAKE, str(tmp_path / "results"), str(marker))
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    assert not marker.exists()
    return found


def test_no_result_that_a_server_names_is_unpickled(
    server: Server, folder: Path, trap: dict[str, Any], marker: Path
) -> None:
    """Neither when the run begins nor when it ends. In the end the same answers show that they
    are an attack: a flow that is none of ours does execute them."""
    arguments = ("--input", "text.txt", "--workers", "1", "--runtime", "local")
    with hostile_server(server.api, "RUNNING", trap) as hostile:
        environ = server.environ | {"PREFECT_API_URL": hostile.api}
        done = run(folder, environ, *arguments, "--output", "never", "worker.py")
        assert hostile.lies == 1
        assert done.returncode == 3, done.stderr
        assert f"Prefect ({hostile.api}): it says Completed" in done.stderr
        assert not (folder / "never").exists()
    assert not marker.exists()

    with hostile_server(server.api, "COMPLETED", trap) as hostile:
        environ = server.environ | {"PREFECT_API_URL": hostile.api}
        done = run(folder, environ, *arguments, "--output", "out", "worker.py")
        assert hostile.lies >= 1
        assert done.returncode == 0, done.stderr
        (part,) = (folder / "out").glob("output-*.txt")
        assert "fox\t200\n" in part.read_text()
    assert not marker.exists()

    with hostile_server(server.api, "RUNNING", trap) as hostile:
        python(server.environ | {"PREFECT_API_URL": hostile.api}, PLAIN)
        assert hostile.lies == 1
    assert marker.exists()
