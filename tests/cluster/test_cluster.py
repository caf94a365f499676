"""The test cluster itself: what the other tests of the tier take for granted."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import urllib.request
from collections.abc import Iterator

import pytest

from tests.build_cache import BuildFailed, output
from tests.cluster.bring_up import bring_up
from tests.cluster.progress import wait_for
from tests.cluster.support.built.images import ensure_on_nodes
from tests.cluster.support.kubectl import program_path
from tests.cluster.support.layout import CLUSTER
from tests.cluster.support.nodes import log_of, node_states
from tests.cluster.support.running_cluster import RunningCluster
from tests.cluster.take_down import take_down

READY = ("wait", "--for=condition=Ready", "--timeout=90s")
SERVE = ["python", "-m", "http.server", "8000", "--directory", "/data"]
LISTING = "Directory listing"
FETCH = """
import sys, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=3).read().decode())
except OSError as error:
    print(error)
"""


@pytest.fixture(scope="module")
def python(cluster: RunningCluster) -> str:
    """An image with Python, on every node."""
    return ensure_on_nodes("gomr-python")


def pod(name: str, node: str, image: str, command: list[str], claim: str = "") -> dict[str, object]:
    """A pod on that node which meets Pod Security "restricted"; `/data` is the claim's."""
    volume: dict[str, object] = {"name": "data", "emptyDir": {}}
    if claim:
        volume = {"name": "data", "persistentVolumeClaim": {"claimName": claim}}
    least = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node},
            "terminationGracePeriodSeconds": 1,
            "automountServiceAccountToken": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "fsGroup": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "main",
                    "image": image,
                    "imagePullPolicy": "Never",
                    "command": command,
                    "securityContext": least,
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                }
            ],
            "volumes": [volume],
        },
    }


def service(name: str) -> dict[str, object]:
    """Port 80 of that name leads to port 8000 of the pod of that name."""
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8000}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def apply(cluster: RunningCluster, namespace: str, *objects: dict[str, object]) -> None:
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    cluster.kubectl("apply", "--namespace", namespace, "--filename=-", given=text)


def ready(cluster: RunningCluster, namespace: str, *names: str) -> None:
    things = [f"pod/{name}" for name in names]
    cluster.kubectl(*READY, "--namespace", namespace, *things, seconds=100)


def fetched(cluster: RunningCluster, namespace: str, name: str, url: str) -> str:
    """What that pod gets from the address, or the error it gets."""
    command = ("exec", "--namespace", namespace, name, "--", "python", "-c", FETCH, url)
    return cluster.kubectl(*command).strip()


def sees(
    cluster: RunningCluster, namespace: str, name: str, part: str, url: str = "http://web/"
) -> None:
    """That pod comes to get an answer with this part; kube-proxy learns of pods in its own time."""
    wait_for(
        f"{part!r} from {url} for {name}",
        lambda: part in fetched(cluster, namespace, name, url),
        30,
        lambda: f"it got {fetched(cluster, namespace, name, url)}",
    )


def test_all_nodes_are_ready_and_known_to_kind(cluster: RunningCluster) -> None:
    found = json.loads(cluster.kubectl("get", "nodes", "--output=json"))["items"]
    assert {node["metadata"]["name"] for node in found} == set(cluster.nodes)
    for node in found:
        conditions = {one["type"]: one["status"] for one in node["status"]["conditions"]}
        assert conditions["Ready"] == "True"
    kind = str(program_path("kind"))
    assert CLUSTER in output([kind, "get", "clusters"], 60).split()
    named = output([kind, "get", "nodes", "--name", CLUSTER], 60).split()
    assert sorted(named) == sorted(cluster.nodes)


def test_bringing_it_up_again_finds_it(cluster: RunningCluster) -> None:
    started = cluster.on_node(cluster.control_plane, "stat", "--format=%Y", "/proc/1")
    assert bring_up() == cluster.kubeconfig
    assert cluster.on_node(cluster.control_plane, "stat", "--format=%Y", "/proc/1") == started


