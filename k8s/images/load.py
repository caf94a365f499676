"""Bringing images to where pods find them: the nodes of a local cluster, or a registry.

A loader is chosen by the context of a local cluster and has to be named for any other. What is
there is asked of the nodes themselves, every time. `imagePullPolicy` goes with the loader: an
image that was laid onto nodes is in no registry, so `Never` ends in plain ErrImageNeverPull where
`IfNotPresent` would ask Docker Hub for somebody else's image of that name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Protocol

from gomr_runtime.errors import EnvironmentFailed, UsageError
from k8s.images.build import absent, build, one_at_a_time
from k8s.images.docker import Tell, ask, call, failed, follow
from k8s.images.node_images import NodeImages, k3d_nodes, kind_nodes
from k8s.images.plan import ImagePlan, PullPolicy, RunImages, on_node

LOAD_SECONDS = 900.0

Missing = Mapping[str, frozenset[str]]  # a node, or a registry: the references it lacks

Seen = Mapping[str, Mapping[str, str]]  # a node: the references it has, with their digests

_CONTEXTS = ("kind-", "k3d-")
_NO_MANIFEST = re.compile(
    r"no such manifest|manifest unknown|not found|name unknown", re.IGNORECASE
)


class Loader(Protocol):
    """One way for images to reach pods."""

    name: str
    pull_policy: PullPolicy

    def missing(self, plan: ImagePlan) -> Missing:
        """Which of the plan's images are not where pods find them; empty when all are."""
        ...

    def to_build(self, plan: ImagePlan, missing: Missing) -> frozenset[str]:
        """Which images Docker has to have so that `load` can send what is missing."""
        ...

    def load(self, plan: ImagePlan, tell: Tell) -> None:
        """Send what is missing; raises EnvironmentFailed when it is still missing then."""
        ...

    def load_given(self, references: Collection[str], tell: Tell) -> None:
        """Send images built by hand, as far as Docker has them and the cluster has not."""
        ...

    def pulled_as(self, reference: str) -> str:
        """What a pod's `image` says for a reference of the plan."""
        ...


def loader_for(context: str, load: str = "", *, given: bool = False) -> Loader:
    """The loader that `--load` names, else that of a local cluster's context.

    given: both images are named by reference, so that none has to be loaded. Raises UsageError for
    a context that is not known to be local.
    """
    if load.startswith("registry:"):
        return Registry(load.removeprefix("registry:").rstrip("/"))
    kind = load or _by_context(context) or ("none" if given else "")
    cluster = context.removeprefix(f"{kind}-")
    match kind:
        case "kind":
            return NodeLoader("kind", NodeImages(cluster, kind_nodes), cluster)
        case "k3d":
            return NodeLoader("k3d", NodeImages(cluster, k3d_nodes), cluster)
        case "minikube":
            return Minikube(context)
        case "none":
            return Unloaded()
    raise UsageError(
        f"context {context or 'unknown'} is no local cluster: say how images reach its nodes with "
        "--load registry:HOST/PREFIX, or name images there with --master-image and --worker-image"
    )


def _by_context(context: str) -> str:
    for prefix in _CONTEXTS:
        if context.startswith(prefix):
            return prefix.rstrip("-")
    # Docker Desktop's nodes run the engine's own images.
    desktop = {"docker-desktop": "none", "docker-for-desktop": "none"}
    return ({"minikube": "minikube"} | desktop).get(context, "")


def run_images(plan: ImagePlan, loader: Loader, *, master: str = "", worker: str = "") -> RunImages:
    """What the manifests of the run say; `master` and `worker` where they are named by hand."""
    return RunImages(
        master or loader.pulled_as(plan.master),
        worker or loader.pulled_as(plan.worker),
        "IfNotPresent" if master or worker else loader.pull_policy,
    )


