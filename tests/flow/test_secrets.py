"""Secrets of a flow run, looked for wherever somebody else may read: in processes, logs, outputs,
and in all that Prefect has stored."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from gomr_runtime.storage.open_store import open_store
from tests.flow.command import Server, clean_environ
from tests.flow.test_s3_store import BUCKET
from tests.process.launcher.test_secrets import as_anybody
from tests.process.support.minio_server import running_minio

AUTH = "canary-71bd05aa-prefect"
# Notes the tokens of its run, which are in files of its user, and looks for them and for the other
# secrets in what every user can see of a process, and in the environments that it may read.
LOOKING = """\
import json
import os
from pathlib import Path
import gomr_runtime as gomr


def mapper(ctx: gomr.Context, line: str) -> None:
    here = Path({here!r})
    tokens = [path.read_text() for path in Path({temporary!r}).glob("gomr-*/*token")]
    (here / "tokens.json").write_text(json.dumps(tokens))
    wanted = [*json.loads((here / "secrets.json").read_text()), *tokens]
    for number in filter(str.isdecimal, os.listdir("/proc")):
        for name in ("cmdline", "environ"):
            try:
                text = Path("/proc", number, name).read_bytes().decode("utf-8", "replace")
            except OSError:
                continue
            ctx.counter(name).add()
            if any(secret in text for secret in wanted):
                ctx.emit(f"a secret in {{name}} of {{number}}", 1)
    ctx.emit("looked", 1)


if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=gomr.sum, input=gomr.lines))
"""


def stored_by_prefect(home: Path) -> bytes:
    """Its database with what is on its way into it, its results, and the log of its server."""
    files = [path for path in home.rglob("*") if path.is_file()]
    assert any(path.name == "prefect.db" for path in files)
    return b"\0".join(path.read_bytes() for path in files)


@pytest.fixture
def temporary() -> Iterator[str]:
    """A folder for temporary files whose path leaves room for the name of a socket."""
    with tempfile.TemporaryDirectory(prefix="gomr-test-", dir="/tmp") as folder:
        yield folder


@pytest.mark.timeout(3600)  # the first test that needs MinIO may have to build it
def test_no_secret_leaves_the_flow_but_to_whom_it_is_for(
    server: Server, tmp_path: Path, temporary: str
) -> None:
    """The keys of its store, its tokens and Prefect's password: not in arguments or environments
    of processes, what is printed, outputs, logs, and parameters, artifacts, logs and events."""
    here = tmp_path / "here"
    here.mkdir()
    (here / "looking.py").write_text(LOOKING.format(here=str(here), temporary=temporary))
    (here / "text.txt").write_text("a line\n")
    with running_minio(tmp_path) as minio:
        minio.make_bucket(BUCKET)
        settings = minio.settings
        (here / "secrets.json").write_text(json.dumps([settings.secret_key, AUTH]))
        environ = server.environ | {
            "GOMR_S3_ENDPOINT": settings.endpoint,
            "GOMR_S3_REGION": settings.region,
            "GOMR_S3_ACCESS_KEY": settings.access_key,
            "GOMR_S3_SECRET_KEY": settings.secret_key,
            "PREFECT_API_AUTH_STRING": f"admin:{AUTH}",
            "TMPDIR": temporary,
        }
        done = subprocess.run(
            [
                *(sys.executable, "-m", "flows.gomr", "--run-id", "looking", "--keep"),
                *("--input", "text.txt", "--store", f"s3://{BUCKET}", "--workers", "1"),
                *("--output", "out", "--runtime", "local", "looking.py"),
            ],
            cwd=here,
            env=clean_environ() | environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
            preexec_fn=as_anybody,
        )
        assert done.returncode == 0, done.stderr.decode()
        store = open_store(f"s3://{BUCKET}", settings)
        kept = b"\0".join(bytes(store.get(found.key)) for found in store.list(""))
    tokens = json.loads((here / "tokens.json").read_text())
    assert len(tokens) == 2
    (part,) = (here / "out").glob("output-*.txt")
    assert part.read_text() == "looked\t1\n"
    places = {
        "printed": done.stdout + done.stderr,
        "output": b"\0".join(p.read_bytes() for p in (here / "out").rglob("*") if p.is_file()),
        "store": kept,
        "Prefect": stored_by_prefect(Path(server.environ["PREFECT_HOME"])),
    }
    assert b"looking" in places["Prefect"]
    assert b"looking" in kept
    for secret in [settings.secret_key, AUTH, *tokens]:
        assert [name for name, text in places.items() if secret.encode() in text] == []
