"""Which images a run needs, what they are built from, and how they reach the nodes."""

from __future__ import annotations

import io
import re
import tarfile
from pathlib import Path

import pytest

from gomr_runtime.errors import EnvironmentFailed, UsageError
from gomr_runtime.user_code.worker_file import inspect_worker, main
from k8s.images.build import build_context, find_base, index_arguments, one_at_a_time
from k8s.images.load import Registry, loader_for, run_images
from k8s.images.plan import BaseImage, ImagePlan, on_node, plan_images, read_sources
from k8s.images.prune import removable

ROOT = Path(__file__).parents[3]
BASE = BaseImage("python:3.11-slim", "sha256:" + "1" * 64, "linux/amd64")
SOURCES = {
    "Dockerfile.master": b"FROM a",
    "Dockerfile.worker": b"FROM a",
    "gomr_runtime/x.py": b"x = 1",
    "uv.lock": b"",
}
WORKER = """
import gomr_runtime as gomr
def mapper(ctx, chunk): ...
gomr.run(gomr.MapReduceConfig(mapper=mapper))
"""


def worker_file(folder: Path, *packages: str, more: str = "") -> Path:
    path = folder / "worker.py"
    lines = "".join(f'#     "{package}",\n' for package in packages)
    header = f"# /// script\n# dependencies = [\n{lines}# ]\n# ///\n" if packages else ""
    path.write_text(header + WORKER + more, encoding="utf-8")
    return path


def plan(
    folder: Path,
    *packages: str,
    more: str = "",
    base: BaseImage = BASE,
    sources: dict[str, bytes] | None = None,
) -> ImagePlan:
    worker = inspect_worker(worker_file(folder, *packages, more=more))
    return plan_images(worker, base, sources or SOURCES)


def test_equal_sources_have_equal_tags(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    first, second = plan(tmp_path), plan(tmp_path / "elsewhere")
    assert first == second
    assert re.fullmatch(r"mr-master:[0-9a-f]{20}", first.master)
    assert re.fullmatch(r"mr-worker:[0-9a-f]{20}", first.worker)


def test_a_changed_worker_file_is_a_layer_on_the_same_ground(tmp_path: Path) -> None:
    before, after = plan(tmp_path), plan(tmp_path, more="# changed")
    assert before.master == after.master == before.ground == after.ground
    assert before.worker != after.worker


def test_packages_make_a_ground_of_their_own(tmp_path: Path) -> None:
    with_rich = plan(tmp_path, "rich", "attrs")
    assert with_rich.master == plan(tmp_path).master
    assert with_rich.ground.startswith("mr-worker:ground-")
    assert with_rich.ground == plan(tmp_path, "attrs", "rich", more="# changed").ground
    assert with_rich.ground != plan(tmp_path, "rich").ground


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_counts(tmp_path: Path, name: str) -> None:
    before = plan(tmp_path, "attrs")
    after = plan(tmp_path, "attrs", sources={**SOURCES, name: b"something else"})
    assert (before.master != after.master) == (name != "Dockerfile.worker")
    assert before.ground != after.ground
    assert before.worker != after.worker


@pytest.mark.parametrize(
    "base",
    [
        BaseImage(BASE.reference, "sha256:" + "2" * 64, BASE.platform),
        BaseImage(BASE.reference, BASE.id, "linux/arm64"),
    ],
)
def test_a_newer_base_or_another_platform_is_another_image(tmp_path: Path, base: BaseImage) -> None:
    before, after = plan(tmp_path), plan(tmp_path, base=base)
    assert not set(before.references) & set(after.references)


def test_a_base_under_another_name_is_the_same_image(tmp_path: Path) -> None:
    renamed = BaseImage("mirror/python:3.11-slim", BASE.id, BASE.platform)
    assert plan(tmp_path, base=renamed).references == plan(tmp_path).references


def test_a_worker_file_that_changes_meanwhile_goes_in_as_it_was(tmp_path: Path) -> None:
    worker = inspect_worker(worker_file(tmp_path))
    before = worker.path.read_bytes()
    worker_file(tmp_path, more="# changed")
    assert plan_images(worker, BASE, SOURCES).source == before


def test_sources_are_the_runtime_and_no_more() -> None:
    names = set(read_sources(ROOT))
    assert {"Dockerfile.master", "Dockerfile.worker", "uv.lock", "pyproject.toml"} < names
    assert "gomr_runtime/worker/supervisor.py" in names
    assert not [n for n in names if n.startswith((".", "tests", "flows")) or "__pycache__" in n]


def test_sources_leave_out_what_a_link_leads_to(tmp_path: Path) -> None:
    (tmp_path / "gomr_runtime").mkdir()
    (tmp_path / "secret.py").write_text("password")
    (tmp_path / "gomr_runtime" / "own.py").write_text("x")
    (tmp_path / "gomr_runtime" / "link.py").symlink_to(tmp_path / "secret.py")
    assert read_sources(tmp_path) == {"gomr_runtime/own.py": b"x"}


def test_the_context_is_equal_for_equal_plans(tmp_path: Path) -> None:
    shuffled = dict(reversed(SOURCES.items()))
    made = plan(tmp_path)
    assert build_context(made) == build_context(plan(tmp_path, sources=shuffled))
    with tarfile.open(fileobj=io.BytesIO(build_context(made))) as tar:
        assert tar.getnames() == sorted([*SOURCES, "worker.py"])
        assert {(m.mtime, m.uid, m.mode) for m in tar} == {(0, 0, 0o644)}
        held = tar.extractfile("worker.py")
        assert held is not None
        assert held.read() == made.source


def test_both_dockerfiles_begin_alike() -> None:
    master, worker = (
        (ROOT / f"Dockerfile.{name}").read_text(encoding="utf-8") for name in ("master", "worker")
    )
    shared = master[master.index("ARG BASE") : master.index("# The master.")]
    assert "AS runtime" in shared
    assert shared in worker, "or they share no layers"
    assert "--mount" not in master + worker, "the classic builder knows none"


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("mr-worker:abc", "docker.io/library/mr-worker:abc"),
        ("mr-worker", "docker.io/library/mr-worker:latest"),
        ("me/mr-worker:1", "docker.io/me/mr-worker:1"),
        ("localhost/mr-worker:1", "localhost/mr-worker:1"),
        ("localhost:5000/mr-worker", "localhost:5000/mr-worker:latest"),
        ("ghcr.io/me/mr-worker@sha256:" + "0" * 64, "ghcr.io/me/mr-worker@sha256:" + "0" * 64),
    ],
)
def test_names_as_containerd_has_them(reference: str, name: str) -> None:
    assert on_node(reference) == name


