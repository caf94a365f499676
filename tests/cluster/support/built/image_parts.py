"""Worker files, plans and containers for the tests of images."""

from __future__ import annotations

import itertools
import os
import subprocess
from pathlib import Path

import pytest

from gomr_runtime.user_code.environment import CHECKOUT
from gomr_runtime.user_code.worker_file import inspect_worker
from k8s.images.build import find_base
from k8s.images.plan import ImagePlan, plan_images, read_sources
from tests.build_cache import BuildFailed
from tests.cluster.bring_up import cannot_run
from tests.cluster.support.built.images import ensure_image
from tests.cluster.support.engine import ensure_engine

_WORKER = """
import gomr_runtime as gomr
def mapper(ctx, chunk): ...
gomr.run(gomr.MapReduceConfig(mapper=mapper))
"""
_count = itertools.count()


def worker_file(folder: Path, *packages: str) -> Path:
    """A worker file that no other is equal to."""
    path = folder / "worker.py"
    names = ", ".join(f'"{package}"' for package in packages)
    header = f"# /// script\n# dependencies = [{names}]\n# ///\n" if packages else ""
    path.write_text(f"{header}{_WORKER}# {os.getpid()} {next(_count)}\n", encoding="utf-8")
    return path


def base_image() -> str:
    """Reference of the image that the others start from."""
    if reason := "GOMR_CLUSTER=0" if os.environ.get("GOMR_CLUSTER") == "0" else cannot_run():
        pytest.skip(reason)
    try:
        ensure_engine()
        return ensure_image("gomr-python")
    except BuildFailed as error:
        pytest.skip(f"no Docker with a Python image: {error}")


def plan_for(path: Path, base: str, **more: bytes) -> ImagePlan:
    """The plan for a worker file; `more` modules make images that no other run has."""
    worker = inspect_worker(path)
    sources = read_sources(CHECKOUT)
    sources |= {f"gomr_runtime/{name}.py": text for name, text in more.items()}
    return plan_images(worker, find_base(print, base), sources)


def docker(*arguments: str, seconds: float = 600) -> str:
    """What docker prints; its own words when it fails."""
    done = subprocess.run(
        ["docker", *arguments],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        cwd=CHECKOUT,
        env=os.environ | {"DOCKER_BUILDKIT": "0"},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def in_container(image: str, code: str) -> str:
    """What Python code prints in a container that may do as little as a pod of GoMR may."""
    least = ("--read-only", "--network", "none", "--cap-drop", "ALL")
    return docker("run", "--rm", *least, "--entrypoint", "python", image, "-c", code).strip()
