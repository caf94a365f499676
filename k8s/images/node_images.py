"""The images in the containerd of nodes that are containers of this machine's Docker.

Every question goes to all nodes at once, and is answered by `ctr` in the node's own container.
"""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from gomr_runtime.errors import EnvironmentFailed
from k8s.images.docker import Ended, ask, call, failed
from k8s.images.plan import ENTRYPOINT, WORKER_PATH, ImagePlan, on_node
from k8s.images.saved_image import engine_layers, upper_layers
from k8s.images.thin_image import Base, file_layer, file_on_top, manifest_for, thin_archive

IMPORT_SECONDS = 120.0

_DAYS = {"day": 1.0, "week": 7.0, "month": 30.0, "year": 365.0}

LIBRARY = "docker.io/library/"
Value = TypeVar("Value")

CTR = ("ctr", "--namespace", "k8s.io")


def kind_nodes(cluster: str) -> list[str]:
    """The running nodes of a kind cluster that pods are placed on: the workers, if it has any."""
    listed = _containers(f"io.x-k8s.kind.cluster={cluster}", "io.x-k8s.kind.role")
    workers = [name for name, role in listed if role == "worker"]
    return workers or [name for name, role in listed if role == "control-plane"]


def k3d_nodes(cluster: str) -> list[str]:
    """The running nodes of a k3d cluster; its servers take pods too."""
    listed = _containers(f"k3d.cluster={cluster}", "k3d.role")
    return [name for name, role in listed if role in {"server", "agent"}]


def _containers(label: str, role: str) -> list[tuple[str, str]]:
    form = f'{{{{.Names}}}}\t{{{{.Label "{role}"}}}}'
    out = call("docker", "ps", "--filter", f"label={label}", "--format", form).decode()
    return sorted((name, role) for name, _, role in (x.partition("\t") for x in out.splitlines()))


class NodeImages:
    """The nodes of one cluster, found once, and what they hold."""

    def __init__(self, cluster: str, find: Callable[[str], list[str]]) -> None:
        self.cluster = cluster
        self._find = find
        self._names: list[str] = []

    @property
    def names(self) -> list[str]:
        """Raises EnvironmentFailed when the cluster has no running node here."""
        self._names = self._names or self._find(self.cluster)
        if not self._names:
            raise EnvironmentFailed(
                f"Docker runs no node of a cluster {self.cluster}: start it, or say with --load "
                "how images reach the cluster of this context"
            )
        return self._names

    def look(self, references: Collection[str]) -> dict[str, dict[str, str]]:
        """For each node those of `references` that it has, with the digest each stands for."""
        asked = {on_node(reference): reference for reference in references}
        filters = [f"name=={name}" for name in asked]
        answers = self._all(self.names, "images", "ls", *filters)
        return {
            node: {asked[name]: digest for name, digest in _listed(ended) if name in asked}
            for node, ended in answers.items()
        }

    def without(self, reference: str) -> list[str]:
        """The nodes on which `reference` is not the very image that Docker has under that name."""
        form = "{{.Id}}"
        image = call("docker", "image", "inspect", "--format", form, reference).decode().strip()
        filters = (f"name=={on_node(reference)}", f"name=={image}")
        answers = self._all(self.names, "images", "ls", *filters)
        return [node for node, ended in answers.items() if not _same(ended, image)]

    def add_layer(self, plan: ImagePlan, grounds: Mapping[str, str]) -> bool:
        """Put the worker file as one layer onto the ground that nodes have.

        grounds: for each node the digest that `look` gave. False: a node does not take it.
        """
        layer = file_layer(WORKER_PATH, plan.source)
        name = on_node(plan.worker)
        for digest, nodes in _by_value(grounds).items():
            try:
                base = self._base(nodes[0], digest, plan.base.platform)
            except (ValueError, KeyError):
                return False
            config = file_on_top(base, layer, ENTRYPOINT)
            if not self._import(nodes, thin_archive(base.layers, config, [layer], name)):
                return False
        return True

    def add_upper(self, reference: str, nodes: Collection[str], platform: str) -> bool:
        """Send only the layers of an image that the nodes do not have yet.

        Args:
            reference: An image that Docker has.
            nodes: The names of the nodes that get it.
            platform: The platform of the image, such as `linux/amd64`.

        Returns:
            False if a node has no image of GoMR with the same lower layers, or does not take it.
        """
        grounds = self._grounds(reference, nodes)
        if set(grounds) != set(nodes):
            return False
        for (digest, below), group in _by_value(grounds).items():
            try:
                lower = self._base(group[0], digest, platform).layers[:below]
                upper = upper_layers(reference, lower)
            except (ValueError, KeyError):
                return False
            if upper is None:
                return False
            archive = thin_archive(lower, upper.config, upper.layers, on_node(reference))
            if not self._import(group, archive):
                return False
        return True

    def _grounds(self, reference: str, nodes: Collection[str]) -> dict[str, tuple[str, int]]:
        """For each node the image that shares most lower layers with `reference`: its digest, and
        how many they are. Docker is asked for the layers, since it has all that it sent."""
        held = self.listed()
        names = {name.removeprefix(LIBRARY) for node in nodes for name, _ in held[node]}
        layers = engine_layers([reference, *sorted(n for n in names if n.startswith("mr-"))])
        wanted = layers[reference]
        found: dict[str, tuple[str, int]] = {}
        for node in nodes:
            for name, digest in held[node]:
                below = _shared(wanted, layers.get(name.removeprefix(LIBRARY), ()))
                if below > found.get(node, ("", 0))[1]:
                    found[node] = digest, below
        return found

    def _import(self, nodes: Collection[str], archive: bytes) -> bool:
        """Whether all `nodes` took it."""
        command = ("images", "import", "--all-platforms", "-")
        answers = self._all(nodes, *command, stdin=archive, seconds=IMPORT_SECONDS)
        return not any(ended.code for ended in answers.values())

    def listed(self) -> dict[str, list[tuple[str, str]]]:
        """For each node all its images: names with digests."""
        answers = self._all(self.names, "images", "ls")
        return {node: _listed(ended) for node, ended in answers.items()}

    def ages(self) -> dict[str, dict[str, float]]:
        """For each node how many days, in round numbers, it has had what it stores, by digest."""
        answers = self._all(self.names, "content", "ls")
        return {node: dict(_ages(ended)) for node, ended in answers.items()}

    def in_use(self) -> dict[str, set[str]]:
        """For each node the images of its containers, whoever they belong to."""
        answers = self._all(self.names, "containers", "ls")
        return {node: _second_column(ended) for node, ended in answers.items()}

    def remove(self, node: str, names: Collection[str]) -> None:
        if names:
            ended = _run(node, ("images", "rm", *names), b"", IMPORT_SECONDS)
            if ended.code:
                raise failed("docker", ["exec", node, "ctr", "images", "rm"], ended.err)

    def _base(self, node: str, digest: str, platform: str) -> Base:
        stored = self._blob(node, digest)
        if inner := manifest_for(stored, platform):
            stored = self._blob(node, inner)
        return Base(stored, self._blob(node, stored["config"]["digest"]))

    def _blob(self, node: str, digest: str) -> Any:
        """A JSON blob of the node's content store; raises ValueError when it is not there."""
        return json.loads(_run(node, ("content", "get", digest), b"", IMPORT_SECONDS).out)

    def _all(
        self,
        nodes: Iterable[str],
        *arguments: str,
        stdin: bytes = b"",
        seconds: float = 60.0,
    ) -> Mapping[str, Ended]:
        """Run `ctr` on the nodes at once; what it said on each."""
        nodes = list(nodes)
        with ThreadPoolExecutor(len(nodes)) as pool:
            answers = pool.map(lambda node: _run(node, arguments, stdin, seconds), nodes)
            return dict(zip(nodes, answers, strict=True))


