"""Secrets that were planted are found nowhere but in Secrets."""

from __future__ import annotations

import base64
import gzip
import json
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

from gomr_runtime.storage.open_store import open_store
from k8s.api.connection import connect
from k8s.images.plan import on_node
from k8s.manifest_objects import secret_name
from k8s.store.minio import find_or_start
from tests.build_cache import output
from tests.cluster.support.layout import CONTEXT
from tests.cluster.support.running_cluster import RunningCluster
from tests.cluster.support.runs_on_cluster import STORE_SIZE
from tests.flow.command import Server, start, wait_for_line

USER, PASSWORD = "canary-user-52f0c8", "canary-password-d41f9e77b0"
RUN = "canary"
KINDS = "pods,jobs,deployments,replicasets,services,networkpolicies,events,configmaps"
BLOCK = 1 << 20
DOCKER_SECONDS = 120.0
WORKER = """
import socket
import time
import gomr_runtime as gomr

def mapper(ctx, chunk: str) -> None:
    while not there("go"):
        time.sleep(0.1)
    ctx.count(chunk.split())

def there(name):
    try:
        return bool(socket.getaddrinfo(name, None))
    except socket.gaierror:
        return False

gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=gomr.sum))
"""
GZIP = b"\x1f\x8b"


@dataclass
class Search:
    """Looks for secrets, plain and in base64, and remembers where they were."""

    secrets: list[str] = field(default_factory=list)
    found: list[str] = field(default_factory=list)
    searched: int = 0  # bytes
    layers: set[str] = field(default_factory=set)  # that were searched: images share them

    def text(self, where: str, text: str) -> None:
        self.data(where, text.encode())

    def data(self, where: str, data: bytes) -> None:
        self.searched += len(data)
        for needle in self._needles():
            if needle in data:
                self.found.append(f"{where}: {needle.decode()}")

    def file(self, where: str, file: IO[bytes]) -> None:
        """Also what is packed, and packed in what is packed."""
        head = file.read(512)
        file.seek(0)
        if head.startswith(GZIP):
            with gzip.open(file) as unpacked:
                self._stream(where, unpacked)
        elif head[257:262] == b"ustar":
            with tarfile.open(fileobj=file) as archive:
                for member in archive:
                    if not member.isreg() or member.name in self.layers:
                        continue
                    if member.name.startswith("blobs/"):
                        self.layers.add(member.name)
                    if (inner := archive.extractfile(member)) is not None:
                        self.file(f"{where}, {member.name}", inner)
        else:
            self._stream(where, file)

    def _stream(self, where: str, file: IO[bytes] | gzip.GzipFile) -> None:
        kept = b""
        while block := file.read(BLOCK):
            self.data(where, kept + block)
            kept = block[-max(map(len, self._needles())) :]

    def _needles(self) -> list[bytes]:
        plain = [secret.encode() for secret in self.secrets]
        return plain + [packed for secret in plain for packed in in_base64(secret)]


def in_base64(secret: bytes) -> list[bytes]:
    """What the secret looks like in base64, by where in a text it begins; without the ends, which
    depend on what is beside it."""
    return [
        base64.b64encode(bytes(before) + secret)[start:-4] for before, start in enumerate((0, 2, 3))
    ]


def test_secrets_are_in_secrets_alone(
    cluster: RunningCluster, namespace: str, server: Server, tmp_path: Path
) -> None:
    search = Search([USER, PASSWORD])
    plant(cluster, namespace)
    (tmp_path / "worker.py").write_text(WORKER)
    (tmp_path / "text.txt").write_text("a b c\n" * 1000)
    process = start(
        tmp_path, server.environ, "--runtime", "kubernetes", "--namespace", namespace, "-v",
        "--input", "text.txt", "--workers", "2", "--mappers", "2", "--run-id", RUN,
        "--output", "out", "worker.py",
    )  # fmt: skip
    said = wait_for_line(process, "All workers connected")
    search.secrets += run_secrets(cluster, namespace)
    search.text("control: the Secret", cluster.kubectl("get", "secrets", "-n", namespace, "-ojson"))
    assert len(search.found) >= len(search.secrets), "the search finds what is there"
    search.found.clear()

    images = look_at_pods(search, cluster, namespace)
    look_at_processes(search, cluster, process.pid)
    cluster.kubectl("create", "service", "clusterip", "go", "--tcp=1", "-n", namespace)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    search.text("the client", "".join(said) + err + out)
    look_at_store(search, namespace)
    look_at_images(search, cluster, images, tmp_path)
    look_at_files(search, Path(server.environ["PREFECT_HOME"]))
    look_at_files(search, tmp_path / "out")
    assert search.found == []


