"""A seed becomes a program."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

from tests.differential.contents import ATOMS, RECORDS, files_of, kind_of
from tests.differential.faults import FAULTS
from tests.differential.program import Program
from tests.differential.recipes import CONVERTED, REDUCERS, combiners_of, own
from tests.differential.source import PARTITIONERS, SORT_KEYS
from tests.differential.templates import SHAPES, STYLES
from tests.differential.vocabulary import (
    ANNOTATIONS,
    KEYS,
    ORDERED,
    PARAM_KEY,
    RECORD_VALUES,
    VALUES,
    key_table,
    literal,
    value_table,
)

HOMOGENEOUS = ("word", "upper", "first", "length", "bytes", "pair", "one")
TEXTS = ["", "x", "a=b", "é", "two words"]


def draw(seed: int) -> Program:
    random = Random(seed)
    record = random.choice(RECORDS)
    program = Program(seed=seed, record=record, atoms=random.choice(ATOMS[kind_of(record)]))
    program = _with_pairs(random, program)
    program = _with_functions(random, program)
    program = _with_callables(random, program)
    if random.random() < 0.25:
        program = _with_fault(random, program)
    program = replace(program, files=files_of(random, record, _in_input(program.fault)))
    return _with_options(random, program)


def _in_input(fault: str) -> str:
    return fault if fault and FAULTS[fault].where in ("pair", "mapper", "input") else ""


def _with_pairs(random: Random, program: Program) -> Program:
    key = random.choice(list(KEYS.values()))
    domain = random.choice(list(VALUES))
    value = random.choice(VALUES[domain])
    if domain in ("any", "dict") and program.record in RECORD_VALUES and random.random() < 0.3:
        dicts = kind_of(program.record) in ("jsonl", "csv")
        value, domain = "record", "dict" if dicts else "str"
    params: tuple[tuple[str, str], ...] = ()
    if random.random() < 0.15:
        key, params = PARAM_KEY, (("p", random.choice(TEXTS)),)
    return replace(
        program,
        key=key,
        value=value,
        domain=domain,
        params=params,
        keys=literal(key_table(random)) if "KEYS[" in key else "",
        values=literal(value_table(random, domain)) if "VALUES[" in value else "",
    )


def _with_functions(random: Random, program: Program) -> Program:
    """Reducer, combiner, what is annotated, sorting."""
    if random.random() < 0.12:
        return replace(program, reducer="")
    fitting = [name for name, recipe in REDUCERS.items() if program.domain in recipe.domains]
    reducer = random.choice(fitting)
    recipe = REDUCERS[reducer]
    annotated = random.choice(ANNOTATIONS[program.domain]) if recipe.body else ""
    combiner = random.choice(["", "", *combiners_of(reducer)])
    if program.domain in CONVERTED and not own(combiner):
        combiner = ""
    types = ANNOTATIONS[program.domain]
    sort = ""
    if random.random() < 0.2 and combiner in ("", "pass"):
        sort = random.choice([*SORT_KEYS, *(["values"] if program.domain in ORDERED else [])])
    return replace(
        program,
        reducer=reducer,
        annotated=annotated,
        stream=bool(recipe.body) and not recipe.lists and random.random() < 0.4,
        combiner=combiner,
        combiner_annotated=random.choice(types) if own(combiner) else "",
        combiner_stream=own(combiner) and random.random() < 0.3,
        give=random.choice(["emit", "emit", "yield", "return"]),
        sort=sort,
    )


def _with_callables(random: Random, program: Program) -> Program:
    style = random.choice([*STYLES])
    if style.startswith("count") and (program.value != "1" or program.domain != "int"):
        style = "emit"
    if style == "reused" and (
        program.domain != "any" or program.annotated or program.combiner_annotated
    ):
        style = "emit_many"
    state = random.choice(["", "", "cache", "context", "emit", "counter", "tally"])
    summed = program.reducer in ("sum", "gomr.sum") and program.domain == "int"
    plain_key = program.key in [KEYS[name] for name in HOMOGENEOUS]
    if summed and plain_key and random.random() < 0.4:
        state = "tally"
    elif state == "tally" or (state == "cache" and program.value == "record"):
        state = ""
    edges = random.choice(["", "", "", "prefix", "groups"])
    if edges == "groups" and not (REDUCERS.get(program.reducer) and REDUCERS[program.reducer].body):
        edges = ""
    return replace(
        program,
        style=style,
        twice=random.random() < 0.1,
        counts=random.random() < 0.3,
        state=state,
        shape=random.choice(["def", *SHAPES]),
        side=random.choice(["", "", "", "helper", "package", "lazy"]),
        edges=edges,
    )


def _with_fault(random: Random, program: Program) -> Program:
    """Something wrong that this program can have; as it is where there is nothing."""
    fitting = [
        name for name, fault in FAULTS.items() if _can_have(program, fault.where, fault.needs)
    ]
    fault = random.choice(fitting)
    changed: dict[str, Any] = {"fault": fault}
    if FAULTS[fault].where in ("pair", "mapper"):
        changed |= {"state": "" if program.state in ("tally", "emit") else program.state}
        changed |= {"atoms": _seeing(program), "style": _returning(program.style)}
    if FAULTS[fault].where in ("annotation", "reducer"):
        changed |= {"stream": False}
    return replace(program, **changed)


def _seeing(program: Program) -> str:
    """Atoms of which "boom" is one, where it is in the input."""
    return ATOMS[kind_of(program.record)][0]


def _returning(style: str) -> str:
    return style if "yield" not in style and style != "mixed" else "emit"


def _can_have(program: Program, where: str, needs: str) -> bool:
    recipe = REDUCERS.get(program.reducer)
    typed = program.annotated or program.combiner_annotated
    return {
        "": True,
        "untyped": not typed and program.reducer != "gomr.sum" and not program.combiner,
        "typed": typed not in ("", "Any") and program.reducer != "",
        "int": typed == "int" and program.reducer != "",
        "text": kind_of(program.record) != "raw_bytes",
        "jsonl": program.record == "jsonl",
        "csv": kind_of(program.record) == "csv",
        "no yield": "yield" not in program.style and program.style != "mixed",
    }[needs] and {
        "reducer": recipe is not None and bool(recipe.body),
        "annotation": recipe is not None and bool(recipe.body),
        "combiner": own(program.combiner),
        "partitioner": program.reducer != "",
    }.get(where, True)


def _with_options(random: Random, program: Program) -> Program:
    partitioner = ""
    if (
        program.reducer
        and random.random() < 0.25
        and FAULTS.get(program.fault, FAULTS["bad JSON"]).where != "partitioner"
    ):
        partitioner = random.choice([*PARTITIONERS, "gomr.total_order", "gomr.total_order"])
    recipe = REDUCERS.get(program.reducer)
    unplaced = partitioner in ("hash", "gomr.total_order")
    if unplaced and (program.edges == "groups" or (recipe and recipe.stateful)):
        partitioner = ""
    skip = 0
    if FAULTS.get(program.fault, FAULTS["setup raises"]).where in ("pair", "mapper", "input"):
        skip = random.choice([0, 0, 1, 5])
    output_format = random.choice(["text", "text", "text", "jsonl", "csv"])
    reducers = random.choice([1, 2, 3, 5])
    return replace(
        program,
        partitioner=partitioner,
        reducers=reducers,
        output_format=output_format,
        skip=skip,
        tight=random.random() < 0.3,
    )
