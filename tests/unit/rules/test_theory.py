"""The theories of operation name what is there, and name all of it that a reader will meet."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

from gomr_runtime import errors, scheduler
from gomr_runtime.master import core
from gomr_runtime.master.core import core as core_module
from gomr_runtime.master.core import duties, effects, inputs
from gomr_runtime.scheduler import commands, events, machine, state

BOTH = [scheduler, core]
HOMES = (errors, commands, events, machine, state, duties, effects, inputs, core_module)
KNOWN = {name for home in HOMES for name in vars(home)}


def theory(package: ModuleType) -> str:
    assert package.__doc__ is not None
    return package.__doc__


def members(union: object) -> set[str]:
    return {member.__name__ for member in get_args(union)}


@pytest.mark.parametrize("package", BOTH, ids=lambda package: package.__name__)
def test_what_is_named_is_there(package: ModuleType) -> None:
    named = set(re.findall(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b", theory(package)))
    assert len(named) > 10
    assert named - KNOWN == set()
    folder = Path(next(iter(package.__path__)))
    for file in re.findall(r"(?<!/)\b(\w+\.py)\b", theory(package)):
        assert (folder / file).is_file(), file


def test_states_are_named_as_the_tables_have_them() -> None:
    members = {member.name for kind in (state.TaskState, state.AttemptState) for member in kind}
    named = set(re.findall(r"\b[A-Z]{4,}\b", theory(scheduler))) - {"PHASES", "TASKS", "ATTEMPTS"}
    assert named == members


def test_each_phase_is_named() -> None:
    for phase in state.Phase:
        assert re.search(rf"\b{phase.value}\b", theory(scheduler)), phase


def test_the_core_names_each_input_effect_and_duty() -> None:
    subclasses = events.Event.__subclasses__()
    own = {event.__name__ for event in subclasses if event.__module__ == inputs.__name__}
    wanted = own | members(effects.Effect) | members(duties.Duty)
    assert len(own) == 6
    assert {name for name in wanted if not re.search(rf"\b{name}\b", theory(core))} == set()


def test_the_scheduler_names_each_command() -> None:
    wanted = members(commands.Command)
    assert {name for name in wanted if name not in theory(scheduler)} == set()
