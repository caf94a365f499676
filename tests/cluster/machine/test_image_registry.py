"""Images through a real registry, pushed by a real Docker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gomr_runtime.errors import EnvironmentFailed
from k8s.images.build import build
from k8s.images.load import loader_for, run_images
from k8s.images.plan import ImagePlan
from tests.build_cache import BuildFailed
from tests.cluster.support.built.image_parts import base_image, docker, plan_for, worker_file
from tests.cluster.support.built.images import ensure_image
from tests.cluster.support.built.registry import registry


@pytest.fixture
def plan(tmp_path: Path) -> Iterator[ImagePlan]:
    """A plan whose images are there already; what is in them is small, and no matter here."""
    made = plan_for(worker_file(tmp_path), base_image(), mark_of_tests=b"# for a registry\n")
    for reference in made.references:
        docker("tag", ensure_image("pause"), reference)
    yield made
    docker("rmi", *made.references)


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    try:
        with registry(tmp_path) as found:
            yield found
    except BuildFailed as error:
        pytest.skip(f"no registry: {error}")


def test_images_are_pushed_once_under_the_prefix(plan: ImagePlan, address: str) -> None:
    loader = loader_for("remote", f"registry:{address}/team")
    missing = loader.missing(plan)
    assert missing == {f"{address}/team": frozenset(plan.references)}
    assert build(plan, loader.to_build(plan, missing), print) == []
    told: list[str] = []
    loader.load(plan, told.append)
    assert told == [f"pushing {address}/team/{reference}" for reference in sorted(plan.references)]

    assert loader.missing(plan) == {}
    told.clear()
    loader.load(plan, told.append)
    assert told == []
    images = run_images(plan, loader)
    for reference in images.master, images.worker:
        docker("pull", "--quiet", reference)
        docker("rmi", reference)


def test_a_registry_that_does_not_answer_is_named(plan: ImagePlan) -> None:
    loader = loader_for("remote", "registry:localhost:1/team")
    with pytest.raises(
        EnvironmentFailed, match=r"registry localhost:1/team does not .*docker login"
    ):
        loader.missing(plan)
