"""Which cluster is meant: contexts of the kubeconfig, and what `--runtime auto` makes of them."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from gomr_runtime.errors import EnvironmentFailed
from gomr_runtime.system.settings import read

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
LOCAL_NAMES = re.compile(r"kind-.+|minikube|k3d-.+|docker-desktop|docker-for-desktop")
MINIKUBE = "minikube.sigs.k8s.io"  # as it signs what it writes into a kubeconfig
LOCAL_HOSTS = {"localhost", "kubernetes.docker.internal", "host.docker.internal"}


@dataclass(frozen=True, slots=True)
class Context:
    """One context. server: URL of the API server, "" when the kubeconfig does not say. providers:
    the programs that say in the kubeconfig that the cluster is theirs."""

    name: str
    namespace: str
    server: str
    providers: frozenset[str] = frozenset()

    @property
    def local(self) -> bool:
        """Whether it is a cluster on this machine, by its name and by where its server is.

        A private address is one of any machine around, but for minikube's, whose machine or
        container has one: that is believed where minikube itself has written it down.
        """
        if not LOCAL_NAMES.fullmatch(self.name):
            return False
        host = urlsplit(self.server).hostname or ""
        return _is_here(host) or (MINIKUBE in self.providers and _is_private(host))


@dataclass(frozen=True, slots=True)
class Contexts:
    """What a kubeconfig offers; `current` is "" when none is chosen."""

    known: dict[str, Context]
    current: str = ""

    def pick(self, name: str) -> Context:
        """The context `name`, or the current one for ""; EnvironmentFailed names the known."""
        wanted = name or self.current
        if not self.known:
            raise EnvironmentFailed(
                "no cluster: neither KUBECONFIG nor ~/.kube/config names one; make one "
                "(kind create cluster) or use --runtime local"
            )
        if not wanted:
            raise EnvironmentFailed(
                f"no current context: use --context with one of {self._names()}, or "
                "kubectl config use-context"
            )
        if wanted not in self.known:
            raise EnvironmentFailed(f"no context {wanted!r}: the kubeconfig has {self._names()}")
        return self.known[wanted]

    def _names(self) -> str:
        return ", ".join(sorted(self.known))


@dataclass(frozen=True, slots=True)
class Choice:
    """Where a run goes and, for the person, why. context: "" for the local runtime."""

    runtime: Literal["local", "kubernetes"]
    context: str
    reason: str


def choose(
    runtime: str, context: str, contexts: Contexts, reachable: Callable[[str], str]
) -> Choice:
    """What `--runtime` and `--context` come to.

    `auto` takes a named context, or the current one if it is local and answers. reachable: gives
    "" or why the context of that name does not answer. A cluster that is not local is taken only
    when it was named: EnvironmentFailed otherwise.
    """
    if runtime == "local":
        return Choice("local", "", "runtime: local, as asked")
    if runtime == "kubernetes" or context:
        picked = contexts.pick(context)
        if not context and not picked.local:
            raise EnvironmentFailed(
                f"the current context {picked.name} is no cluster of this machine: "
                f"name it if you mean it (--context {picked.name})"
            )
        named = f"--context {context}" if context else "the current context"
        return Choice("kubernetes", picked.name, f"runtime: kubernetes ({named}: {picked.name})")
    current = contexts.known.get(contexts.current)
    if current is None:
        return Choice("local", "", "runtime: local (no cluster in the kubeconfig)")
    if not current.local:
        return Choice(
            "local", "", f"runtime: local (context {current.name} is not local; name it to use it)"
        )
    if trouble := reachable(current.name):
        return Choice("local", "", f"runtime: local (context {current.name}: {trouble})")
    return Choice(
        "kubernetes", current.name, f"runtime: kubernetes (context {current.name} answers)"
    )


def may_go_to_cluster(runtime: str, named: str, contexts: Contexts) -> bool:
    """Whether `choose` may come to a cluster, as far as can be told without asking one. named:
    a context, or whatever else names a cluster."""
    if runtime != "auto":
        return runtime == "kubernetes"
    current = contexts.known.get(contexts.current)
    return bool(named or (current and current.local) or in_cluster_namespace())


def check_named(runtime: str, context: str, contexts: Contexts) -> None:
    """Raises what `choose` will, as far as the kubeconfig alone tells it."""
    if not in_cluster_namespace():
        choose(runtime, context, contexts, lambda _: "")


def read_contexts(environ: Mapping[str, str] | None = None) -> Contexts:
    """The contexts of `$KUBECONFIG` or `~/.kube/config`; none where there is no such file."""
    home = Path(read("home", environ) or "~")
    found = read("kubeconfig", environ) or str(home / ".kube" / "config")
    configs = []
    for name in filter(None, found.split(os.pathsep)):
        path = Path(name).expanduser()
        if path.is_file():
            configs.append(_read(path))
    return contexts_of(*configs)


def contexts_of(*configs: Mapping[str, Any]) -> Contexts:
    """The contexts of one or more kubeconfigs; of each name, the first counts, as in kubectl."""
    servers: dict[str, tuple[str, frozenset[str]]] = {}
    known: dict[str, Context] = {}
    current = ""
    try:
        for config in configs:
            current = current or config.get("current-context") or ""
            for cluster in config.get("clusters") or ():
                said = cluster["cluster"] or {}
                servers.setdefault(cluster["name"], (said.get("server", ""), _providers(said)))
        for config in configs:
            for entry in config.get("contexts") or ():
                context = entry["context"] or {}
                found = Context(
                    str(entry["name"]),
                    context.get("namespace") or "default",
                    *servers.get(context.get("cluster", ""), ("", frozenset())),
                )
                known.setdefault(found.name, found)
    except (KeyError, TypeError, AttributeError) as error:
        raise EnvironmentFailed(f"the kubeconfig is not as kubectl writes it: {error!r}") from None
    return Contexts(known, current)


def in_cluster_namespace(folder: Path = SERVICE_ACCOUNT) -> str:
    """The namespace of the pod that this process runs in; "" outside a cluster."""
    try:
        return (folder / "namespace").read_text("ascii").strip()
    except OSError:
        return ""


def _read(path: Path) -> Mapping[str, Any]:
    import yaml  # not where there is no kubeconfig

    from k8s.api.yaml_files import documents

    try:
        loaded = documents(path)
    except OSError as error:
        raise EnvironmentFailed(f"cannot read the kubeconfig {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise EnvironmentFailed(f"the kubeconfig {path} is no YAML: {error}") from None
    return loaded[0] if loaded and isinstance(loaded[0], dict) else {}


def _providers(cluster: Mapping[str, Any]) -> frozenset[str]:
    said = (entry.get("extension") or {} for entry in cluster.get("extensions") or ())
    return frozenset(str(extension.get("provider", "")) for extension in said)


def _is_here(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host in LOCAL_HOSTS or host.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def _is_private(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return False