@pytest.mark.usefixtures("cluster")
def test_nobody_takes_it_down_under_tests() -> None:
    with pytest.raises(BuildFailed, match="tests run on the cluster now"):
        take_down()
    assert set(node_states().values()) == {"running"}


def test_kind_loads_an_image_and_its_pod_runs(
    cluster: RunningCluster, restricted_namespace: str, python: str
) -> None:
    image = f"localhost/{restricted_namespace}:1"
    dockerfile = f"FROM {python}\nLABEL made.for={restricted_namespace}\n"
    output(["docker", "build", "--quiet", "--tag", image, "-"], 120, given=dockerfile)
    try:
        kind = [str(program_path("kind")), "load", "docker-image", image, "--name", CLUSTER]
        output(kind, 180)
        for node in cluster.nodes:
            assert image.removesuffix(":1") in cluster.on_node(node, "crictl", "images")
        apply(cluster, restricted_namespace, pod("own", cluster.workers[0], image, SERVE))
        ready(cluster, restricted_namespace, "own")
    finally:
        output(["docker", "rmi", image], 60)
        for node in cluster.nodes:
            cluster.on_node(node, "ctr", "--namespace=k8s.io", "images", "rm", image)


def test_a_service_is_reached_by_name_from_another_node(
    cluster: RunningCluster, namespace: str, python: str
) -> None:
    one, other = cluster.workers
    server, client = pod("web", one, python, SERVE), pod("client", other, python, SERVE)
    apply(cluster, namespace, server, client, service("web"))
    ready(cluster, namespace, "web", "client")
    for name in ("web", f"web.{namespace}.svc.cluster.local"):
        sees(cluster, namespace, "client", LISTING, f"http://{name}/")
    # No forwarder, no half minute of waiting: what is not of the cluster is not there.
    unknown = fetched(cluster, namespace, "client", "http://nowhere.example/")
    assert "Name or service not known" in unknown


def test_a_network_policy_is_enforced_on_and_across_nodes(
    cluster: RunningCluster, namespace: str, python: str
) -> None:
    one, other = cluster.workers
    server = pod("web", one, python, SERVE)
    clients = [pod(f"{name}-{node}", node, python, SERVE) for name in "ab" for node in (one, other)]
    apply(cluster, namespace, server, service("web"), *clients)
    names = [f"{name}-{node}" for name in "ab" for node in (one, other)]
    ready(cluster, namespace, "web", *names)
    sources = [{"podSelector": {"matchLabels": {"app": f"a-{node}"}}} for node in (one, other)]
    policy: dict[str, object] = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "web"},
        "spec": {
            "podSelector": {"matchLabels": {"app": "web"}},
            "ingress": [{"from": sources, "ports": [{"port": 8000}]}],
        },
    }
    for name in names:
        sees(cluster, namespace, name, LISTING)
    apply(cluster, namespace, policy)
    for node in (one, other):
        sees(cluster, namespace, f"b-{node}", "refused")
        sees(cluster, namespace, f"a-{node}", LISTING)


def test_pod_security_refuses_what_is_not_restricted(
    cluster: RunningCluster, restricted_namespace: str, python: str
) -> None:
    rooted = pod("rooted", cluster.workers[0], python, SERVE)
    rooted["spec"] = {"containers": [{"name": "main", "image": python}]}
    with pytest.raises(BuildFailed, match='violates PodSecurity "restricted:latest"'):
        apply(cluster, restricted_namespace, rooted)