class NodeLoader:
    """Nodes that are containers here, each with a containerd: kind and k3d.

    The image that the worker file goes onto is sent whole by the cluster's own command; after
    that a run sends a layer of one file, written without Docker (`thin_image`).
    """

    pull_policy: PullPolicy = "Never"

    def __init__(self, name: str, nodes: NodeImages, cluster: str) -> None:
        self.name = name
        self.nodes = nodes
        self.cluster = cluster

    def missing(self, plan: ImagePlan) -> Missing:
        return _missing(plan, self._look(plan))

    def _look(self, plan: ImagePlan) -> Seen:
        return self.nodes.look({plan.master, plan.ground, plan.worker})

    def to_build(self, plan: ImagePlan, missing: Missing) -> frozenset[str]:
        return frozenset().union(*missing.values()) - {plan.worker}

    def load(self, plan: ImagePlan, tell: Tell) -> None:
        if not self.missing(plan):
            return  # whoever makes other images at the moment is not waited for
        with one_at_a_time(tell):
            seen = self._look(plan)
            missing = _missing(plan, seen)
            if not missing:
                return
            if lower := self.to_build(plan, missing):
                self._add_lower(plan, lower, missing, tell)
                seen = self._look(plan)
            waiting = {node: found for node, found in seen.items() if plan.worker not in found}
            if waiting:
                self._add_worker(plan, waiting, tell)
            self._check(self.missing(plan))

    def _add_lower(
        self, plan: ImagePlan, references: Collection[str], missing: Missing, tell: Tell
    ) -> None:
        """What the worker file goes onto: the layers that are new, else all of it."""
        build(plan, references, tell, alone=True)  # a node lost an image since they were looked at
        whole = []
        for reference in sorted(references):
            nodes = [node for node, lacking in missing.items() if reference in lacking]
            if self.nodes.add_upper(reference, nodes, plan.base.platform):
                tell(f"sent the new layers of {reference} to {', '.join(nodes)}")
            else:
                whole.append(reference)
        if whole:
            self._load_whole(whole, [n for n in missing if missing[n] & set(whole)], tell)

    def _add_worker(self, plan: ImagePlan, waiting: Seen, tell: Tell) -> None:
        tell(f"sending {plan.worker} to {', '.join(waiting)}")
        grounds = {node: found.get(plan.ground, "") for node, found in waiting.items()}
        if not self.nodes.add_layer(plan, grounds):
            tell(f"the nodes do not take a layer of {plan.worker} alone: sending all of it")
            build(plan, {plan.worker}, tell, alone=True)
            self._load_whole({plan.worker}, list(waiting), tell)

    def _check(self, missing: Missing) -> None:
        """k3d ends with 0 although a node did not take an image."""
        for node, references in missing.items():
            if references:
                raise EnvironmentFailed(
                    f"node {node} has no {', '.join(sorted(references))} although it was loaded: "
                    f"look at its space (docker exec {node} df -h /) and start again"
                )

    def load_given(self, references: Collection[str], tell: Tell) -> None:
        ours = _to_load(references)
        with one_at_a_time(tell):
            for reference in sorted(ours):
                if lacking := self.nodes.without(reference):
                    self._load_whole({reference}, lacking, tell)
            if ours:
                seen = self.nodes.look(ours)
                self._check({node: frozenset(ours - found.keys()) for node, found in seen.items()})

    def _load_whole(self, references: Collection[str], nodes: list[str], tell: Tell) -> None:
        wanted = sorted(references)
        tell(f"loading {', '.join(wanted)} into {', '.join(nodes)}")
        if self.name == "kind":
            arguments = ["load", "docker-image", *wanted, "--name", self.cluster]
            arguments += ["--nodes", ",".join(nodes)]
        else:
            arguments = ["image", "import", *wanted, "--cluster", self.cluster]
        ended = follow(self.name, *arguments, line=_unheard, seconds=LOAD_SECONDS)
        if ended.code:
            raise failed(self.name, arguments, ended.err)

    def pulled_as(self, reference: str) -> str:
        return reference


def _missing(plan: ImagePlan, seen: Seen) -> Missing:
    """What nodes have to get; the ground only where the worker is yet to be put onto it."""
    lacking = {}
    for node, found in seen.items():
        needed = set(plan.references)
        if plan.worker not in found:
            needed.add(plan.ground)
        if needed - found.keys():
            lacking[node] = frozenset(needed - found.keys())
    return lacking


def _to_load(references: Collection[str]) -> set[str]:
    """Those that Docker has; none without Docker, which images that are there do not need.

    What is named by its digest is pulled: a digest is that of an image in a registry, and neither
    `docker save` nor the clusters' commands bring the name along.
    """
    tagged = {reference for reference in references if "@" not in reference}
    try:
        return tagged - set(absent(tagged))
    except EnvironmentFailed:
        return set()


