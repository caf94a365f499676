"""The running test cluster as tests use it: kubectl, and nodes that can be stopped or cut off."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.build_cache import output
from tests.cluster.progress import wait_for
from tests.cluster.support import kubectl as administrator
from tests.cluster.support.layout import CONTEXT, CONTROL_PLANE, NODES, WORKERS
from tests.cluster.support.nodes import DOCKER_SECONDS, log_of, node_states

BACK_SECONDS = 120.0
# Whatever comes in, and whatever goes out: of the node's own programs and of its pods.
_CUT = (
    ("iptables", "--table", "raw", "PREROUTING", "--in-interface", "eth0"),
    ("iptables", "--table", "mangle", "POSTROUTING", "--out-interface", "eth0"),
)


@dataclass(frozen=True)
class RunningCluster:
    """`kubectl` runs as the cluster's administrator; nodes go by the names kind gives them."""

    kubeconfig: Path
    context: str = CONTEXT
    control_plane: str = CONTROL_PLANE.name
    workers: tuple[str, ...] = tuple(node.name for node in WORKERS)
    nodes: tuple[str, ...] = tuple(node.name for node in NODES)

    def kubectl(self, *arguments: str, seconds: float = 60.0, given: str | None = None) -> str:
        """Its stdout; BuildFailed with what it said when it fails or takes too long."""
        return administrator.kubectl(*arguments, seconds=seconds, given=given)

    def on_node(self, node: str, *command: str, given: str | None = None) -> str:
        """The stdout of a command on the node itself."""
        arguments = ["docker", "exec", "--interactive", node, *command]
        return output(arguments, DOCKER_SECONDS, given=given)

    @contextlib.contextmanager
    def stopped(self, node: str, *, at_once: bool = True) -> Iterator[None]:
        """The node loses its power, or shuts down with `at_once=False`; afterwards it is back."""
        how = ["kill"] if at_once else ["stop"]
        output(["docker", *how, node], DOCKER_SECONDS)
        try:
            yield
        finally:
            if node_states()[node] != "running":
                self.start(node)

    def start(self, node: str) -> None:
        """Start a stopped node; returns once it is Ready by a heartbeat of its new life."""
        before = self._heartbeat(node)
        output(["docker", "start", node], DOCKER_SECONDS)
        self._wait_until_back(node, before)

    @contextlib.contextmanager
    def cut_off(self, node: str) -> Iterator[None]:
        """No packet reaches the node or leaves it, and nobody is told; afterwards it is back."""
        self._cut(node, "--append")
        try:
            yield
        finally:
            before = self._heartbeat(node)
            self._cut(node, "--delete")
            self._wait_until_back(node, before)

    def _cut(self, node: str, what: str) -> None:
        for iptables, table, name, chain, *match in _CUT:
            self.on_node(node, iptables, table, name, what, chain, *match, "--jump", "DROP")

    def _heartbeat(self, node: str) -> str:
        """The last renewal of the node's lease: its kubelet was alive and could say so."""
        path = "jsonpath={.spec.renewTime}"
        return self.kubectl("get", "lease", node, "--namespace=kube-node-lease", f"--output={path}")

    def _wait_until_back(self, node: str, before: str) -> None:
        wait_for(
            f"Ready node {node} since it is back",
            lambda: self._heartbeat(node) > before and self._is_ready(node),
            BACK_SECONDS,
            lambda: log_of(node, "kubelet"),
        )

    def _is_ready(self, node: str) -> bool:
        found = json.loads(self.kubectl("get", "node", node, "--output=json"))
        taints = [taint["key"] for taint in found["spec"].get("taints", [])]
        ready = [one["status"] for one in found["status"]["conditions"] if one["type"] == "Ready"]
        shunned = any(key.startswith("node.kubernetes.io/") for key in taints)
        return ready == ["True"] and not shunned
