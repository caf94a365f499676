"""Loaders whose clusters cannot be had here, held to what others have recorded of their commands.

Each stand-in is a shell script that answers as the named version does, by the issue or the source
that is named beside it. kind and the registry are run for real, in tests/cluster.
"""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from gomr_runtime.errors import EnvironmentFailed
from k8s.images.load import loader_for
from tests.unit.kubernetes.test_images import plan

DIGEST = "ghcr.io/me/mr-worker@sha256:" + "0" * 64
# `docker image inspect` of an image that is there, `docker ps` of k3d's labels, `ctr images ls`.
DOCKER = """\
case "$*" in
*Os*) echo "sha256:{id} linux/amd64" ;;
*inspect*) echo "sha256:{id}" ;;
ps*) printf 'k3d-dev-server-0\\tserver\\nk3d-dev-serverlb\\tloadbalancer\\n' ;;
exec*)
    echo "REF TYPE DIGEST SIZE PLATFORMS LABELS"
    test ! -e loaded || echo "docker.io/library/mr-worker:1 type sha256:{id} 1 MiB linux/amd64 -" ;;
esac
""".format(id="1" * 64)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the stand-ins are, the only programs on PATH but those of the shell."""
    (tmp_path / "bin").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    stand_in(tmp_path, "docker", DOCKER)
    return tmp_path


def stand_in(folder: Path, name: str, script: str) -> None:
    path = folder / "bin" / name
    path.write_text(
        f'#!/bin/sh\necho "{name} $*" >> {shlex.quote(str(folder / "asked"))}\n{script}'
    )
    path.chmod(0o755)


def asked(folder: Path, tool: str) -> list[str]:
    lines = (folder / "asked").read_text().splitlines()
    return [line.removeprefix(f"{tool} ") for line in lines if line.startswith(f"{tool} ")]


# v1.36.0 to v1.38.1, kubernetes/minikube#21393 and #23471: nothing is said, and the exit code is 0.
SILENT = 'case "$*" in *"image ls") echo registry.k8s.io/pause:3.10.1 ;; esac\n'


def test_minikube_that_loads_nothing_and_says_so_to_nobody(folder: Path) -> None:
    stand_in(folder, "minikube", SILENT)
    made = plan(folder)
    loader = loader_for("minikube")
    assert loader.missing(made) == {"minikube": frozenset(made.references)}
    with pytest.raises(EnvironmentFailed, match=r"minikube has no mr-master:.* although it was"):
        loader.load(made, lambda _: None)
    loads = [line for line in asked(folder, "minikube") if "load" in line]
    assert loads == [f"--profile minikube image load {name}" for name in sorted(made.references)]
    with pytest.raises(EnvironmentFailed, match="has no mr-worker:1 although it was loaded"):
        loader.load_given(["mr-worker:1"], lambda _: None)


# With Docker and containerd, `AddDockerIO` of pkg/minikube/cruntime/docker.go (kubernetes/minikube
# #19343); with CRI-O, whose images podman loads, #9131.
@pytest.mark.parametrize("prefix", ["docker.io/library/", "localhost/", ""])
def test_minikube_names_images_in_its_own_ways(folder: Path, prefix: str) -> None:
    made = plan(folder)
    listed = "\n".join(prefix + name for name in made.references)
    stand_in(folder, "minikube", f"echo {shlex.quote(listed)}\n")
    loader = loader_for("my-profile", "minikube")
    assert loader.missing(made) == {}
    loader.load(made, lambda _: None)
    assert set(asked(folder, "minikube")) == {"--profile my-profile image ls"}


def test_another_registrys_image_of_that_name_is_not_it(folder: Path) -> None:
    made = plan(folder)
    listed = "\n".join(f"ghcr.io/library/{name}" for name in made.references)
    stand_in(folder, "minikube", f"echo {shlex.quote(listed)}\n")
    assert loader_for("minikube").missing(made) == {"minikube": frozenset(made.references)}


# v5.7.2, k3d-io/k3d#1484: pkg/client/tools.go logs what a node says, and ends with 0.
K3D_FAILS = """\
echo "ERRO[0001] failed to import images in node 'k3d-dev-server-0': exit code '1'" >&2
echo "INFO[0003] Successfully imported image(s)" >&2
"""


def test_k3d_that_says_it_has_imported_what_it_has_not(folder: Path) -> None:
    stand_in(folder, "k3d", K3D_FAILS)
    with pytest.raises(EnvironmentFailed, match="node k3d-dev-server-0 has no mr-worker:1"):
        loader_for("k3d-dev").load_given(["mr-worker:1"], lambda _: None)
    assert asked(folder, "k3d") == ["image import mr-worker:1 --cluster dev"]


def test_k3d_imports_what_a_server_lacks_and_nothing_else(folder: Path) -> None:
    """Its load balancer takes no images."""
    stand_in(folder, "k3d", "touch loaded\n")
    told: list[str] = []
    for _ in range(2):
        loader_for("k3d-dev").load_given(["mr-worker:1"], told.append)
    assert asked(folder, "k3d") == ["image import mr-worker:1 --cluster dev"]
    assert told == ["loading mr-worker:1 into k3d-dev-server-0"]


@pytest.mark.parametrize("context", ["kind-dev", "k3d-dev", "minikube", "docker-desktop"])
def test_what_is_named_by_digest_is_left_to_the_nodes_to_pull(folder: Path, context: str) -> None:
    """kubernetes-sigs/kind#1140 and #2394, docker/cli#5933: it would come without its name."""
    for name in ("kind", "k3d", "minikube"):
        stand_in(folder, name, "exit 1\n")
    loader_for(context).load_given([DIGEST, f"{DIGEST[:-1]}1"], lambda _: None)
    assert not (folder / "asked").exists()
