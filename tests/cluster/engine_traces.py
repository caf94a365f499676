"""What a Docker engine changes on its machine and leaves when it stops: undone here."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from tests.build_cache import ended, output

_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_FOLDERS = (Path("/etc/docker"), Path("/run/docker"), Path("/run/containerd"))
_MOUNTS = Path("/proc/self/mounts")
_CGROUPS = Path("/sys/fs/cgroup")
_BRIDGE = "docker0"
# Docker's own chains, and rules for its bridges: docker0 and br- with the network's id.
_RULE = re.compile(r"DOCKER|\bdocker0\b|\bbr-[0-9a-f]{12}\b")
_SECONDS = 60.0


def remember(file: Path) -> None:
    """Write down what an engine that starts now will change."""
    policy = re.search(
        r"^:FORWARD (\w+)", output(["iptables-save", "-t", "filter"], _SECONDS), re.MULTILINE
    )
    state = {
        "forward": policy.group(1) if policy else "ACCEPT",
        "ip_forward": _FORWARDING.read_text().strip(),
        "folders": [str(folder) for folder in _FOLDERS if not folder.exists()],
    }
    file.write_text(json.dumps(state))


def undo(file: Path) -> list[str]:
    """Put back what `remember` wrote down, once the engine has stopped; what is left, by name."""
    state = json.loads(file.read_text())
    rules = output(["iptables-save"], _SECONDS).splitlines(keepends=True)
    kept = "".join(line for line in rules if not _RULE.search(line))
    kept = re.sub(r"^:FORWARD DROP", f":FORWARD {state['forward']}", kept, flags=re.MULTILINE)
    output(["iptables-restore"], _SECONDS, given=kept)
    if _bridge_exists():
        output(["ip", "link", "delete", _BRIDGE], _SECONDS)
    _FORWARDING.write_text(state["ip_forward"])
    for folder in state["folders"]:
        shutil.rmtree(folder, ignore_errors=True)
    for group in sorted(_cgroups(), reverse=True):  # children before their parents
        group.rmdir()
    return list(_left(state["folders"]))


def remove(folder: Path) -> None:
    """The folder with all in it; an engine leaves some mounts there when it stops."""
    points = [Path(line.split()[1]) for line in _MOUNTS.read_text().splitlines()]
    for point in sorted(points, reverse=True):  # what is mounted inside another goes first
        if point == folder or folder in point.parents:
            output(["umount", str(point)], _SECONDS)
    shutil.rmtree(folder)


def _left(folders: Iterable[str]) -> Iterable[str]:
    if _RULE.search(output(["iptables-save"], _SECONDS)):
        yield "rules of iptables"
    if _bridge_exists():
        yield f"the bridge {_BRIDGE}"
    yield from (str(group) for group in _cgroups())
    yield from (folder for folder in folders if Path(folder).exists())


def _bridge_exists() -> bool:
    return ended(["ip", "link", "show", _BRIDGE], _SECONDS).returncode == 0


def _cgroups() -> list[Path]:
    """Docker's groups of every hierarchy, the empty ones that it leaves."""
    tops = [*_CGROUPS.glob("docker"), *_CGROUPS.glob("*/docker")]
    return [path for top in tops for path in (top, *top.rglob("*")) if path.is_dir()]
