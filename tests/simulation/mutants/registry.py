"""Seeded defects: each breaks one decision of the real code, and the simulation must notice.

A mutant replaces one function; `original` is what it replaces. `python -m tests.simulation.hunt`
looks for a seed that shows each.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from gomr_runtime.master.core import core as core_module
from gomr_runtime.scheduler import machine

Make = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One defect. place and name: a class or module and its attribute, or a table and its key."""

    title: str
    place: Any
    name: Any
    make: Make

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """While this lasts the code has the defect."""
        table = isinstance(self.place, dict)
        original = self.place[self.name] if table else getattr(self.place, self.name)
        self._set(self.make(original))
        try:
            yield
        finally:
            self._set(original)

    def _set(self, value: Any) -> None:
        if isinstance(self.place, dict):
            self.place[self.name] = value
        else:
            setattr(self.place, self.name, value)


MUTANTS: dict[str, Mutant] = {}


def mutant(place: Any, name: Any) -> Callable[[Make], Make]:
    """Enter a defect under the name of the function that makes it."""

    def enter(make: Make) -> Make:
        MUTANTS[make.__name__] = Mutant((make.__doc__ or "").strip(), place, name, make)
        return make

    return enter


EVENTS = machine.HANDLERS
INPUTS = core_module._HANDLERS
