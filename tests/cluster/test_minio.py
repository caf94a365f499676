"""MinIO in a namespace: started, found again, used by hand, refused; and the port that leads to
it."""

from __future__ import annotations

import base64
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from gomr_runtime.errors import EXIT_ENVIRONMENT, EnvironmentFailed
from gomr_runtime.storage.open_store import open_store, probe_create_only
from k8s.api.connection import Cluster, connect
from k8s.api.port_forward import PortForward
from k8s.manifest_objects import MINIO_SELECTOR
from k8s.store.minio import BUCKET, URL, Minio, find_or_start
from tests.cluster.progress import wait_for
from tests.cluster.support.kubectl import program_path
from tests.cluster.support.layout import CONTEXT, kubeconfig_path
from tests.cluster.support.running_cluster import RunningCluster
from tests.cluster.support.runs_on_cluster import STORE_SIZE, minio_image, namespace_for, within

FAR = "far-away"


@pytest.fixture(scope="module")
def shared(cluster: RunningCluster, namespaces: dict[str, str]) -> Iterator[Cluster]:
    with namespace_for(cluster, namespaces, __name__) as name, connect(CONTEXT, name) as found:
        yield found


@pytest.fixture
def minio(shared: Cluster) -> Iterator[Minio]:
    with find_or_start(shared, STORE_SIZE, minio_image()) as found:
        yield found


def far_away() -> dict[str, Any]:
    """The same cluster under a name that is not that of a local one."""
    config = dict(yaml.safe_load(kubeconfig_path().read_text()))
    for context in config["contexts"]:
        context["name"] = FAR
    return config | {"current-context": FAR}


def login(cluster: Cluster) -> dict[str, str]:
    secret = cluster.get("Secret", "minio")
    assert secret is not None
    return {name: base64.b64decode(text).decode() for name, text in secret["data"].items()}


def test_it_is_started_with_what_the_original_had(minio: Minio, shared: Cluster) -> None:
    for kind, name in (
        ("Deployment", "minio"),
        ("Service", "minio"),
        ("PersistentVolumeClaim", "minio-pvc"),
        ("Secret", "minio"),
        ("NetworkPolicy", "minio"),
    ):
        found = shared.get(kind, name)
        assert found is not None, kind
        assert found["metadata"]["labels"]["app.kubernetes.io/part-of"] == "gomr"
    assert minio.access.url == URL
    assert minio.access.pods.endpoint == "http://minio:9000"
    assert login(shared) == {"root-user": "minioadmin", "root-password": "minioadmin"}
    probe_create_only(open_store(URL, minio.access.here))


def test_it_is_found_again_with_few_questions(minio: Minio, shared: Cluster) -> None:
    asked: list[str] = []

    async def count(request: Any) -> None:
        asked.append(str(request.url))

    hooks = shared.api.access.client.event_hooks["request"]
    hooks.append(count)
    try:
        with find_or_start(shared, STORE_SIZE) as again:
            assert again.access.pods == minio.access.pods
    finally:
        hooks.remove(count)
    assert len(asked) <= 3, asked


def test_kubectl_and_any_s3_client_reach_it_by_hand(minio: Minio, shared: Cluster) -> None:
    store = open_store(URL, minio.access.here)
    store.put("outputs/by-hand/output-00000.txt", b"a\t1\n")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [str(program_path("kubectl")), "--kubeconfig", str(kubeconfig_path())]
    command += ["--namespace", shared.namespace, "port-forward", "--address", "127.0.0.1"]
    with subprocess.Popen(
        [*command, "service/minio", f"{port}:9000"], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert "Forwarding from" in process.stdout.readline()
            settings = replace(
                minio.access.here,
                endpoint=f"http://127.0.0.1:{port}",
                access_key="minioadmin",
                secret_key="minioadmin",
            )
            by_hand = open_store(f"s3://{BUCKET}", settings)
            found = [info.key for info in by_hand.list("outputs/")]
        finally:
            process.terminate()
    assert found == ["outputs/by-hand/output-00000.txt"]


def test_large_objects_pass_through_the_port(minio: Minio) -> None:
    store = open_store(URL, minio.access.here)
    data = bytes(range(256)) * (80 << 10)  # 20 MiB, in several parts at once
    store.put("large", data)
    assert store.get("large") == data


def test_the_port_stays_when_the_pod_goes(minio: Minio, shared: Cluster) -> None:
    store = open_store(URL, minio.access.here)
    store.put("kept", b"on the volume")
    for pod in shared.select("Pod", MINIO_SELECTOR):
        shared.delete("Pod", pod["metadata"]["name"], now=True)
    with within(90):
        assert store.get("kept") == b"on the volume"


def test_a_port_without_a_pod_says_so(shared: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("k8s.api.port_forward.POD_SECONDS", 1.0)
    with PortForward(shared, "app=nothing", 9000) as forward:
        with socket.create_connection(("127.0.0.1", forward.port), timeout=30) as connection:
            assert connection.recv(1) == b"", "hung up"
        wait_for("diagnosis", lambda: forward.trouble is not None, 10, lambda: "none")
        assert "no ready pod for app=nothing" in str(forward.trouble)


def test_elsewhere_the_login_is_random_and_the_default_is_refused(
    shared: Cluster, minio: Minio, namespace: str
) -> None:
    with connect(namespace=shared.namespace, kubeconfig=far_away()) as far:
        assert not far.local
        with pytest.raises(EnvironmentFailed, match="default login, which everybody knows"):
            find_or_start(far, STORE_SIZE)
    with (
        connect(namespace=namespace, kubeconfig=far_away()) as far,
        find_or_start(far, STORE_SIZE, minio_image()) as other,
    ):
        probe_create_only(open_store(URL, other.access.here))
        secrets = login(far)
        assert other.access.pods.secret_key == secrets["root-password"]
        assert len(secrets["root-password"]) >= 32
        assert "minioadmin" not in secrets.values()
        known = replace(other.access.here, access_key="minioadmin", secret_key="minioadmin")
        with pytest.raises(EnvironmentFailed, match="access denied"):
            open_store(URL, known).put("x", b"x")


def test_an_image_that_is_nowhere_is_said_within_seconds(namespace: str) -> None:
    with (
        connect(CONTEXT, namespace) as cluster,
        within(60),
        pytest.raises(EnvironmentFailed, match="cannot get image localhost:1/minio:1") as caught,
    ):
        find_or_start(cluster, STORE_SIZE, "localhost:1/minio:1")
    assert caught.value.exit_code == EXIT_ENVIRONMENT


def test_somebody_elses_minio_is_left_alone(namespace: str, cluster: RunningCluster) -> None:
    cluster.kubectl(
        f"--namespace={namespace}", "create", "deployment", "minio", "--image=x", "--replicas=0"
    )
    with (
        connect(CONTEXT, namespace) as connection,
        pytest.raises(EnvironmentFailed, match="not of GoMR: use another"),
    ):
        find_or_start(connection, STORE_SIZE)


def test_the_manifests_are_valid_by_themselves(cluster: RunningCluster, namespace: str) -> None:
    k8s = Path(__file__).parents[2] / "k8s" / "manifests"
    for folder in ("overlays/local", "run", "rbac"):
        done = cluster.kubectl(
            f"--namespace={namespace}", "apply", "--dry-run=server", "-k", str(k8s / folder)
        )
        assert "(server dry run)" in done
