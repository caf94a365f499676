"""Which cluster a run goes to: never one that is not local by accident."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gomr_runtime.errors import EXIT_ENVIRONMENT, EnvironmentFailed
from k8s.api.connection import connect
from k8s.api.contexts import Context, Contexts, choose, contexts_of, read_contexts

NEAR = "https://127.0.0.1:6443"
FAR = "https://k8s.example.com:6443"


def kubeconfig(*contexts: tuple[str, str], current: str = "") -> dict[str, Any]:
    """One with the contexts (name, server) and clusters and users of the same names."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": current,
        "clusters": [{"name": n, "cluster": {"server": s}} for n, s in contexts],
        "users": [{"name": n, "user": {"token": "t"}} for n, _ in contexts],
        "contexts": [{"name": n, "context": {"cluster": n, "user": n}} for n, _ in contexts],
    }


def never(_: str) -> str:
    raise AssertionError("a cluster was asked that nobody named")


@pytest.mark.parametrize(
    ("name", "server", "local"),
    [
        ("kind-gomr", NEAR, True),
        ("kind-gomr", "https://198.51.100.2:6443", False),  # somebody else's, or a VPN's
        ("kind-gomr", "https://10.0.0.7:6443", False),
        ("kind-gomr", "https://[fd00::7]:6443", False),
        ("kind-gomr", "https://[::1]:6443", True),
        ("kind-gomr", "https://[::ffff:10.0.0.7]:6443", False),
        ("k3d-a", "https://172.18.0.2:6443", False),
        ("docker-desktop", "https://192.168.65.3:6443", False),
        ("kind-gomr", "https://169.254.1.1:6443", False),
        ("kind-prod", FAR, False),  # a name alone proves nothing
        ("kind-prod", "https://8.8.8.8:6443", False),
        ("minikube", "https://192.0.2.7:8443", False),
        ("minikube", "https://127.0.0.1:32771", True),
        ("k3d-a", "https://0.0.0.0:40001", True),
        ("docker-desktop", "https://kubernetes.docker.internal:6443", True),
        ("prod", NEAR, False),  # a tunnel to somewhere
        ("my-kind-a", NEAR, False),
        ("kind-gomr", "", False),
    ],
)
def test_what_counts_as_local(name: str, server: str, local: bool) -> None:
    assert Context(name, "default", server).local is local


@pytest.mark.parametrize(
    ("name", "server", "local"),
    [
        ("minikube", "https://192.0.2.7:8443", True),
        ("minikube", "https://8.8.8.8:8443", False),
        ("minikube", FAR, False),
        ("kind-a", "https://192.0.2.7:8443", True),  # minikube's all the same
        ("prod", "https://192.0.2.7:8443", False),
    ],
)
def test_minikube_is_believed_a_private_address(name: str, server: str, local: bool) -> None:
    config = kubeconfig((name, server))
    told = {"name": "cluster_info", "extension": {"provider": "minikube.sigs.k8s.io"}}
    config["clusters"][0]["cluster"]["extensions"] = [told, {"name": "other"}]
    assert contexts_of(config).known[name].local is local


@pytest.mark.parametrize("current", ["prod", "kind-prod"])
def test_auto_never_goes_to_a_cluster_elsewhere(current: str) -> None:
    contexts = contexts_of(kubeconfig((current, FAR), current=current))
    choice = choose("auto", "", contexts, never)
    assert (choice.runtime, choice.context) == ("local", "")
    assert current in choice.reason


def test_auto_takes_a_local_cluster_that_answers() -> None:
    contexts = contexts_of(kubeconfig(("kind-a", NEAR), current="kind-a"))
    assert choose("auto", "", contexts, lambda _: "").context == "kind-a"
    choice = choose("auto", "", contexts, lambda name: f"cluster {name} is not there")
    assert choice.runtime == "local"
    assert "cluster kind-a is not there" in choice.reason


def test_a_named_context_is_taken_wherever_it_is() -> None:
    contexts = contexts_of(kubeconfig(("prod", FAR), ("kind-a", NEAR), current="kind-a"))
    for runtime in ("auto", "kubernetes"):
        assert choose(runtime, "prod", contexts, never).context == "prod"


def test_kubernetes_asks_for_the_name_of_a_cluster_elsewhere() -> None:
    contexts = contexts_of(kubeconfig(("prod", FAR), current="prod"))
    with pytest.raises(EnvironmentFailed, match="--context prod"):
        choose("kubernetes", "", contexts, never)


def test_local_asks_nobody() -> None:
    contexts = contexts_of(kubeconfig(("kind-a", NEAR), current="kind-a"))
    assert choose("local", "", contexts, never).runtime == "local"


def test_no_cluster_at_all() -> None:
    assert choose("auto", "", Contexts({}), never).runtime == "local"
    with pytest.raises(EnvironmentFailed, match="kind create cluster") as caught:
        choose("kubernetes", "", Contexts({}), never)
    assert caught.value.exit_code == EXIT_ENVIRONMENT


def test_a_wrong_context_names_the_known_ones() -> None:
    contexts = contexts_of(kubeconfig(("b", NEAR), ("a", NEAR)))
    with pytest.raises(EnvironmentFailed, match="no context 'c': the kubeconfig has a, b"):
        contexts.pick("c")
    with pytest.raises(EnvironmentFailed, match="no current context"):
        contexts.pick("")


def test_several_kubeconfigs_as_kubectl_reads_them(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text(yaml.safe_dump(kubeconfig(("a", NEAR))))
    second.write_text(yaml.safe_dump(kubeconfig(("a", FAR), ("b", FAR), current="b")))
    found = read_contexts({"KUBECONFIG": f"{first}:{tmp_path / 'missing'}:{second}"})
    assert found.current == "b"
    assert found.known["a"].server == NEAR
    assert found.known["b"].server == FAR


def test_the_kubeconfig_of_the_home_directory(tmp_path: Path) -> None:
    assert read_contexts({"HOME": str(tmp_path)}) == Contexts({})
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text(yaml.safe_dump(kubeconfig(("a", NEAR))))
    assert set(read_contexts({"HOME": str(tmp_path)}).known) == {"a"}


@pytest.mark.parametrize("text", ["{", "contexts: [7]", "contexts: [{name: a}]"])
def test_a_broken_kubeconfig_is_said(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    with pytest.raises(EnvironmentFailed, match="the kubeconfig"):
        read_contexts({"KUBECONFIG": str(path)})


def test_a_cluster_that_does_not_run() -> None:
    config = kubeconfig(("kind-a", "https://127.0.0.1:1"), current="kind-a")
    with pytest.raises(EnvironmentFailed, match=r"cluster kind-a at \S+ does not answer") as caught:
        connect(kubeconfig=config)
    assert caught.value.exit_code == EXIT_ENVIRONMENT


def test_a_login_program_that_is_missing() -> None:
    config = kubeconfig(("kind-a", NEAR), current="kind-a")
    config["users"][0]["user"] = {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-program"}
    }
    with pytest.raises(EnvironmentFailed, match="no-such-program is missing"):
        connect(kubeconfig=config)


def test_a_login_program_that_fails() -> None:
    config = kubeconfig(("kind-a", NEAR), current="kind-a")
    config["users"][0]["user"] = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": "sh",
            "args": ["-c", "echo your session has expired >&2; exit 1"],
        }
    }
    with pytest.raises(EnvironmentFailed, match="your session has expired"):
        connect(kubeconfig=config)
