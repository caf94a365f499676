"""A real image registry on a port of this machine: Debian's docker-registry, unpacked once."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.build_cache import BuildFailed, cached, output

PACKAGE = "docker-registry"
SECONDS = 120.0
_LISTENING = re.compile(r"listening on 127\.0\.0\.1:(\d+)")


def registry_binary() -> Path:
    """Path of the server; BuildFailed where there is no apt or no such package."""

    def build(made: Path) -> None:
        try:
            output(["apt-get", "update", "--quiet=2"], SECONDS)
            download = ["sh", "-c", f"cd {made} && apt-get download --quiet=2 {PACKAGE}"]
            output(download, SECONDS)
        except FileNotFoundError:
            raise BuildFailed(f"no apt-get here to fetch {PACKAGE} with") from None
        (package,) = made.glob("*.deb")
        output(["dpkg-deb", "--extract", str(package), str(made)], SECONDS)

    return cached(PACKAGE, "debian", build) / "usr" / "bin" / PACKAGE


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """A registry that runs within the block and keeps its data in `folder`; `localhost:PORT`."""
    settings = folder / "registry.yml"
    settings.write_text(
        "version: 0.1\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
        'http: {addr: "127.0.0.1:0"}\n'
    )
    command = [str(registry_binary()), "serve", str(settings)]
    log = (folder / "registry.log").open("w+")
    with (
        log,
        subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as server,
    ):
        try:
            assert server.stderr is not None
            for line in server.stderr:
                log.write(line)
                if found := _LISTENING.search(line):
                    break
            else:
                raise AssertionError(f"the registry did not start: {log.name}")
            yield f"localhost:{found[1]}"
        finally:
            server.kill()
