"""The Go programs of the test cluster, built from their modules once and kept."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.build_cache import BUILD_SECONDS, BuildFailed, cached, key_of, output
from tests.cluster.progress import say

SOURCES = Path(__file__).parents[2] / "go"
_PACKAGES = (
    "./kube",
    "./coredns",
    "./pause",
    "sigs.k8s.io/cri-tools/cmd/crictl",
    "sigs.k8s.io/kind",
)
_VERSION = "k8s.io/component-base/version"


def kubernetes_programs() -> Path:
    """Folder with `kube` (all of Kubernetes), `coredns`, `pause`, `crictl` and `kind`.

    Built once, with ten to twenty minutes of CPU.
    """
    version = kubernetes_version()
    major, minor, _ = version.removeprefix("v").split(".")
    stamp = f"-X {_VERSION}.gitVersion={version} -X {_VERSION}.gitMajor={major}"
    stamp += f" -X {_VERSION}.gitMinor={minor}"
    return _built("kubernetes", list(_PACKAGES), stamp)


def runc_wrapper() -> Path:
    """Path of the program that stands for runc where CAP_SYS_RESOURCE is missing."""
    return _built("runc", ["./runc"], "") / "runc"


def kubernetes_version() -> str:
    for line in (SOURCES / "go.mod").read_text().splitlines():
        if line.strip().startswith("k8s.io/kubernetes "):
            return line.split()[1]
    raise BuildFailed(f"{SOURCES}/go.mod does not name k8s.io/kubernetes")


def _built(name: str, packages: list[str], stamp: str) -> Path:
    if shutil.which("go") is None:
        raise BuildFailed("needs the Go toolchain (`go`) on PATH")
    folders = [SOURCES / package for package in packages if package.startswith("./")]
    sources = [SOURCES / "go.mod", SOURCES / "go.sum", *folders]

    def build(made: Path) -> None:
        say(f"building {name} from its Go modules, this takes minutes")
        # Symbols and debug data are left out: they double the time of linking.
        flags = ["-trimpath", f"-ldflags=-s -w {stamp}"]
        command = ["nice", "-n", "5", "go", "build", *flags, "-o", f"{made}/", *packages]
        output(command, BUILD_SECONDS, extra={"CGO_ENABLED": "0"}, cwd=SOURCES)

    return cached(name, key_of([*packages, stamp, *sources]), build)
