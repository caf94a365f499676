"""What is refused within two seconds, before Prefect is imported and before anything starts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gomr_runtime import __version__
from tests.flow.command import clean_environ, run

REFUSED = [
    (["--input", "absent.txt", "worker.py"], "absent.txt: no such file"),
    (["--input", "nothing*.log", "worker.py"], "nothing*.log: no file matches"),
    (["--input", "text.txt", "absent.py"], "absent.py: no such worker file"),
    (["--input", "text.txt", "broken.py"], "broken.py:2: syntax error"),
    (["--input", "text.txt", "no_mapper.py"], "the config has no mapper"),
    (["--input", "text.txt", "no_run.py"], "no call of gomr.run"),
    (["--input", "text.txt", "--output", "full", "worker.py"], "full is not empty"),
    (["--input", "text.txt", "--namespace", "n", "worker.py"], "--namespace is for a cluster"),
    (["--input", "text.txt"], "WORKER.py is missing"),
    (["worker.py"], "--input is missing"),
    *[
        (["--input", "text.txt", f"--{name}", count, "worker.py"], f"--{name}")
        for name in ("workers", "mappers", "reducers")
        for count in ("0", "-1", "1.5", "1000000000")
    ],
]


@pytest.fixture
def tricky(folder: Path) -> Path:
    (folder / "broken.py").write_text("import gomr_runtime as gomr\ndef mapper(:\n")
    (folder / "no_run.py").write_text("def mapper(ctx, chunk): ...\n")
    (folder / "no_mapper.py").write_text(
        "import gomr_runtime as gomr\ngomr.run(gomr.MapReduceConfig(reducer=print))\n"
    )
    (folder / "full").mkdir()
    (folder / "full" / "mine.txt").write_text("mine")
    return folder


@pytest.mark.parametrize(
    ("arguments", "words"), REFUSED, ids=lambda v: (v if isinstance(v, str) else " ".join(v))[:50]
)
def test_refused_on_one_line_with_nothing_started(
    tricky: Path, arguments: list[str], words: str
) -> None:
    before = sorted(tricky.rglob("*"))
    done = run(tricky, clean_environ(), *arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("gomr: ")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
    assert sorted(tricky.rglob("*")) == before


KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: far
clusters: [{name: far, cluster: {server: "https://198.51.100.77:6443"}}]
contexts: [{name: far, context: {cluster: far, user: me}}]
users: [{name: me, user: {}}]
"""


@pytest.mark.parametrize(
    ("kubeconfig", "arguments", "words"),
    [
        ("", ["--runtime", "kubernetes"], "no cluster: neither KUBECONFIG nor ~/.kube/config"),
        (KUBECONFIG, ["--context", "other"], "no context 'other': the kubeconfig has far"),
        (KUBECONFIG, ["--runtime", "kubernetes"], "name it if you mean it (--context far)"),
    ],
)
def test_no_cluster_is_told_at_once(
    folder: Path, kubeconfig: str, arguments: list[str], words: str
) -> None:
    (folder / "kubeconfig").write_text(kubeconfig)
    environ = clean_environ() | {"KUBECONFIG": str(folder / "kubeconfig") if kubeconfig else ""}
    environ |= {"HOME": str(folder)}
    done = run(folder, environ, "--input", "text.txt", *arguments, "worker.py")
    assert done.returncode == 3
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["--help"], ["clean", "--help"]])
def test_help_answers(folder: Path, arguments: list[str]) -> None:
    done = run(folder, clean_environ(), *arguments)
    assert done.returncode == 0
    assert done.stdout.startswith("usage: python -m flows.gomr")


@pytest.mark.parametrize(("environ", "part"), [({}, "with"), ({"GOMR_PURE": "1"}, "without")])
def test_the_version_says_what_is_installed(
    folder: Path, environ: dict[str, str], part: str
) -> None:
    done = run(folder, clean_environ() | environ, "--version")
    assert done.returncode == 0
    assert done.stdout.startswith(f"gomr {__version__} ({part} its compiled part), Python 3.")


def test_nothing_heavy_is_imported_for_a_wrong_argument(tricky: Path) -> None:
    script = (
        "import sys\n"
        "from flows.cli import main\n"
        "assert main(['--input', 'absent.txt', 'worker.py']) == 2\n"
        "heavy = {'prefect', 'pydantic', 'grpc', 'pyarrow', 'numpy', 'obstore', 'rich'}\n"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tricky,
        env=clean_environ(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"


def test_a_wrong_argument_is_json_if_asked(tricky: Path) -> None:
    done = run(tricky, clean_environ(), "--json", "--input", "absent.txt", "worker.py")
    assert done.returncode == 2
    assert '"exit_code": 2' in done.stdout
    assert '"state": "failed"' in done.stdout