class Minikube:
    """minikube, whose own command knows where its nodes keep images."""

    name = "minikube"
    pull_policy: PullPolicy = "Never"

    def __init__(self, profile: str) -> None:
        self.profile = profile

    def missing(self, plan: ImagePlan) -> Missing:
        lacking = self._lacking(plan.references)
        return {self.profile: lacking} if lacking else {}

    def _lacking(self, references: Collection[str]) -> frozenset[str]:
        listed = set(call("minikube", "--profile", self.profile, "image", "ls").decode().split())
        return frozenset(r for r in references if listed.isdisjoint(_names_in_minikube(r)))

    def to_build(self, plan: ImagePlan, missing: Missing) -> frozenset[str]:
        return frozenset().union(*missing.values())

    def load(self, plan: ImagePlan, tell: Tell) -> None:
        with one_at_a_time(tell):
            self._load(self.to_build(plan, self.missing(plan)), tell)

    def load_given(self, references: Collection[str], tell: Tell) -> None:
        with one_at_a_time(tell):
            self._load(_to_load(references), tell)

    def _load(self, references: Collection[str], tell: Tell) -> None:
        for reference in sorted(references):
            tell(f"loading {reference} into {self.profile}")
            arguments = ["--profile", self.profile, "image", "load", reference]
            call("minikube", *arguments, seconds=LOAD_SECONDS)
        # It ends with 0 whatever became of it.
        if references and (lacking := self._lacking(references)):
            raise EnvironmentFailed(
                f"minikube {self.profile} has no {', '.join(sorted(lacking))} although it was "
                f"loaded: look at its space (minikube --profile {self.profile} ssh -- df -h) and "
                "at what `minikube image load --alsologtostderr` says"
            )

    def pulled_as(self, reference: str) -> str:
        return reference


def _names_in_minikube(reference: str) -> set[str]:
    """How `minikube image ls` may call it: of CRI-O, what has no registry is `localhost/`."""
    whole = on_node(reference)
    return {reference, whole, whole.replace("docker.io/library/", "localhost/", 1)}


class Registry:
    """A registry that the nodes pull from; logins are Docker's (`docker login`)."""

    name = "registry"
    pull_policy: PullPolicy = "IfNotPresent"

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix

    def missing(self, plan: ImagePlan) -> Missing:
        lacking = {r for r in plan.references if not self._has(self.pulled_as(r))}
        return {self.prefix: frozenset(lacking)} if lacking else {}

    def _has(self, address: str) -> bool:
        ended = ask("docker", "manifest", "inspect", *self._plain_http(), address)
        if ended.code and not _NO_MANIFEST.search(ended.err):
            raise EnvironmentFailed(
                f"registry {self.prefix} does not say whether it has {address}: check the address "
                "and docker login",
                detail=ended.err,
            )
        return not ended.code

    def _plain_http(self) -> list[str]:
        """Docker itself speaks plain HTTP to registries of this machine, and to no other."""
        return ["--insecure"] if re.match(r"(localhost|127\.[\d.]+)(:|/|$)", self.prefix) else []

    def to_build(self, plan: ImagePlan, missing: Missing) -> frozenset[str]:
        return frozenset().union(*missing.values())

    def load(self, plan: ImagePlan, tell: Tell) -> None:
        for reference in sorted(self.to_build(plan, self.missing(plan))):
            address = self.pulled_as(reference)
            tell(f"pushing {address}")
            call("docker", "tag", reference, address)
            ended = follow("docker", "push", address, line=_unheard, seconds=LOAD_SECONDS)
            if ended.code:
                raise EnvironmentFailed(
                    f"{address} cannot be pushed: check the address and docker login",
                    detail=ended.err,
                )
            ask("docker", "rmi", address)  # the name alone; it is in the registry now

    def load_given(self, references: Collection[str], tell: Tell) -> None:
        """Images named by hand are named where they are."""

    def pulled_as(self, reference: str) -> str:
        return f"{self.prefix}/{reference}"


class Unloaded:
    """Nothing is loaded: the cluster runs the engine's own images, or has them by other means."""

    name = "none"
    pull_policy: PullPolicy = "IfNotPresent"

    def missing(self, plan: ImagePlan) -> Missing:
        lacking = frozenset(absent(plan.references))
        return {"docker": lacking} if lacking else {}

    def to_build(self, plan: ImagePlan, missing: Missing) -> frozenset[str]:
        return frozenset().union(*missing.values())

    def load(self, plan: ImagePlan, tell: Tell) -> None:
        """Built is all there is to it."""

    def load_given(self, references: Collection[str], tell: Tell) -> None:
        """They are there, says whoever named them."""

    def pulled_as(self, reference: str) -> str:
        return reference


def _unheard(_line: str) -> None:
    """Progress bars of a load are not for a log."""
