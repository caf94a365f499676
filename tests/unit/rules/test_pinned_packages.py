"""Every package is installed by its hash, and the bill of materials leaves none out."""

from __future__ import annotations

import copy
import importlib.util
import re
import shlex
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
LOCK = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
HASH = re.compile(r"sha256:[0-9a-f]{64}")
PLACES = ("Makefile", "Dockerfile.master", "Dockerfile.worker", "k8s/flow/Dockerfile")


def build_tools() -> dict[str, set[str]]:
    """The requirements with what they are held to."""
    text = (ROOT / "build-tools.txt").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line.split() for line in text.splitlines() if not line.startswith("#")]
    return {wanted: {h.removeprefix("--hash=") for h in hashes} for wanted, *hashes in lines}


def installs(name: str) -> list[list[str]]:
    """The arguments of every `pip install` in a file of the checkout."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    found = re.findall(r"-?m? pip (?:--python \S+ )?install ([^&|;\n]*)", text)
    return [shlex.split(arguments) for arguments in found]


def test_every_file_in_the_lock_has_its_hash() -> None:
    registered = [p for p in LOCK["package"] if "registry" in p["source"]]
    assert len(registered) > 150
    for package in registered:
        files = [*package.get("wheels", ()), *filter(None, [package.get("sdist")])]
        assert files, package["name"]
        assert all(HASH.fullmatch(file["hash"]) for file in files), package["name"]
    ours = {p["name"] for p in LOCK["package"]} - {p["name"] for p in registered}
    assert ours == {"gomr-runtime", "gomr-native"}


def test_what_installs_the_rest_has_its_hash_and_one_version() -> None:
    tools = build_tools()
    assert {name.partition("==")[0] for name in tools} == {"uv", "setuptools"}
    assert all("==" in name and hashes for name, hashes in tools.items())
    assert all(HASH.fullmatch(h) for hashes in tools.values() for h in hashes)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (setuptools,) = project["tool"]["uv"]["build-constraint-dependencies"]
    (locked,) = [p for p in LOCK["package"] if p["name"] == "setuptools"]
    assert setuptools == f"setuptools=={locked['version']}"
    assert tools[setuptools] == {f["hash"] for f in [*locked["wheels"], locked["sdist"]]}


@pytest.mark.parametrize("name", PLACES)
def test_nothing_is_installed_without_its_hash(name: str) -> None:
    """But what comes from the checkout itself, and what the header of a worker file asks for."""
    commands = installs(name)
    assert commands
    header = ["/opt/gomr/requirements.txt", "gomr-runtime"]
    for arguments in commands:
        local = {"--no-deps", "--no-index"} <= set(arguments)
        asked_for = name == "Dockerfile.worker" and arguments[-2:] == header
        assert "--require-hashes" in arguments or local or asked_for, (name, arguments)


def test_modules_of_go_have_their_sums() -> None:
    folder = ROOT / "tests" / "cluster" / "go"
    text = (folder / "go.mod").read_text()
    replaced = dict(re.findall(r"^\t(\S+) => (\S+ v\S+)$", text, re.MULTILINE))
    named = re.findall(r"^\t((\S+) v\S+)", text, re.MULTILINE)
    required = [replaced.get(module, version) for version, module in named]
    sums = dict(re.findall(r"^(\S+ v\S+) (h1:\S+)$", (folder / "go.sum").read_text(), re.MULTILINE))
    assert len(required) > 100
    assert [module for module in required if f"{module}/go.mod" not in sums] == []
    dockerfile = (ROOT / "k8s" / "minio" / "Dockerfile").read_text()
    assert re.search(r"^ARG VERSION=v0\.0\.0-\d{14}-[0-9a-f]{12}$", dockerfile, re.MULTILINE)
    assert re.search(r"^ARG SUM=h1:[\w+/]{43}=$", dockerfile, re.MULTILINE)


def sbom() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sbom", ROOT / ".ci" / "sbom.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SBOM = sbom()


@pytest.fixture(scope="module")
def bom() -> dict[str, Any]:
    found: dict[str, Any] = SBOM.with_licences(SBOM.exported(SBOM.FILES["all"]))
    return found


def test_the_bill_of_materials_is_complete_and_the_same_each_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("one", "two"):
        assert SBOM.main([str(tmp_path / folder)]) == 0, capsys.readouterr().err
    for name in ("images", "all"):
        made = [(tmp_path / folder / f"{name}.cdx.json").read_bytes() for folder in ("one", "two")]
        assert made[0] == made[1]
    images = (tmp_path / "one" / "images.cdx.json").read_text(encoding="utf-8")
    assert '"purl": "pkg:pypi/grpcio@' in images
    assert "prefect" not in images


def test_a_component_without_hash_or_licence_is_named(bom: dict[str, Any]) -> None:
    assert SBOM.unaccounted(bom) == []
    lacking = copy.deepcopy(bom)
    by_name = {component["name"]: component for component in lacking["components"]}
    del by_name["grpcio"]["externalReferences"][0]["hashes"]
    by_name["rich"]["externalReferences"] = []
    del by_name["obstore"]["licenses"]
    del by_name["psutil"]["licenses"]
    told = SBOM.unaccounted(lacking)
    assert [line.partition(" ")[0] for line in told] == ["grpcio", "obstore", "psutil", "rich"]
    assert "no hash in uv.lock" in told[0]
    assert "names no licence" in told[1]


def test_a_package_that_is_locked_or_installed_is_not_left_out(bom: dict[str, Any]) -> None:
    assert SBOM.left_out(bom, SBOM.locked(), "in uv.lock") == []
    (told,) = SBOM.left_out(bom, [*SBOM.installed(), ("left-pad", "1.0")], "installed in .venv")
    assert told == "left-pad 1.0: installed in .venv, and not in the SBOM"
