"""The root file system under the images: Debian by debootstrap, made once and kept as a tar."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from tests.build_cache import BuildFailed, cached, key_of, output
from tests.cluster.progress import say

SUITE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
AUTHORITIES = Path("/etc/ssl/certs/ca-certificates.crt")
# Where the package ca-certificates finds them when it is installed and writes the bundle anew.
KEPT_AUTHORITIES = Path("/usr/local/share/ca-certificates/machine.crt")
_SOURCES = f"""\
deb {MIRROR} {SUITE} main
deb {MIRROR} {SUITE}-updates main
deb {MIRROR}-security {SUITE}-security main
"""
_LEFT_OUT = ["dev/*", "var/lib/apt/lists/*", "var/cache/apt/*"]
_LEFT_OUT += [f"usr/share/{name}/*" for name in ("doc", "man", "locale")]
_SECONDS = 900.0


def debian_root() -> Path:
    """The tar; this machine's certificate authorities are in it, for pip in builds."""
    if not AUTHORITIES.is_file():
        raise BuildFailed(f"{AUTHORITIES} is missing: install the package ca-certificates")

    def build(made: Path) -> None:
        say(f"making a Debian {SUITE} root file system")
        with tempfile.TemporaryDirectory(dir=made.parent) as folder:
            root = Path(folder) / "root"
            output(["debootstrap", "--variant=minbase", SUITE, str(root), MIRROR], _SECONDS)
            (root / "etc/apt/sources.list").write_text(_SOURCES)
            for place in (AUTHORITIES, KEPT_AUTHORITIES):
                path = root / place.relative_to("/")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(AUTHORITIES.read_bytes())
            without = [f"--exclude=./{name}" for name in _LEFT_OUT]
            command = ["tar", "-C", str(root), *without, "-cf", str(made / "rootfs.tar"), "."]
            output(command, _SECONDS)

    key = key_of([Path(__file__), AUTHORITIES])
    return cached("debian", key, build) / "rootfs.tar"


if __name__ == "__main__":
    if os.geteuid() != 0:
        raise SystemExit("debian_root: debootstrap needs root")
    print(debian_root())
