"""Which values a reducer can take, and which combiners leave its result as it is."""

from __future__ import annotations

from dataclasses import dataclass

from tests.differential.templates import BODIES
from tests.differential.vocabulary import ORDERED

ANY = ("int", "float", "number", "str", "bytes", "bool", "list", "pair", "tuple", "dict", "any")
WORDLIKE = ("int", "str", "bytes")
DISTINCT = (*WORDLIKE, "number", "float", "pair", "bool")
CONVERTED = ("digits", "decimals")


@dataclass(frozen=True)
class Recipe:
    """body: of `BODIES`, "" for a built-in. combiners: beside `pass`, which all can have. stateful:
    keeps something from group to group. lists: needs a list."""

    domains: tuple[str, ...]
    combiners: tuple[str, ...] = ()
    body: str = ""
    stateful: bool = False
    lists: bool = False


REDUCERS: dict[str, Recipe] = {
    "gomr.sum": Recipe(("int", "float", "number"), ("gomr.sum",)),
    "gomr.count": Recipe(ANY),
    "gomr.max": Recipe(ORDERED, ("gomr.max", "max")),
    "gomr.min": Recipe(ORDERED, ("gomr.min", "min")),
    "gomr.top(3)": Recipe(ORDERED, ("gomr.top(3)", "top")),
    "gomr.distinct": Recipe(DISTINCT, ("gomr.distinct",)),
    "gomr.identity": Recipe(ANY),
    "sum": Recipe(("int", "digits"), ("sum", "gomr.sum"), "sum"),
    "float sum": Recipe(("float", "decimals"), (), "sum"),
    "count": Recipe(ANY, (), "count"),
    "max": Recipe((*ORDERED, *CONVERTED), ("max",), "max"),
    "min": Recipe((*ORDERED, *CONVERTED), ("min",), "min"),
    "top": Recipe(ORDERED, ("top", "gomr.top(3)"), "top"),
    "list": Recipe((*ANY, *CONVERTED), (), "list"),
    "tuple": Recipe(ANY, (), "tuple"),
    "each": Recipe(ANY, (), "pass"),
    "first": Recipe(ANY, ("first",), "first"),
    "two": Recipe(ANY, (), "two"),
    "flip": Recipe((*WORDLIKE, "bool", "float"), (), "flip"),
    "nothing": Recipe(ANY, (), "nothing"),
    "sorted": Recipe(ORDERED, ("sort",), "sorted"),
    "set": Recipe(WORDLIKE, ("unique", "gomr.distinct"), "set"),
    "join": Recipe(("str",), ("join",), "join"),
    "glue": Recipe(("bytes",), ("glue",), "glue"),
    "flat": Recipe(("list",), ("flat",), "flat"),
    "mean": Recipe(("pair",), ("mean",), "mean"),
    "merge": Recipe(("dict",), ("merge",), "merge"),
    "tally": Recipe(("counts",), ("tally",), "tally"),
    "numbered": Recipe(ANY, (), "numbered", stateful=True),
    "previous": Recipe(ANY, (), "previous", stateful=True),
    "several": Recipe(ANY, (), "several"),
    "reversed": Recipe(ANY, (), "reversed", lists=True),
    "passes": Recipe(ANY, (), "passes"),
}


def combiners_of(reducer: str) -> list[str]:
    """Those under which its result stays the same; a count is one of pairs, so it has none."""
    if reducer in ("gomr.count", "gomr.sum"):
        return [*REDUCERS[reducer].combiners]
    return [*REDUCERS[reducer].combiners, "pass"]


def own(name: str) -> bool:
    """Whether a combiner is a function of the worker file."""
    return name in BODIES
