"""Building the images with a real Docker: by hand as the README says, and as a run does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from gomr_runtime.errors import EnvironmentFailed
from gomr_runtime.user_code.environment import CHECKOUT
from k8s.images.build import absent, build, find_base
from k8s.images.docker import ask
from tests.cluster.support.built.image_parts import (
    base_image,
    docker,
    in_container,
    plan_for,
    worker_file,
)

MASTER, WORKER = "mr-master:by-hand", "mr-worker:by-hand"
EXAMPLE = "examples/wordcount/worker.py"


@pytest.fixture(scope="module")
def base() -> str:
    """Reference of the image that the others start from."""
    return base_image()


@pytest.fixture(scope="module")
def by_hand(base: str) -> None:
    """Both images by the README's two commands."""
    arguments = ("build", "--build-arg", f"BASE={base}")
    docker(*arguments, "-f", "Dockerfile.master", "-t", MASTER, ".", seconds=900)
    worker = ("--build-arg", f"WORKER_FILE={EXAMPLE}")
    docker(*arguments, "-f", "Dockerfile.worker", *worker, "-t", WORKER, ".")


@pytest.fixture(autouse=True)
def worker_images(base: str) -> Iterator[None]:
    """Takes away the images of worker files that no other test has."""
    before = tagged("mr-worker")
    yield
    if made := tagged("mr-worker") - before:
        docker("rmi", *made)


def tagged(name: str) -> set[str]:
    return set(docker("images", "--format", "{{.Repository}}:{{.Tag}}", name).split())


def layers(image: str) -> list[str]:
    found: list[str] = json.loads(
        docker("image", "inspect", "--format", "{{json .RootFS.Layers}}", image)
    )
    return found


@pytest.mark.usefixtures("by_hand")
@pytest.mark.parametrize("image", [MASTER, WORKER])
def test_the_runtime_is_in_both_images(image: str) -> None:
    code = (
        "import os, sys, gomr_runtime.worker.supervisor as m, gomr_runtime.master.server;"
        "print(os.getuid(), os.getgid(), os.path.exists(m.__cached__), 'prefect' in sys.modules)"
    )
    assert in_container(image, code) == "10001 10001 True False"


@pytest.mark.usefixtures("by_hand")
def test_each_image_starts_its_own_program() -> None:
    for image, program in (MASTER, "gomr-master"), (WORKER, "gomr-worker"):
        assert f"usage: {program}" in docker("run", "--rm", "--read-only", image, "--help")


@pytest.mark.usefixtures("by_hand")
def test_the_worker_file_is_the_last_layer_on_the_masters() -> None:
    code = "print(open('/app/worker.py').read(), end='')"
    assert in_container(WORKER, code) == (CHECKOUT / EXAMPLE).read_text(encoding="utf-8").strip()
    shared = layers(MASTER)
    assert layers(WORKER)[: len(shared)] == shared
    assert len(layers(WORKER)) <= len(shared) + 3


@pytest.mark.usefixtures("by_hand")
def test_the_compiled_part_is_in_the_image_and_its_compiler_is_not() -> None:
    code = "import shutil; from gomr_native import Pairs; print(shutil.which('cc'))"
    assert in_container(WORKER, code) == "None"


@pytest.mark.usefixtures("by_hand")
def test_there_is_nothing_the_runtime_does_without() -> None:
    code = (
        "import importlib.util as u, shutil;"
        "print([n for n in ('prefect', 'pandas', 'uv', 'tests') if u.find_spec(n)],"
        "[n for n in ('gcc', 'uv') if shutil.which(n)])"
    )
    assert in_container(MASTER, code) == "[] []"


def test_a_password_of_an_index_stays_out_of_the_image(base: str) -> None:
    index = "PIP_INDEX_URL=https://user:canary@127.0.0.1:1/simple"
    arguments = ["build", "--build-arg", f"BASE={base}", "--build-arg", index]
    ended = ask("docker", *arguments, "-f", "Dockerfile.master", str(CHECKOUT), seconds=600)
    assert ended.code
    assert "PIP_INDEX_URL holds credentials" in ended.out.decode() + ended.err
    everything = docker("images", "--all", "--quiet", "--filter", "since=" + base).split()
    history = [docker("history", "--no-trunc", image) for image in set(everything)]
    assert not [text for text in history if "canary" in text]


def test_packages_of_the_header_are_installed(base: str, tmp_path: Path) -> None:
    plan = plan_for(worker_file(tmp_path, "humanize>=4"), base)
    build(plan, {plan.worker}, print)
    code = "import humanize, gomr_runtime; print(humanize.intcomma(1234567))"
    assert in_container(plan.worker, code) == "1,234,567"

    after = plan_for(worker_file(tmp_path, "humanize>=4"), base)
    assert after.ground == plan.ground
    assert after.worker != plan.worker
    assert after.worker in build(after, {after.ground, after.worker}, print)
    assert layers(after.worker)[:-1] == layers(after.ground) == layers(plan.worker)[:-1]


def test_what_is_built_is_not_built_again(base: str, tmp_path: Path) -> None:
    plan = plan_for(worker_file(tmp_path), base)
    told: list[str] = []
    assert set(build(plan, plan.references, told.append)) <= set(plan.references)
    assert f"building {plan.worker}" in told
    assert absent(plan.references) == []
    assert build(plan, plan.references, told.append) == []


def test_a_package_that_cannot_be_had_is_named(base: str, tmp_path: Path) -> None:
    plan = plan_for(worker_file(tmp_path, "humanize==0.0.1.dev999"), base)
    with pytest.raises(EnvironmentFailed, match=r"cannot be built: .*humanize==0\.0\.1") as caught:
        build(plan, {plan.ground}, print)
    assert "header (humanize==0.0.1.dev999)" in str(caught.value)
    assert "No matching distribution" in caught.value.detail


def test_a_docker_that_does_not_answer_is_named(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    with pytest.raises(EnvironmentFailed, match=r"Docker does not answer: start it, .*--master-im"):
        find_base(print, base)


def test_a_base_that_is_not_to_be_had_is_named(base: str) -> None:
    nowhere = "127.0.0.1:1/python:3.11"
    with pytest.raises(
        EnvironmentFailed, match=r"base image 127\.0\.0\.1:1/python:3\.11 cannot be"
    ):
        find_base(print, nowhere)
