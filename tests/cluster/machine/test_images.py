"""Images on their way to the nodes of the test cluster, and pods that run them.

The images have a module more than those of other runs, so that taking them away disturbs nobody.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from k8s.images.build import build
from k8s.images.load import NodeLoader, loader_for, run_images
from k8s.images.plan import ImagePlan, on_node
from k8s.images.prune import removable
from tests.cluster.support.built.image_parts import base_image, docker, plan_for, worker_file
from tests.cluster.support.built.images import ensure_image
from tests.cluster.support.layout import CONTEXT
from tests.cluster.support.running_cluster import RunningCluster

RunPod = Callable[[str, str, str], str]  # image, node, Python code: the log

MARK = b"# in the images of the tests alone\n"


@pytest.fixture
def loader(cluster: RunningCluster) -> NodeLoader:
    """The loader of the test cluster, which is up."""
    found = loader_for(CONTEXT)
    assert isinstance(found, NodeLoader)
    return found


@pytest.fixture
def plan(loader: NodeLoader, tmp_path: Path) -> Iterator[ImagePlan]:
    """Images of a worker file that is new, on a ground that every node has."""
    made = plan_for(worker_file(tmp_path), base_image(), mark_of_tests=MARK)
    bring(loader, made)
    yield made
    for node in loader.nodes.look({made.worker}):
        remove(node, made.worker)


def bring(loader: NodeLoader, plan: ImagePlan) -> list[str]:
    """What a run does; the lines it tells."""
    told: list[str] = []
    if missing := loader.missing(plan):
        build(plan, loader.to_build(plan, missing), told.append)
        loader.load(plan, told.append)
    return told


def remove(node: str, reference: str) -> None:
    ctr(node, "images", "rm", on_node(reference))


def ctr(node: str, *arguments: str) -> str:
    return docker("exec", node, "ctr", "--namespace", "k8s.io", *arguments)


@pytest.fixture
def run_pod(cluster: RunningCluster, restricted_namespace: str) -> RunPod:
    """Runs a pod on a node to its end and gives its log."""

    def run(image: str, node: str, code: str) -> str:
        container = {
            "name": "worker",
            "image": image,
            "imagePullPolicy": "Never",
            "command": ["python", "-c", code],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            },
        }
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": node},
            "spec": {
                "restartPolicy": "Never",
                "nodeSelector": {"kubernetes.io/hostname": node},
                "securityContext": {
                    "runAsNonRoot": True,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [container],
            },
        }
        inside = f"--namespace={restricted_namespace}"
        cluster.kubectl("apply", inside, "--filename=-", given=json.dumps(pod))
        ended = "--for=jsonpath={.status.phase}=Succeeded"
        cluster.kubectl("wait", inside, f"pod/{node}", ended, "--timeout=60s", seconds=70)
        return cluster.kubectl("logs", inside, node)

    return run


def test_the_control_plane_takes_no_pods_and_gets_no_images(loader: NodeLoader) -> None:
    assert loader.nodes.names == ["gomr-worker", "gomr-worker2"]


def test_a_new_worker_file_is_sent_as_a_layer_and_runs_on_every_node(
    loader: NodeLoader,
    plan: ImagePlan,
    tmp_path: Path,
    run_pod: RunPod,
) -> None:
    after = plan_for(worker_file(tmp_path), base_image(), mark_of_tests=MARK)
    assert after.ground == plan.ground
    assert bring(loader, after) == [f"sending {after.worker} to gomr-worker, gomr-worker2"]
    code = (
        "import os, gomr_runtime; print(os.getuid()); print(open('/app/worker.py').read(), end='')"
    )
    for node in loader.nodes.names:
        log = run_pod(after.worker, node, code)
        assert log == "10001\n" + after.source.decode()
    images = run_images(after, loader)
    assert (images.worker, images.pull_policy) == (after.worker, "Never")


def test_the_entrypoint_of_a_thin_image_is_the_worker(plan: ImagePlan, loader: NodeLoader) -> None:
    node = loader.nodes.names[0]
    digest = loader.nodes.look({plan.worker})[node][plan.worker]
    manifest = json.loads(ctr(node, "content", "get", digest))
    config = json.loads(ctr(node, "content", "get", manifest["config"]["digest"]))
    assert config["config"]["Entrypoint"] == ["python", "-m", "gomr_runtime.worker"]
    assert config["config"]["User"] == "10001:10001"


def test_what_every_node_has_is_not_sent_again(loader: NodeLoader, plan: ImagePlan) -> None:
    before = loader.nodes.look(plan.references)
    told: list[str] = []
    assert loader.missing(plan) == {}
    loader.load(plan, told.append)
    assert told == []
    assert loader.nodes.look(plan.references) == before


def test_an_image_that_a_node_lost_is_noticed_and_sent_to_that_node(
    loader: NodeLoader, plan: ImagePlan
) -> None:
    remove("gomr-worker2", plan.worker)
    assert loader.missing(plan) == {"gomr-worker2": frozenset({plan.worker})}
    assert bring(loader, plan) == [f"sending {plan.worker} to gomr-worker2"]
    assert loader.missing(plan) == {}


def test_a_new_runtime_is_sent_without_the_layers_that_nodes_have(
    loader: NodeLoader, plan: ImagePlan, tmp_path: Path, run_pod: RunPod
) -> None:
    made = plan_for(worker_file(tmp_path), base_image(), mark_of_tests=MARK + MARK)
    build(made, {made.master}, print)
    node, other = loader.nodes.names
    try:
        assert loader.nodes.add_upper(made.master, [node], made.base.platform)
        code = "import gomr_runtime.mark_of_tests as m; print(open(m.__file__).read(), end='')"
        assert run_pod(made.master, node, code) == (MARK + MARK).decode()
        digest = loader.nodes.look({made.master})[node][made.master]
        held = json.loads(ctr(node, "content", "get", digest))
        form = "{{.Id}}"
        assert (
            held["config"]["digest"]
            == docker("image", "inspect", "--format", form, made.master).strip()
        )
        assert loader.missing(made)[other] == {made.master, made.worker}
        told = bring(loader, made)
        assert told[:1] == [f"sent the new layers of {made.master} to {other}"]
    finally:
        for each in loader.nodes.names:
            remove(each, made.master)
            remove(each, made.worker)


def test_a_ground_that_a_node_lost_comes_back(loader: NodeLoader, plan: ImagePlan) -> None:
    remove("gomr-worker", plan.worker)
    remove("gomr-worker", plan.master)
    assert loader.missing(plan) == {"gomr-worker": {plan.master, plan.worker}}
    told = bring(loader, plan)
    assert f"sending {plan.worker} to gomr-worker" in told
    assert loader.missing(plan) == {}


def test_a_node_whose_ground_cannot_be_read_gets_the_image_whole(
    loader: NodeLoader, plan: ImagePlan
) -> None:
    node = "gomr-worker"
    ground = loader.nodes.look({plan.ground})[node][plan.ground]
    config = json.loads(ctr(node, "content", "get", ground))["config"]["digest"]
    remove(node, plan.worker)
    ctr(node, "content", "rm", config)
    try:
        told = bring(loader, plan)
    finally:
        remove(node, plan.master)
        bring(loader, plan)
    assert f"loading {plan.worker} into gomr-worker" in told
    docker("rmi", plan.worker)


def test_two_runs_at_once_send_an_image_once(loader: NodeLoader, plan: ImagePlan) -> None:
    for node in loader.nodes.names:
        remove(node, plan.worker)
    with ThreadPoolExecutor(2) as pool:
        told = list(pool.map(lambda _: bring(loader, plan), range(2)))
    lines = [line for lines in told for line in lines if line.startswith("sending")]
    assert lines == [f"sending {plan.worker} to gomr-worker, gomr-worker2"]
    assert loader.missing(plan) == {}


def test_an_image_built_by_hand_is_loaded_when_it_is_another(
    loader: NodeLoader, tmp_path: Path
) -> None:
    reference = f"mr-test:by-hand-{os.getpid()}"
    (tmp_path / "Dockerfile").write_text(
        f"FROM {ensure_image('pause')}\nARG TEXT\nLABEL text=$TEXT\n"
    )
    told: list[str] = []
    try:
        for text in ("one", "one", "two"):
            argument = f"TEXT={text}"
            docker("build", "--quiet", "--build-arg", argument, "-t", reference, str(tmp_path))
            loader.load_given([reference, "mr-test:nowhere"], told.append)
        assert told == [f"loading {reference} into gomr-worker, gomr-worker2"] * 2
        assert loader.nodes.without(reference) == []
    finally:
        docker("rmi", reference)
        for node in loader.nodes.names:
            remove(node, reference)


def test_what_a_container_runs_is_in_use_and_what_is_old_is_told_by_age(
    loader: NodeLoader, plan: ImagePlan, run_pod: RunPod
) -> None:
    node = loader.nodes.names[0]
    run_pod(plan.worker, node, "print('here')")
    listed = dict(loader.nodes.listed()[node])
    digest = listed[on_node(plan.worker)]
    used = {listed.get(name) for name in loader.nodes.in_use()[node]}
    assert digest in used
    assert loader.nodes.ages()[node][digest] == 0.0


def test_an_image_is_removed_with_every_name_that_containerd_gave_it(
    loader: NodeLoader, plan: ImagePlan
) -> None:
    node = loader.nodes.names[0]
    listed = loader.nodes.listed()[node]
    digest = dict(listed)[on_node(plan.worker)]
    others = {name for name, _ in listed if name.startswith("docker.io/library/mr-")}
    spared = others - {on_node(plan.worker)}
    names, aliases = removable(listed, loader.nodes.ages()[node], spared, 0.0)
    assert names == [on_node(plan.worker)]
    loader.nodes.remove(node, [*names, *aliases])
    assert digest not in dict(loader.nodes.listed()[node]).values()
