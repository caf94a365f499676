"""The deployment `gomr/start-in-cluster`: the flow itself in a pod, with the documented rights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from k8s.images.build import index_arguments
from tests.build_cache import output
from tests.cluster.progress import wait_for
from tests.cluster.support.built.images import ensure_image, load_on_nodes
from tests.cluster.support.layout import GATEWAY
from tests.cluster.support.running_cluster import RunningCluster
from tests.cluster.support.runs_on_cluster import TEXT, Runs, counted, images_for, runs_in, words
from tests.flow.command import ROOT, Server, call
from tests.flow.prefect_server import running_server

FLOW_IMAGE = "gomr-flow:test"
BUILD_SECONDS = 900.0
RUN_SECONDS = 180.0
FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
POOL = "gomr-kubernetes"


@pytest.fixture
def server(cluster: RunningCluster, tmp_path: Path) -> Iterator[Server]:
    """A Prefect server that pods reach."""
    (tmp_path / "prefect").mkdir()
    with running_server(tmp_path / "prefect", GATEWAY) as server:
        server.environ["KUBECONFIG"] = str(cluster.kubeconfig)
        yield server


@pytest.fixture
def runs(cluster: RunningCluster, namespace: str, tmp_path: Path) -> Iterator[Runs]:
    """The namespace has a MinIO with a login of its own: the default one is refused to pods."""
    login = {"root-user": "gomr-test", "root-password": "not-the-default-one"}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "minio"}}
    given = json.dumps(secret | {"stringData": login})
    cluster.kubectl("create", "--filename=-", f"--namespace={namespace}", given=given)
    with runs_in(cluster, namespace, images_for(tmp_path), tmp_path) as found:
        yield found


@pytest.fixture
def flow_image(cluster: RunningCluster) -> str:
    """On every node."""
    command = ["docker", "build", "--quiet", "--file", "k8s/flow/Dockerfile", "--tag", FLOW_IMAGE]
    command += ["--build-arg", f"BASE={ensure_image('gomr-python')}"]
    command += [*index_arguments(os.environ), str(ROOT)]
    output(command, BUILD_SECONDS, extra={"DOCKER_BUILDKIT": "0"}, cwd=ROOT)
    load_on_nodes(FLOW_IMAGE)
    return FLOW_IMAGE


@pytest.fixture
def worker(server: Server) -> Iterator[Path]:
    """The pool, the deployment as the documentation says, and a Prefect worker; its log."""
    prefect(server, "work-pool", "create", POOL, "--type", "kubernetes")
    prefect(server, "deploy", "--all", "--prefect-file", "k8s/flow/prefect.yaml")
    log = Path(server.environ["PREFECT_HOME"]) / "worker.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL],
            cwd=ROOT, env=server.environ, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
        )  # fmt: skip
    try:
        yield log
    finally:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children()]
        process.send_signal(signal.SIGINT)
        _, alive = psutil.wait_procs(family, timeout=30)
        for one in alive:
            one.kill()
        process.wait(30)


def prefect(server: Server, *arguments: str) -> str:
    command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=server.environ, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.long
def test_the_flow_runs_in_a_pod_with_the_documented_rights(
    cluster: RunningCluster, namespace: str, server: Server, runs: Runs, flow_image: str,
    worker: Path,
) -> None:  # fmt: skip
    give_rights(cluster, namespace)
    runs.store.put("jobs/one/worker.py", runs.worker.read_bytes())
    runs.store.put("jobs/one/text.txt", TEXT.encode())
    options = {
        "runtime": "kubernetes",
        "worker": "s3://map-reduce-bucket/jobs/one/worker.py",
        "input": ["s3://map-reduce-bucket/jobs/one/text.txt"],
        "master_image": runs.images.master,
        "worker_image": runs.images.worker,
        "workers": 2,
        "reducers": 3,
        "run_id": "inside",
        "collect": False,
    }
    prefect(
        server, "deployment", "run", "gomr/start-in-cluster",
        "--job-variable", f"namespace={namespace}", "--job-variable", f"image={flow_image}",
        "--params", json.dumps({"options": options}),
    )  # fmt: skip
    wait_for(
        "end of the flow run",
        lambda: state(server) in FINAL,
        RUN_SECONDS,
        lambda: worker.read_text()[-3000:] + runs.kubectl("get", "pods,events"),
    )
    assert state(server) == "COMPLETED", worker.read_text()[-3000:]
    parts = [info.key for info in runs.store.list("outputs/inside/output-")]
    assert len(parts) == 3
    assert words({key: runs.store.get(key) for key in parts}) == counted(TEXT)
    assert runs.left("inside") == []


def state(server: Server) -> str:
    (found,) = call(server, "/flow_runs/filter", {})
    return str(found["state"]["type"])


def give_rights(cluster: RunningCluster, namespace: str) -> None:
    """k8s/manifests/rbac, with the account and its binding in this namespace."""
    place = f"--namespace={namespace}"
    cluster.kubectl("apply", place, f"--filename={ROOT / 'k8s' / 'rbac' / 'role.yaml'}")
    cluster.kubectl("create", "serviceaccount", "gomr-flow", place)
    account = f"--serviceaccount={namespace}:gomr-flow"
    cluster.kubectl("create", "rolebinding", "gomr-flow", "--role=gomr", account, place)
