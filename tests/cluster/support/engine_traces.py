"""What a Docker engine changes on its machine and leaves when it ends: undone here."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from tests.build_cache import output
from tests.cluster.support.engine_remains import remove_groups

_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_FOLDERS = (Path("/etc/docker"), Path("/run/docker"), Path("/run/containerd"))
_CGROUPS = Path("/sys/fs/cgroup")
# Docker's own chains, and rules for its bridges: docker0 and br- with the network's id.
_BRIDGE = re.compile(r"docker0|br-[0-9a-f]{12}")
_RULE = re.compile(rf"DOCKER|\b(?:{_BRIDGE.pattern})\b")
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
    whole = file.with_suffix(".new")
    whole.write_text(json.dumps(state))
    whole.rename(file)


def undo(file: Path) -> list[str]:
    """Put back what `remember` wrote down, once the engine has ended; what is left, by name."""
    if not file.exists():
        return []  # it was killed before it had changed anything
    state = json.loads(file.read_text())
    rules = output(["iptables-save"], _SECONDS).splitlines(keepends=True)
    kept = "".join(line for line in rules if not _RULE.search(line))
    kept = re.sub(r"^:FORWARD DROP", f":FORWARD {state['forward']}", kept, flags=re.MULTILINE)
    output(["iptables-restore"], _SECONDS, given=kept)
    for bridge in _bridges():
        output(["ip", "link", "delete", bridge], _SECONDS)
    _FORWARDING.write_text(state["ip_forward"])
    for folder in state["folders"]:
        shutil.rmtree(folder, ignore_errors=True)
    remove_groups(_groups())
    return list(_left(state["folders"]))


def _left(folders: Iterable[str]) -> Iterable[str]:
    if _RULE.search(output(["iptables-save"], _SECONDS)):
        yield "rules of iptables"
    yield from (f"the bridge {bridge}" for bridge in _bridges())
    yield from (str(group) for group in _groups())
    yield from (folder for folder in folders if Path(folder).exists())


def _bridges() -> list[str]:
    """Docker's, by name; one that was killed leaves those of its networks, too."""
    found = json.loads(output(["ip", "-json", "link", "show", "type", "bridge"], _SECONDS) or "[]")
    return [link["ifname"] for link in found if _BRIDGE.fullmatch(link.get("ifname", ""))]


def _groups() -> list[Path]:
    """Docker's control group in every hierarchy, which it leaves."""
    return [*_CGROUPS.glob("docker"), *_CGROUPS.glob("*/docker")]