def test_a_claim_is_bound_and_its_content_outlives_its_pod(
    cluster: RunningCluster, namespace: str, python: str
) -> None:
    claim: dict[str, object] = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "kept"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    first = pod("first", cluster.workers[1], python, SERVE, claim="kept")
    apply(cluster, namespace, claim, first)
    ready(cluster, namespace, "first")
    inside = ("exec", "--namespace", namespace)
    cluster.kubectl(*inside, "first", "--", "sh", "-c", "echo here > /data/file")
    cluster.kubectl("delete", "pod", "first", "--namespace", namespace)
    # No node is asked for: the volume's own leads the pod to where the data is.
    second = pod("second", cluster.workers[1], python, SERVE, claim="kept")
    spec = second["spec"]
    assert isinstance(spec, dict)
    del spec["nodeSelector"]
    apply(cluster, namespace, second)
    ready(cluster, namespace, "second")
    assert cluster.kubectl(*inside, "second", "--", "cat", "/data/file") == "here\n"

    path = "jsonpath={.spec.volumeName}"
    volume = cluster.kubectl("get", "pvc", "kept", "--namespace", namespace, f"--output={path}")
    assert volume in cluster.on_node(cluster.workers[1], "ls", "/var/local-volumes")
    for thing in ("pod/second", "pvc/kept"):
        cluster.kubectl("delete", thing, "--namespace", namespace)
    wait_for(
        f"end of {volume}",
        lambda: volume not in cluster.on_node(cluster.workers[1], "ls", "/var/local-volumes"),
        60,
        lambda: log_of(cluster.workers[1], "node-volumes"),
    )


def test_a_service_is_reached_from_outside_by_port_forward(
    cluster: RunningCluster, namespace: str, python: str
) -> None:
    apply(cluster, namespace, pod("web", cluster.workers[0], python, SERVE), service("web"))
    ready(cluster, namespace, "web")
    with (
        forwarded(cluster, namespace, "service/web", 80) as port,
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer,
    ):
        assert b"Directory listing" in answer.read()


@contextlib.contextmanager
def forwarded(cluster: RunningCluster, namespace: str, target: str, port: int) -> Iterator[int]:
    """The local port that kubectl forwards to `port` of the target."""
    command = [str(program_path("kubectl")), "--kubeconfig", str(cluster.kubeconfig)]
    command += ["port-forward", "--namespace", namespace, target, f":{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"127\.0\.0\.1:(\d+)", process.stdout.readline())
            assert found
            yield int(found.group(1))
        finally:
            process.terminate()


@pytest.mark.parametrize("at_once", [True, False], ids=["power off", "shutdown"])
def test_a_stopped_node_comes_back_with_its_pods(
    cluster: RunningCluster, namespace: str, python: str, at_once: bool
) -> None:
    one, other = cluster.workers
    server, client = pod("web", one, python, SERVE), pod("client", other, python, SERVE)
    apply(cluster, namespace, server, client, service("web"))
    ready(cluster, namespace, "web", "client")
    sees(cluster, namespace, "client", LISTING)
    with cluster.stopped(one, at_once=at_once):
        assert LISTING not in fetched(cluster, namespace, "client", "http://web/")
    restarted = "--for=jsonpath={.status.containerStatuses[0].restartCount}=1"
    wait = ("wait", restarted, "--timeout=90s", "--namespace", namespace, "pod/web")
    cluster.kubectl(*wait, seconds=100)
    ready(cluster, namespace, "web")
    sees(cluster, namespace, "client", LISTING)


def test_a_node_that_is_cut_off_is_silent_until_it_is_back(
    cluster: RunningCluster, namespace: str, python: str
) -> None:
    one, other = cluster.workers
    server, client = pod("web", one, python, SERVE), pod("client", other, python, SERVE)
    apply(cluster, namespace, server, client, service("web"))
    ready(cluster, namespace, "web", "client")
    sees(cluster, namespace, "client", LISTING)
    with cluster.cut_off(one):
        assert "timed out" in fetched(cluster, namespace, "client", "http://web/")
    sees(cluster, namespace, "client", LISTING)


def test_a_wait_that_takes_too_long_tells_the_last_lines(cluster: RunningCluster) -> None:
    with pytest.raises(BuildFailed, match=r"no pig within 0 s; the last lines of kubelet on gomr"):
        wait_for("pig", lambda: False, 0, lambda: log_of(cluster.workers[0], "kubelet"))
    assert "reconciler" in log_of(cluster.workers[0], "kubelet", 1000)
