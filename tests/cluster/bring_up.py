"""Brings the test cluster up, or finds it healthy; prints the kubeconfig's path as the last line.

python -m tests.cluster.bring_up
"""

from __future__ import annotations

import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.build_cache import BuildFailed, cache_folder, locked
from tests.cluster.progress import say, wait_for
from tests.cluster.support.built.debian_root import debian_root
from tests.cluster.support.built.go_programs import kubernetes_programs
from tests.cluster.support.built.images import IMAGES, ensure_image, image_archive
from tests.cluster.support.engine import ensure_engine, install_packages
from tests.cluster.support.kubectl import condition, kubectl, link_programs, succeeds
from tests.cluster.support.layout import (
    CONTROL_PLANE,
    CONTROL_PLANE_LABEL,
    NODES,
    cluster_folder,
    kubeconfig_path,
)
from tests.cluster.support.nodes import create_nodes, log_of, made_from, node_states, start_nodes
from tests.cluster.support.usage import refuse_while_in_use

MANIFESTS = Path(__file__).parent / "manifests"
API_SECONDS = 180.0
READY_SECONDS = 240.0
ON_EVERY_NODE = ("pause", "coredns")  # from the start; others are loaded by whoever needs them


def cannot_run() -> str | None:
    """Why this machine can have no such cluster; None when it can."""
    if sys.platform != "linux":
        return "the test cluster needs Linux"
    if os.geteuid() != 0:
        return "the test cluster needs root, for containers that are nodes"
    if shutil.which("go") is None:
        return "the test cluster needs the Go toolchain (`go`) on PATH, to build Kubernetes"
    return None


def bring_up() -> Path:
    """The kubeconfig's path of the healthy cluster; BuildFailed says what stands in the way."""
    reason = cannot_run()
    if reason:
        raise BuildFailed(reason)
    cache_folder().mkdir(parents=True, exist_ok=True)
    with locked(cache_folder() / "cluster.lock"):
        with ThreadPoolExecutor() as pool:  # the longest build beside everything else
            programs = pool.submit(kubernetes_programs)
            install_packages()
            root = pool.submit(debian_root)
            ensure_engine()
            root.result()
            link_programs(programs.result())
        if not _find():
            refuse_while_in_use()
            _create()
            _wait_until_healthy()
            _was_healthy().touch()
    return kubeconfig_path()


def _find() -> bool:
    """Whether the cluster is there and healthy now; a node that stands still is started.

    Nodes that all do were killed, maybe while they wrote: as fast as they start, new ones are made.
    """
    states = node_states()
    whole = sorted(states) == sorted(node.name for node in NODES) and _was_healthy().exists()
    if not whole or "running" not in states.values():
        return False
    try:
        start_nodes([name for name, state in states.items() if state != "running"])
        if made_from() != IMAGES["gomr-node"].key():
            say("this cluster was made from other sources: `make cluster-down` first for a new one")
        _wait_until_healthy()
    except BuildFailed as error:
        say(f"the cluster that is there is not healthy, so a new one takes its place: {error}")
        return False
    return True


def _was_healthy() -> Path:
    """The mark of nodes that were not left half made."""
    return cluster_folder() / "was-healthy"


def _create() -> None:
    with ThreadPoolExecutor() as pool:
        inside = {name: pool.submit(image_archive, name) for name in ON_EVERY_NODE}
        image = ensure_image("gomr-node")
        archives = {name: archive.result() for name, archive in inside.items()}
    say("creating the nodes")
    create_nodes(image, archives)
    say("the nodes run")


def _wait_until_healthy() -> None:
    wait_for(
        "answer of the API server",
        lambda: succeeds("get", "--raw", "/readyz"),
        API_SECONDS,
        lambda: log_of(CONTROL_PLANE.name, "kube-apiserver"),
    )
    say("the API server answers")
    kubectl("apply", "--filename", str(MANIFESTS))
    for node in NODES:
        _wait_for_node(node.name)
    kubectl("label", "--overwrite", "node", CONTROL_PLANE.name, f"{CONTROL_PLANE_LABEL}=")
    wait_for(
        "available CoreDNS",
        lambda: condition("deployment/coredns", "Available", "kube-system"),
        READY_SECONDS,
        lambda: kubectl("get", "events", "--namespace", "kube-system"),
    )
    say("names of services resolve")


def _wait_for_node(name: str) -> None:
    wait_for(
        f"Ready node {name}",
        lambda: condition(f"node/{name}", "Ready"),
        READY_SECONDS,
        lambda: log_of(name, "kubelet"),
    )
    say(f"{name} is Ready")


def main() -> None:
    try:
        print(bring_up())
    except BuildFailed as error:
        sys.exit(f"make cluster: {error}")


if __name__ == "__main__":
    main()
