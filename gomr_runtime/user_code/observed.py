"""Variables of a function that is still running, such as the test that makes a run, as observers.

Tests look at what their functions did through such variables (`seen.append(line)`). Each task
starts with what a variable held before the run; what the tasks add to it is collected for the test.
A next run starts again from there, unless the test itself has changed the variable meanwhile.
"""

from __future__ import annotations

import sys
import types
from collections import Counter, deque
from contextlib import suppress
from typing import Any

MOST = 256  # variables of past runs that are remembered


class Observed:
    """One variable. start: what tasks begin with."""

    def __init__(self, cell: types.CellType) -> None:
        self.cell = cell
        self.total = cell.cell_contents
        self.start = self.total
        with suppress(Exception):  # comparing is code of anybody's
            for variable, start, collected in _past:
                if variable is cell and collected == self.total:
                    self.start = start

    def collect(self, start: Any, after: Any) -> None:
        """Add what a task made of its copy of `start`."""
        with suppress(Exception):  # comparing is code of anybody's
            self.total = _added(self.total, start, after)

    def remember(self, start: Any, collected: Any) -> None:
        """Let the next run begin with `start` where `collected` is still there; both are copies."""
        # By identity: `==` would compare what anybody keeps in a variable.
        others = [entry for entry in _past if entry[0] is not self.cell]
        _past.clear()
        _past.extend([*others, (self.cell, start, collected)])


_past: deque[tuple[types.CellType, Any, Any]] = deque(maxlen=MOST)


def is_observed(name: str, cell: types.CellType) -> bool:
    """Whether the cell is the variable `name` of a function that is running now."""
    frame: types.FrameType | None = sys._getframe(1)
    while frame is not None:
        if name in frame.f_code.co_cellvars:
            with suppress(ValueError):  # a variable without a value
                if frame.f_locals.get(name, frame) is cell.cell_contents:
                    return True
        frame = frame.f_back
    return False


def _added(total: Any, start: Any, after: Any) -> Any:
    if isinstance(total, list | deque) and [*after][: len(start)] == [*start]:
        total.extend([*after][len(start) :])
    elif isinstance(total, set):
        total |= after - start
    elif isinstance(total, Counter):
        total.update({key: n - start[key] for key, n in after.items() if n != start[key]})
    elif isinstance(total, dict):
        new = object()
        total.update({k: v for k, v in after.items() if start.get(k, new) != v})
    elif isinstance(total, int | float) and not isinstance(total, bool):
        return total + (after - start)
    elif start != after:
        return after
    return total
