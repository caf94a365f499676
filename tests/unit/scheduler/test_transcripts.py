"""Ten runs as a reviewer can read them: in transcripts/, each event and the commands that follow.

`pytest tests/unit/scheduler/test_transcripts.py --rewrite-transcripts` writes what the scheduler
does now; look at the difference before you commit it.

A line that begins with a number is an event, at that second; lines with an arrow are the commands
it leads to. `config` lines, before the first event, set fields of SchedulerConfig.
"""

from __future__ import annotations

import dataclasses
import difflib
import shlex
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from gomr_runtime.errors import GomrError
from gomr_runtime.model.ids import AttemptId, TaskId
from gomr_runtime.model.task import TaskFailure
from gomr_runtime.scheduler import commands, events
from gomr_runtime.scheduler.machine import HANDLERS, Scheduler
from gomr_runtime.scheduler.state import SchedulerConfig
from tests.simulation.invariants import Watch

FOLDER = Path(__file__).with_name("transcripts")
ARROW = "    -> "
EVENTS = {event.__name__: event for event in HANDLERS}
OF_A_FAILURE = ("kind", "message", "detail", "retry", "record", "bad_map")


def attempt_of(text: str) -> AttemptId | None:
    if text == "none":
        return None
    task, _, number = text.partition("/")
    kind, _, index = task.partition("-")
    assert kind in ("sample", "map", "reduce"), text
    return AttemptId(TaskId(kind, int(index)), int(number))  # type: ignore[arg-type]


READ: dict[str, Callable[[str], Any]] = {
    "attempt": attempt_of,
    "winner": attempt_of,
    "running": lambda text: tuple(map(attempt_of, filter(None, text.split(",")))),
    **dict.fromkeys(("worker", "reason", "message", "detail", "kind"), str),
    **dict.fromkeys(("sample", "retry", "backups"), lambda text: {"yes": True, "no": False}[text]),
    **dict.fromkeys(("fraction", "lease", "deadline", "backup_floor"), float),
}


def values_of(words: Iterable[str]) -> dict[str, Any]:
    pairs = (word.split("=", 1) for word in words)
    return {name: READ.get(name, int)(text) for name, text in pairs}


def event_of(line: str) -> events.Event:
    now, name, *words = shlex.split(line)
    fields = values_of(words)
    if EVENTS[name] is events.AttemptFailed:
        why = {key: fields.pop(key) for key in OF_A_FAILURE if key in fields}
        fields["failure"] = TaskFailure(**why)
    return EVENTS[name](float(now), **fields)


def shown(command: Any) -> str:
    """A command by its name and those of its fields that are not what they are by default."""
    words = [type(command).__name__]
    for field in dataclasses.fields(command):
        value = getattr(command, field.name)
        if value != field.default:
            text = f"{type(value).__name__}: {value}" if isinstance(value, GomrError) else value
            words.append(f"{field.name}={text}")
    return " ".join(words)


def transcript(script: Iterable[str]) -> Iterator[str]:
    """The lines of a script with the commands that its events lead to now."""
    config: dict[str, Any] = {}
    watch: Watch | None = None
    for line in script:
        if line.startswith(ARROW):
            continue
        yield line
        if line.startswith("config "):
            config |= values_of(shlex.split(line)[1:])
        elif line[:1].isdigit():
            watch = watch or Watch(Scheduler(SchedulerConfig(**config)))
            for command in watch.handle(event_of(line)):
                yield ARROW + shown(command)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_a_run_goes_as_its_transcript_says(path: Path, request: pytest.FixtureRequest) -> None:
    before = path.read_text(encoding="utf-8").splitlines()
    now = list(transcript(before))
    if request.config.getoption("rewrite_transcripts"):
        path.write_text("\n".join(now) + "\n", encoding="utf-8")
        return
    diff = list(difflib.unified_diff(before, now, path.name, "what the scheduler does", n=4))
    assert not diff, "\n".join(["", *diff])


def test_the_transcripts_show_every_event_and_command() -> None:
    texts = [path.read_text(encoding="utf-8") for path in FOLDER.glob("*.txt")]
    assert len(texts) >= 10
    words = {word for text in texts for word in text.split()}
    assert set(EVENTS) - words == set()
    assert {command.__name__ for command in get_args(commands.Command)} - words == set()
