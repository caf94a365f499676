"""kubectl, as the administrator of the test cluster."""

from __future__ import annotations

import json
from pathlib import Path

from tests.build_cache import BuildFailed, ended, output
from tests.cluster.support.layout import kubeconfig_path


def link_programs(programs: Path) -> None:
    """`kind` and `kubectl` in the checkout's `.venv/bin`."""
    for name, program in (("kind", "kind"), ("kubectl", "kube")):
        link, target = program_path(name), programs / program
        if not link.is_symlink() or link.readlink() != target:
            link.unlink(missing_ok=True)
            link.symlink_to(target)


def program_path(name: str) -> Path:
    return Path(__file__).parents[3] / ".venv" / "bin" / name


def kubectl(*arguments: str, seconds: float = 60.0, given: str | None = None) -> str:
    """Its stdout; BuildFailed with what it said."""
    return output([*_command(), *arguments], seconds, given=given)


def succeeds(*arguments: str, seconds: float = 15.0) -> bool:
    try:
        kubectl(*arguments, seconds=seconds)
    except BuildFailed:
        return False
    return True


def condition(thing: str, name: str, namespace: str = "default") -> bool:
    """Whether `node/x` or `deployment/y` is there and has the condition."""
    command = [*_command(), "--namespace", namespace, "get", thing, "--output", "json"]
    done = ended(command, 60)
    if done.returncode != 0:
        return False
    conditions = json.loads(done.stdout).get("status", {}).get("conditions", [])
    return any(one["type"] == name and one["status"] == "True" for one in conditions)


def _command() -> list[str]:
    return [str(program_path("kubectl")), "--kubeconfig", str(kubeconfig_path())]
