"""The nodes as containers: their files, and making, starting, stopping and removing them."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.build_cache import ended, output
from tests.cluster.progress import say
from tests.cluster.support.built.images import KEY_LABEL
from tests.cluster.support.certificates import Authority, service_account_keys, write_secret
from tests.cluster.support.engine import runtime_options, weigh_containers
from tests.cluster.support.layout import (
    CLUSTER,
    CLUSTER_LABEL,
    CONTEXT,
    CONTROL_PLANE,
    CONTROL_PLANE_LABEL,
    GATEWAY,
    NETWORK,
    NODES,
    ROLE_LABEL,
    SUBNET,
    Node,
    cluster_folder,
    kubeconfig_path,
)

API_PORT = 6443
DOCKER_SECONDS = 180.0


def node_states() -> dict[str, str]:
    """The cluster's containers with their state as Docker has it: running, exited, created."""
    command = ["docker", "ps", "--all", "--filter", f"label={CLUSTER_LABEL}={CLUSTER}"]
    lines = output([*command, "--format", "{{.Names}} {{.State}}"], DOCKER_SECONDS).splitlines()
    return dict(line.split() for line in lines)


def made_from() -> str:
    """The key of the image that the nodes were made from."""
    command = ["docker", "inspect", "--format", f'{{{{index .Config.Labels "{KEY_LABEL}"}}}}']
    return output([*command, CONTROL_PLANE.name], DOCKER_SECONDS).strip()


def create_nodes(image: str, archives: Mapping[str, Path]) -> None:
    """All nodes, started, each with the images of the archives; an earlier cluster goes first."""
    remove_nodes()
    port = _free_port()
    _write_files(port, archives)
    command = ["docker", "network", "create", "--subnet", SUBNET, "--gateway", GATEWAY]
    output([*command, "--label", f"{CLUSTER_LABEL}={CLUSTER}", NETWORK], DOCKER_SECONDS)
    with ThreadPoolExecutor() as pool:
        commands = [_run_command(node, image, port) for node in NODES]
        list(pool.map(lambda command: output(command, DOCKER_SECONDS), commands))
    weigh_containers()


def start_nodes(names: list[str]) -> None:
    if names:
        say(f"starting {', '.join(names)}")
        output(["docker", "start", *names], DOCKER_SECONDS)


def remove_nodes() -> list[str]:
    """Containers, their volumes, the network and the files; what was removed, by name."""
    names = list(node_states())
    if names:
        output(["docker", "rm", "--force", "--volumes", *names], DOCKER_SECONDS)
    command = ["docker", "network", "ls", "--filter", f"label={CLUSTER_LABEL}={CLUSTER}"]
    networks = output([*command, "--format", "{{.Name}}"], DOCKER_SECONDS).split()
    for network in networks:
        output(["docker", "network", "rm", network], DOCKER_SECONDS)
    removed = [f"node {name}" for name in names] + [f"network {name}" for name in networks]
    if cluster_folder().exists():
        shutil.rmtree(cluster_folder())
        removed.append(str(cluster_folder()))
    return removed


def log_of(node: str, program: str, lines: int = 15) -> str:
    """The last lines of one program's log, or why there are none."""
    command = ["docker", "exec", node, "tail", f"-n{lines}", f"/var/log/kube/{program}.log"]
    done = ended(command, DOCKER_SECONDS)
    text = (done.stdout + done.stderr).strip()
    return f"the last lines of {program} on {node}:\n{text}"


def _run_command(node: Node, image: str, port: int) -> list[str]:
    others = [f"{other.pod_range} {other.address}" for other in NODES if other != node]
    taints = f"{CONTROL_PLANE_LABEL}=:NoSchedule" if node == CONTROL_PLANE else ""
    settings = {
        "ROLE": node.role,
        "NODE_IP": node.address,
        "POD_RANGE": node.pod_range,
        "TAINTS": taints,
        "ROUTES": "\n".join(others),
    }
    command = ["docker", "run", "--detach", "--name", node.name, "--hostname", node.name]
    command += ["--label", f"{CLUSTER_LABEL}={CLUSTER}", "--label", f"{ROLE_LABEL}={node.role}"]
    command += ["--privileged", *runtime_options(), "--cgroupns", "private"]
    command += ["--network", NETWORK, "--ip", node.address]
    command += ["--tmpfs", "/run", "--tmpfs", "/tmp"]  # a restarted node finds no old sockets
    # Not in the image's layers: containerd's overlay cannot lie on Docker's.
    command += ["--volume", "/var"]
    command += ["--volume", f"{_folder_of(node)}:/given:ro"]
    for name, value in settings.items():
        command += ["--env", f"{name}={value}"]
    if node == CONTROL_PLANE:
        command += ["--publish", f"127.0.0.1:{port}:{API_PORT}"]
    return [*command, image]


def _write_files(port: int, archives: Mapping[str, Path]) -> None:
    """Certificates, kubeconfigs and image archives, one folder a node, shown to it as /given."""
    authority = Authority()
    server = f"https://{CONTROL_PLANE.address}:{API_PORT}"
    cluster_folder().mkdir(parents=True, mode=0o700)
    for node in NODES:
        folder = _folder_of(node)
        (folder / "images").mkdir(parents=True)
        (folder / "ca.crt").write_bytes(authority.certificate)
        user = f"system:node:{node.name}"
        kubelet = authority.pair(user, "system:nodes", (node.name, node.address))
        kubelet.write(folder, "kubelet")
        write_secret(folder / "kubelet.conf", authority.kubeconfig(kubelet, server, CONTEXT))
        for name, user in (("kube-proxy", "system:kube-proxy"), ("node-programs", "node-programs")):
            config = authority.kubeconfig(authority.pair(user), server, CONTEXT)
            write_secret(folder / f"{name}.conf", config)
        for name, archive in archives.items():
            (folder / "images" / f"{name}.tar").hardlink_to(archive)
    _write_control_plane_files(authority, server)
    admin = authority.pair("kubernetes-admin", "system:masters")
    control_plane = _folder_of(CONTROL_PLANE)
    write_secret(control_plane / "admin.conf", authority.kubeconfig(admin, server, CONTEXT))
    local = f"https://127.0.0.1:{port}"
    write_secret(kubeconfig_path(), authority.kubeconfig(admin, local, CONTEXT))


def _write_control_plane_files(authority: Authority, server: str) -> None:
    folder = _folder_of(CONTROL_PLANE)
    service_account_keys(folder)
    inside = "kubernetes.default.svc"
    names = ("kubernetes", "kubernetes.default", inside, f"{inside}.cluster.local", "localhost")
    addresses = ("127.0.0.1", "198.19.0.1", CONTROL_PLANE.address)
    authority.pair("kube-apiserver", names=(*names, CONTROL_PLANE.name, *addresses)).write(
        folder, "kube-apiserver"
    )
    authority.pair("kube-apiserver-kubelet-client", "system:masters").write(
        folder, "kubelet-client"
    )
    for name in ("kube-controller-manager", "kube-scheduler"):
        config = authority.kubeconfig(authority.pair(f"system:{name}"), server, CONTEXT)
        write_secret(folder / f"{name}.conf", config)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _folder_of(node: Node) -> Path:
    return cluster_folder() / "nodes" / node.name
