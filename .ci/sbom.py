"""Writes what GoMR is made of, as CycloneDX, and fails when something of it is not accounted for.

    .venv/bin/python .ci/sbom.py [FOLDER]        FOLDER: dist/sbom

`images.cdx.json` is what the images of masters and workers hold, `all.cdx.json` everything of
uv.lock. uv writes both, with the sha256 of every file; the licences come from the packages that
are installed. Equal locks give equal files: no time and no random number is in them. It needs no
network.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.markers import Marker
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).parents[1]
FILES = {
    "images": ("--no-default-groups", "--extra", "native"),
    "all": ("--all-packages", "--all-extras", "--all-groups"),
}
OURS = frozenset({"gomr-runtime", "gomr-native"})
_LONG = 100  # a text of more characters is a licence and not its name

Bom = dict[str, Any]


def exported(arguments: Iterable[str]) -> Bom:
    """What uv says of the lock file, without what differs from one time to the next."""
    uv = shutil.which("uv") or str(CHECKOUT / ".tools" / "uv" / "bin" / "uv")
    command = [uv, "export", "--quiet", "--locked", "--offline", "--format", "cyclonedx1.5"]
    # An index of this machine's own is not the one that the lock names.
    others = ("UV_INDEX", "UV_DEFAULT_")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(others)}
    environment["UV_PREVIEW_FEATURES"] = "sbom-export"
    done = subprocess.run(
        [*command, *arguments], cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, check=True
    )
    bom: Bom = json.loads(done.stdout)
    del bom["serialNumber"], bom["metadata"]["timestamp"]
    return bom


def licence(name: str) -> str:
    """As the installed package says it: an expression, a name, or the end of a classifier."""
    try:
        found = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return ""
    classifiers = [c for c in found.get_all("Classifier") or () if c.startswith("License ::")]
    said = [*(found.get_all("License-Expression") or ()), *(found.get_all("License") or ())]
    named = [text for text in said if 0 < len(text) <= _LONG and text != "UNKNOWN"]
    named += [c.rpartition(" :: ")[2] for c in classifiers]
    # A whole licence in place of its name begins with the name, or with who gives it.
    named += [line for text in said for line in text.splitlines() if "icen" in line][:1]
    return named[0] if named else ""


def with_licences(bom: Bom) -> Bom:
    for component in bom["components"]:
        if found := licence(component["name"]):
            component["licenses"] = [{"license": {"name": found}}]
    return bom


def needed_here(component: Bom) -> bool:
    """Whether this machine's Python installs it."""
    markers = [
        p["value"] for p in component.get("properties", ()) if p["name"] == "uv:package:marker"
    ]
    return all(Marker(marker).evaluate() for marker in markers)


def unaccounted(bom: Bom) -> list[str]:
    """The components without a hash, and those that are installed here without a licence."""
    faults = []
    for component in bom["components"]:
        name = component["name"]
        if name in OURS:
            continue
        shown = f"{name} {component.get('version', 'of no version')}"
        files = component.get("externalReferences", ())
        if not files or not all(file.get("hashes") for file in files):
            faults.append(f"{shown}: a file of it has no hash in uv.lock")
        if needed_here(component) and not component.get("licenses"):
            faults.append(f"{shown}: its metadata names no licence")
    return faults


def left_out(bom: Bom, packages: Iterable[tuple[str, str]], where: str) -> list[str]:
    """Those of `packages`, names with versions, that `bom` does not have."""
    held = {(c["name"], c.get("version", "")) for c in bom["components"]}
    lacking = sorted(set(packages) - held)
    return [f"{n} {v}: {where}, and not in the SBOM" for n, v in lacking if n not in OURS]


def locked() -> set[tuple[str, str]]:
    lock = tomllib.loads((CHECKOUT / "uv.lock").read_text(encoding="utf-8"))
    return {(package["name"], package.get("version", "")) for package in lock["package"]}


def installed() -> set[tuple[str, str]]:
    found = metadata.distributions()
    return {(canonicalize_name(d.metadata["Name"]), d.version) for d in found}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=CHECKOUT / "dist" / "sbom")
    folder: Path = parser.parse_args(argv).folder
    folder.mkdir(parents=True, exist_ok=True)
    faults: list[str] = []
    for name, arguments in FILES.items():
        bom = with_licences(exported(arguments))
        faults += unaccounted(bom)
        if name == "all":
            faults += left_out(bom, locked(), "in uv.lock")
            faults += left_out(bom, installed(), "installed in .venv")
        text = json.dumps(bom, indent=1, sort_keys=True, ensure_ascii=False)
        (folder / f"{name}.cdx.json").write_text(text + "\n", encoding="utf-8")
        print(f"{folder / f'{name}.cdx.json'}: {len(bom['components'])} components")
    for fault in dict.fromkeys(faults):
        print(f"sbom: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
