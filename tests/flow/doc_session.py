"""The pages' commands typed one after the other on a machine where all is fresh.

The checkout is a copy at the checkout's own path, with the environment of the real one; /tmp and
HOME are empty; there is no network but the machine's own; what was started ends at the end.
Namespaces of the kernel do that, as any user where users may make them. Each page has a shell of
its own, at the root of the checkout. All share the machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.doc_blocks import ROOT, blocks_of, commands_in
from tests.doc_commands import reason_not_to_run

UNSHARE = ["unshare", "--user", "--map-root-user", "--mount", "--net", "--pid", "--fork"]
UNSHARE += ["--mount-proc", "--kill-child"]
SECONDS = 840
AFTER = "--- after a command"
ACTIVATED = ". .venv/bin/activate\n"


@dataclass(frozen=True)
class Session:
    """prepare: what the page takes for granted, in the shell before the first command. earlier:
    commands that a page before has typed at the same place."""

    prepare: str = ""
    earlier: tuple[str, ...] = ()


SESSIONS: dict[str, Session] = {
    "README.md": Session(),
    "docs/quickstart.md": Session(earlier=("make demo",)),
    "docs/command-line.md": Session(
        f"{ACTIVATED}cd examples/wordcount\ngzip --keep --stdout input.txt > logs.gz\n"
    ),
}
"""The pages in the order in which they are typed."""


@dataclass(frozen=True)
class Typed:
    """What became of a page: the exit code of its shell, the commands that were typed, and all that
    was said."""

    code: int
    commands: list[str]
    output: str


@cache
def fresh_machines() -> bool:
    """Whether this user may make namespaces."""
    return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


def to_type(page: str) -> list[str]:
    """The commands of a page that are typed."""
    return [
        command
        for block in blocks_of(page)
        if block.language == "sh"
        for command in commands_in(block.text)
        if not reason_not_to_run(command) and command not in SESSIONS[page].earlier
    ]


def script_of(page: str) -> str:
    """The page's blocks in order: what is to be saved is saved, what is typed is typed."""
    session = SESSIONS[page]
    lines = [f"set -e\ncd {ROOT}", session.prepare]
    wanted = to_type(page)
    for block in blocks_of(page):
        if block.saved_as:
            lines.append(f"cat > {block.saved_as} <<'END-OF-FILE'\n{block.text}END-OF-FILE")
        for command in commands_in(block.text) if block.language == "sh" else ():
            if command in wanted:
                lines.append(f"cat >&3 <<'END-OF-COMMAND'\n{command}\n{AFTER}\nEND-OF-COMMAND")
                lines.append(command)
    return "\n".join(lines) + "\n"


def type_pages(folder: Path) -> dict[str, Typed]:
    """Type all pages on one fresh machine.

    Args:
        folder: an empty one, for the machine's files.
    """
    copy, private = folder / "copy", folder / "tmp"
    told = private / ".pages"
    copy_checkout(copy)
    for made in (private / "home", told):
        made.mkdir(parents=True)
    shells = []
    for number, page in enumerate(SESSIONS):
        (told / f"{number}.sh").write_text(script_of(page), encoding="utf-8")
        files = f"3>{number}.typed >{number}.said 2>&1 </dev/null; echo $? >{number}.code"
        shells.append(f"cd /tmp/.pages; bash {number}.sh {files}")
    place = private / ROOT.relative_to("/tmp") if ROOT.is_relative_to("/tmp") else ROOT
    place.mkdir(parents=True, exist_ok=True)
    shared = [f"mount --bind {ROOT / name} {copy / name}" for name in made_by_make()]
    steps = ["set -e", "ip link set lo up", *shared, f"mount --rbind {copy} {place}"]
    steps += [f"mount --rbind {private} /tmp", "set +e", *shells]
    subprocess.run(
        [*UNSHARE, "bash", "-c", "\n".join(steps)],
        env=fresh_environment(),
        check=True,
        timeout=SECONDS,
    )
    return {page: _typed(told, number) for number, page in enumerate(SESSIONS)}


def _typed(told: Path, number: int) -> Typed:
    code, typed, said = (
        (told / f"{number}.{name}").read_text(encoding="utf-8", errors="backslashreplace")
        for name in ("code", "typed", "said")
    )
    return Typed(int(code), typed.split(f"\n{AFTER}\n")[:-1], said)


def made_by_make() -> list[str]:
    """What `make` has made of the checkout, used again so that it need not be made anew."""
    return [name for name in (".venv", ".tools") if (ROOT / name).is_dir()]


def copy_checkout(target: Path) -> None:
    """The files of the checkout as they are now, with their times: `make` looks at those."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout
    for name in os.fsdecode(listed).split("\0"):
        if name and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)
    for name in made_by_make():
        (target / name).mkdir()


def fresh_environment() -> dict[str, str]:
    """That of somebody who has just logged in."""
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TERM") if name in os.environ}
    return kept | {"HOME": "/tmp/home", "PATH": os.environ["PATH"], "USER": "someone"}
