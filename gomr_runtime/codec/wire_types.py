"""The types of what is received, with their ranges: `typed_json` takes nothing beyond them.

Ranges are wide: they keep out what no run of this version says, never what a large one does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

T = TypeVar("T")

INT64 = 2**63 - 1
MOST_DIGITS = 4_000
"""Of a counter of one task, so that the sum over a million of them stays below `SUM_DIGITS`."""
SUM_DIGITS = 4_300  # Python's own limit for an int as text


@dataclass(frozen=True, slots=True)
class Between:
    """Numbers from `low` to `high`, both included."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class AtMost:
    """Texts of so many characters, lists and mappings of so many entries."""

    size: int


@dataclass(frozen=True, slots=True)
class Like:
    """Texts that the pattern matches from end to end. words: what they are, for the refusal."""

    pattern: re.Pattern[str]
    words: str


# Numbers.
Count = Annotated[int, Between(0, INT64)]
"""Records, bytes, offsets."""
Total = Annotated[int, Between(0, 2**84)]
"""The sum of the counts of all tasks of a run."""
Number = Annotated[int, Between(-1, INT64)]
"""A record's number; -1 for none."""
Index = Annotated[int, Between(0, 2**32 - 1)]
"""The number of a task, attempt, file or worker."""
IndexOrNone = Annotated[int, Between(-1, 2**32 - 1)]
Positive = Annotated[int, Between(1, 2**50)]
UserCount = Annotated[int, Between(1 - 10**MOST_DIGITS, 10**MOST_DIGITS - 1)]
UserTotal = Annotated[int, Between(1 - 10**SUM_DIGITS, 10**SUM_DIGITS - 1)]
Seconds = Annotated[float, Between(0, 1e15)]
Interval = Annotated[float, Between(1e-6, 1e9)]
"""Seconds between two events; never 0, which would keep a process busy."""
Moment = Annotated[float, Between(0, 1e11)]
"""Seconds since 1970."""
ExitCode = Annotated[int, Between(0, 255)]

# Texts.
Name = Annotated[str, AtMost(32_768)]
"""Of a file, a location, a store key."""
Word = Annotated[str, AtMost(1_000)]
Text = Annotated[str, AtMost(4 << 20)]
"""For people: a message, a traceback."""
Source = Annotated[str, AtMost(256 << 20)]
"""A file of a program."""
CounterName = Annotated[str, Like(re.compile(r"(?s).{1,200}"), "a counter's name")]
Sha256 = Annotated[str, Like(re.compile(r"[0-9a-f]{64}"), "a sha256 in hex")]
RunName = Annotated[str, Like(re.compile(r"[a-z0-9](-?[a-z0-9]){0,38}"), "a run id")]
Nonce = Annotated[str, Like(re.compile(r"[0-9A-Za-z]{0,64}"), "a nonce")]

# Lists and mappings.
Few = Annotated[tuple[T, ...], AtMost(1_000)]
Many = Annotated[tuple[T, ...], AtMost(50_000_000)]
ManyOrTable = Annotated[Sequence[T], AtMost(50_000_000)]
"""Received as a list; what is too long for that is kept in other ways."""
Kinds = Annotated[dict[Annotated[str, AtMost(40)], T], AtMost(100)]
"""By kind of work, of task, or by phase."""
Counters = Annotated[dict[CounterName, T], AtMost(1_000)]
Params = Annotated[dict[Word, Text], AtMost(100_000)]
