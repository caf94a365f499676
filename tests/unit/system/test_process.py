"""How a process in a pod shows that it is alive, and how its pod looks."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import yaml

from gomr_runtime.system.lifeline import show_life

MANIFESTS = Path(__file__).parents[3] / "k8s" / "manifests"


class Turning:
    """A loop that turns when it is told to."""

    def __init__(self) -> None:
        self.next: Callable[[], object] = lambda: None

    def call_later(self, delay: float, callback: Callable[..., object], *args: object) -> None:
        assert delay == 1.0
        self.next = lambda: callback(*args)


def test_the_file_is_touched_for_as_long_as_the_loop_turns(tmp_path: Path) -> None:
    alive, loop = tmp_path / "alive", Turning()
    show_life(cast(asyncio.AbstractEventLoop, loop), alive)
    for _ in range(3):
        os.utime(alive, (0, 0))
        loop.next()
        assert alive.stat().st_mtime > 0


def test_a_file_that_cannot_be_touched_ends_nothing(tmp_path: Path) -> None:
    loop = Turning()
    show_life(cast(asyncio.AbstractEventLoop, loop), tmp_path / "missing" / "alive")
    loop.next()


@pytest.mark.parametrize("name", ["master", "worker"])
def test_the_probe_of_the_pod_sees_it(name: str, tmp_path: Path) -> None:
    objects = yaml.safe_load_all((MANIFESTS / "run" / f"{name}.yaml").read_text())
    workload = next(found for found in objects if found["kind"] in {"Job", "Deployment"})
    (container,) = workload["spec"]["template"]["spec"]["containers"]
    (path,) = [e["value"] for e in container["env"] if e["name"] == "GOMR_ALIVE_FILE"]
    python, option, program = container["livenessProbe"]["exec"]["command"]
    assert (python, program.count(path)) == ("python", 1)
    alive = tmp_path / "alive"
    command = [sys.executable, option, program.replace(path, str(alive))]

    def probe() -> int:
        return subprocess.run(command, check=False).returncode

    assert probe() == 0, "not started yet"
    alive.touch()
    assert probe() == 0
    os.utime(alive, (1, 1))
    assert probe() == 1