def _by_value(values: Mapping[str, Value]) -> dict[Value, list[str]]:
    """The nodes by what they have in common."""
    alike: dict[Value, list[str]] = defaultdict(list)
    for node, value in values.items():
        alike[value].append(node)
    return alike


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """How many of the first items are the same."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def _run(node: str, arguments: tuple[str, ...], stdin: bytes, seconds: float) -> Ended:
    streams = ("--interactive",) if stdin else ()
    return ask("docker", "exec", *streams, node, *CTR, *arguments, stdin=stdin, seconds=seconds)


def _listed(ended: Ended) -> list[tuple[str, str]]:
    """Names and digests of `ctr images ls`: a table whose first columns are REF TYPE DIGEST."""
    if ended.code:
        raise failed("docker", ["exec", "ctr", "images", "ls"], ended.err)
    rows = [line.split() for line in ended.out.decode().splitlines()[1:]]
    return [(row[0], row[2]) for row in rows]


def _second_column(ended: Ended) -> set[str]:
    """`ctr containers ls`: CONTAINER IMAGE RUNTIME."""
    if ended.code:
        raise failed("docker", ["exec", "ctr", "containers", "ls"], ended.err)
    rows = [line.split() for line in ended.out.decode().splitlines()[1:]]
    return {row[1] for row in rows if len(row) > 1}


def _ages(ended: Ended) -> Iterator[tuple[str, float]]:
    """`ctr content ls`: DIGEST SIZE AGE LABELS, an age such as `3 weeks` or `About an hour`."""
    for line in ended.out.decode().splitlines()[1:]:
        digest, _, age, *_ = (cell for cell in line.split("\t") if cell)
        number, _, unit = age.strip().partition(" ")
        days = _DAYS.get(unit.rstrip("s"), 0.0)
        yield digest, days * int(number) if days else 0.0


def _same(ended: Ended, image: str) -> bool:
    """Whether a node's name stands for the image `image`: the digest of a config, which
    containerd has as a name too, or that of a manifest."""
    found = dict(_listed(ended))
    digests = [digest for name, digest in found.items() if name != image]
    return bool(digests) and digests[0] in {image, found.get(image)}