def plant(cluster: RunningCluster, namespace: str) -> None:
    """The login of a MinIO that is to be started, as docs/kubernetes.md says."""
    login = {"root-user": USER, "root-password": PASSWORD}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "minio"}}
    given = json.dumps(secret | {"stringData": login})
    cluster.kubectl("create", "--filename=-", f"--namespace={namespace}", given=given)


def run_secrets(cluster: RunningCluster, namespace: str) -> list[str]:
    """The tokens of the run, its keys to the store, and a line in the middle of its private key."""
    found = cluster.kubectl("get", "secret", secret_name(RUN), f"--namespace={namespace}", "-ojson")
    data = json.loads(found)["data"]
    plain = {name: base64.b64decode(text).decode() for name, text in data.items()}
    logins = [name for name in plain if name.endswith(("secret-key", "session-token"))]
    assert len(logins) >= 6, "of the master, of what it signs reads with, and of the workers"
    assert not {USER, PASSWORD} & {*plain.values()}, "the administrator's login is not the run's"
    secrets = [plain[name] for name in ("token", "worker-token", *logins)]
    return [*secrets, plain["tls.key"].splitlines()[1]]


def look_at_pods(search: Search, cluster: RunningCluster, namespace: str) -> dict[str, str]:
    """What their specs, events and logs say; the images, each with a node that has it."""
    place = f"--namespace={namespace}"
    search.text("objects", cluster.kubectl("get", KINDS, place, "--output=json"))
    pods = json.loads(cluster.kubectl("get", "pods", place, "--output=json"))["items"]
    assert len(pods) == 4, "MinIO, the master, two workers"
    for pod in pods:
        name = pod["metadata"]["name"]
        search.text(f"log of {name}", cluster.kubectl("logs", name, place))
    return {pod["spec"]["containers"][0]["image"]: pod["spec"]["nodeName"] for pod in pods}


def look_at_processes(search: Search, cluster: RunningCluster, client: int) -> None:
    """What everybody on a node, or on this machine, sees of processes; and their environment."""
    everything = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null || true"
    seen = {node: cluster.on_node(node, "sh", "-c", everything) for node in cluster.workers}
    assert "gomr-worker" in "".join(seen.values())
    for node, text in seen.items():
        search.text(f"processes of {node}", text)
    process = psutil.Process(client)
    for one in (process, *process.children(recursive=True)):
        search.text("arguments of the client", repr(one.cmdline()) + repr(one.environ()))


def look_at_store(search: Search, namespace: str) -> None:
    """Everything that is stored, the master's log among it."""
    with connect(CONTEXT, namespace) as connection, find_or_start(connection, STORE_SIZE) as minio:
        store = open_store(minio.access.url, minio.access.here)
        keys = [info.key for info in store.list("")]
        assert f"outputs/{RUN}/_logs/master-1.log" in keys
        for key in keys:
            search.data(key, store.get(key))


def look_at_images(
    search: Search, cluster: RunningCluster, images: dict[str, str], folder: Path
) -> None:
    """Their layers and their settings, as the nodes have them."""
    archive = folder / "image.tar"
    for image, node in images.items():
        command = ("ctr", "--namespace=k8s.io", "images", "export", "/var/image.tar")
        cluster.on_node(node, *command, on_node(image))
        output(["docker", "cp", f"{node}:/var/image.tar", str(archive)], DOCKER_SECONDS)
        cluster.on_node(node, "rm", "/var/image.tar")
        with archive.open("rb") as file:
            search.file(image, file)
        archive.unlink()
    assert len(search.layers) > len(images)
    assert search.searched > 100 * BLOCK, "layers were read"


def look_at_files(search: Search, folder: Path) -> None:
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    for path in files:
        with path.open("rb") as file:
            search.file(str(path.relative_to(folder.parent)), file)