@pytest.mark.parametrize(
    ("context", "load", "name"),
    [
        ("kind-gomr", "", "kind"),
        ("k3d-dev", "", "k3d"),
        ("minikube", "", "minikube"),
        ("docker-desktop", "", "none"),
        ("docker-for-desktop", "", "none"),
        ("my-profile", "minikube", "minikube"),
        ("kind-gomr", "none", "none"),
        ("kind-gomr", "registry:localhost:5000/team", "registry"),
        ("gke_prod", "registry:ghcr.io/team", "registry"),
        ("gke_prod", "none", "none"),
    ],
)
def test_the_loader_follows_from_the_context(context: str, load: str, name: str) -> None:
    assert loader_for(context, load).name == name


@pytest.mark.parametrize("context", ["gke_prod", "kindly", "minikube2", ""])
def test_no_loader_is_guessed_for_a_remote_cluster(context: str) -> None:
    with pytest.raises(UsageError, match="--load registry:HOST/PREFIX"):
        loader_for(context)
    assert loader_for(context, given=True).name == "none"


def test_a_loaded_image_is_never_pulled(tmp_path: Path) -> None:
    made = plan(tmp_path)
    images = run_images(made, loader_for("kind-gomr"))
    assert (images.master, images.worker) == made.references
    assert images.pull_policy == "Never"


def test_a_pushed_image_is_pulled_under_its_address(tmp_path: Path) -> None:
    made = plan(tmp_path)
    images = run_images(made, Registry("ghcr.io/team"), worker="mr-worker:by-hand")
    assert images.master == f"ghcr.io/team/{made.master}"
    assert images.worker == "mr-worker:by-hand"
    assert images.pull_policy == "IfNotPresent"


def test_an_index_is_passed_on() -> None:
    assert index_arguments({}) == []
    assert index_arguments({"UV_DEFAULT_INDEX": "https://mirror/simple"}) == [
        "--build-arg",
        "PIP_INDEX_URL=https://mirror/simple",
    ]


@pytest.mark.parametrize("name", ["PIP_INDEX_URL", "UV_DEFAULT_INDEX", "UV_INDEX_URL"])
def test_a_password_does_not_go_into_an_image(name: str) -> None:
    with pytest.raises(UsageError, match=name) as caught:
        index_arguments({name: "https://user:canary@mirror/simple"})
    assert "canary" not in str(caught.value) + caught.value.detail


def test_without_docker_the_run_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFailed, match=r"docker: not found: install it .*--worker-image"):
        find_base(lambda _: None)


def test_two_runs_make_images_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    told: list[str] = []
    with (
        one_at_a_time(told.append),
        pytest.raises(EnvironmentFailed, match="another run has been making images"),
        one_at_a_time(told.append, seconds=0.2),
    ):
        pass
    assert told == ["waiting for another run that makes images"]
    with one_at_a_time(told.append, seconds=0.2):
        pass


def test_packages_are_printed_for_the_image(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(worker_file(tmp_path, "rich>=13", "attrs"))]) == 0
    assert capsys.readouterr().out == "rich>=13\nattrs\n"


@pytest.mark.parametrize("entry", ["--index-url=https://elsewhere", "rich\\nattrs", ""])
def test_a_dependency_is_no_option_of_an_installer(
    tmp_path: Path, entry: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(worker_file(tmp_path, entry))]) == 2
    assert "write a package's name" in capsys.readouterr().err


def test_only_old_images_of_ours_that_no_pod_uses_are_removed() -> None:
    hash_, other, running = "0" * 20, "1" * 20, "2" * 20
    library = "docker.io/library/"
    listed = [
        (f"{library}mr-worker:{hash_}", "sha256:old"),
        ("sha256:" + "a" * 64, "sha256:old"),
        (f"{library}mr-master:{hash_}", "sha256:used"),
        ("sha256:" + "b" * 64, "sha256:used"),
        (f"{library}mr-worker:{other}", "sha256:young"),
        (f"{library}mr-worker:latest", "sha256:old-too"),
        (f"elsewhere.io/mr-worker:{hash_}", "sha256:old-too"),
        (f"{library}mr-worker:ground-{hash_}", "sha256:named-twice"),
        (f"{library}mine:latest", "sha256:named-twice"),
        ("sha256:" + "c" * 64, "sha256:named-twice"),
        (f"{library}mr-worker:{running}", "sha256:running"),
        ("sha256:" + "d" * 64, "sha256:running"),
    ]
    ages = {digest: 9.0 for _, digest in listed} | {"sha256:young": 1.0}
    spared = {f"{library}mr-master:{hash_}", "sha256:" + "d" * 64}
    assert removable(listed, ages, spared, 7.0) == (
        [f"{library}mr-worker:{hash_}", f"{library}mr-worker:ground-{hash_}"],
        ["sha256:" + "a" * 64],
    )
