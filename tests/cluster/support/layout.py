"""What the test cluster consists of, by name and address."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.build_cache import cache_folder

CLUSTER = "gomr"
CONTEXT = f"kind-{CLUSTER}"
NETWORK = "gomr-cluster"
SUBNET = "198.51.100.64/26"
GATEWAY = "198.51.100.65"
CLUSTER_LABEL = "io.x-k8s.kind.cluster"
ROLE_LABEL = "io.x-k8s.kind.role"
CONTROL_PLANE_LABEL = "node-role.kubernetes.io/control-plane"


@dataclass(frozen=True)
class Node:
    """A container of this name, named and labelled as kind does."""

    name: str
    role: str
    address: str
    pod_range: str


CONTROL_PLANE = Node(f"{CLUSTER}-control-plane", "control-plane", "198.51.100.66", "198.18.0.0/24")
WORKERS = (
    Node(f"{CLUSTER}-worker", "worker", "198.51.100.67", "198.18.1.0/24"),
    Node(f"{CLUSTER}-worker2", "worker", "198.51.100.68", "198.18.2.0/24"),
)
NODES = (CONTROL_PLANE, *WORKERS)


def cluster_folder() -> Path:
    """Where the running cluster's files are; one cluster serves every checkout on a machine."""
    return cache_folder() / "clusters" / CLUSTER


def kubeconfig_path() -> Path:
    return cluster_folder() / "kubeconfig"
