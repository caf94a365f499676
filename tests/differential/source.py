"""A program as the files that a person would write: worker.py and the modules beside it."""

from __future__ import annotations

from textwrap import indent

from tests.differential.faults import FAULTS
from tests.differential.program import Program
from tests.differential.recipes import REDUCERS, own
from tests.differential.templates import BODIES, SHAPES, STYLES

MODULES = {"": "", "helper": "helper.py", "lazy": "helper.py", "package": "words/inner.py"}
PARTITIONERS = {
    "length": "len(repr(key)) % n",
    "first": "0",
    "last": "n - 1",
    "crc": "zlib.crc32(repr(key).encode('utf-8', 'surrogatepass')) % n",
    "hash": "hash(key) % n",
}
SORT_KEYS = {"repr": "repr", "equal": "lambda value: 0", "length": "lambda value: len(repr(value))"}
CODE = "def code(text):\n    return sum(text.encode())\n"
NUMBER = "NUMBERS = iter(range(10**9))\n\n\ndef next_number():\n    return next(NUMBERS)\n"
SHARED = {"code": CODE, "next_number": NUMBER, "SEEN": "SEEN = []\n"}
GLOBALS = {"CACHE": "{}", "KEPT": "[]", "TALLY": "{}", "PREFIX": "[]", "GROUPS": "[]"}
IMPORTS = {
    "functools.": "import functools",
    "enum.": "import enum",
    "zlib.": "import zlib",
    "Iterator[": "from collections.abc import Iterator",
    "Any": "from typing import Any",
}


def source_of(program: Program) -> dict[str, str]:
    """The text of every file by its name."""
    functions = [_pair(program), _mapper(program), _reducer(program), _combiner(program)]
    functions += [_partitioner(program), _edges(program)]
    body = "\n\n\n".join(text.strip("\n") for text in functions if text.strip("\n"))
    config = _config(program)
    uses = body + config
    shared = {name: text for name, text in _shared(program).items() if name in uses}
    head = [line for name, line in IMPORTS.items() if name in uses]
    head += ["", "import gomr_runtime as gomr"]
    files = {}
    module = MODULES[program.side]
    if module and shared:
        files[module] = "\n\n".join(shared.values())
        if program.side == "package":
            files["words/__init__.py"] = "from . import inner\n"
        body = body.replace(LAZY, f"from helper import {', '.join(shared)}")
        if program.side != "lazy":
            place = "words.inner" if program.side == "package" else "helper"
            head.append(f"from {place} import {', '.join(shared)}")
    else:
        body = body.replace(LAZY, "pass")
        head += ["", *shared.values()]
    names = [f"{name} = {value}" for name, value in GLOBALS.items() if name in body]
    files["worker.py"] = "\n".join([*head, "", *names, "", "", f"{body}\n\n\n{config}"])
    return files


def _shared(program: Program) -> dict[str, str]:
    """What may live in a module beside the worker file, by name."""
    tables = {"KEYS": program.keys, "VALUES": program.values}
    return {name: f"{name} = {text}\n" for name, text in tables.items() if text} | SHARED


LAZY = "pass  # what is imported when it is needed"


def _lazily(program: Program) -> str:
    return f"{LAZY}\n" if program.side == "lazy" else ""


def _pair(program: Program) -> str:
    """`pair(ctx, record, a)`: what a mapper makes of an atom."""
    fault = FAULTS.get(program.fault)
    lines = _lazily(program)
    if fault and fault.where == "pair":
        lines += f'if "boom" in a:\n{indent(fault.code, "    ")}\n'
    made = f"({program.key}), ({program.value})"
    if program.state == "cache":
        lines += (
            "at = ctx.source, a\nif at not in CACHE:\n"
            f"    CACHE[at] = {made}\nreturn CACHE[at]"
        )  # fmt: skip
    else:
        lines += f"return {made}"
    return f"def pair(ctx, record, a):\n{indent(lines, '    ')}\n"


def _mapper(program: Program) -> str:
    fault = FAULTS.get(program.fault)
    atoms = f"[a for a in {program.atoms} for _ in range(2)]" if program.twice else program.atoms
    body = "KEPT.append(ctx)\nctx = KEPT[0]\n" if program.state == "context" else ""
    if program.state == "counter":
        body += "if not KEPT:\n    KEPT.append(ctx.counter('kept'))\n"
        body += f"KEPT[0].add(2 * len({atoms}))\n"
    if program.state == "emit":
        body += (
            "if not KEPT:\n    KEPT.append(ctx.emit)\n"
            f"for a in {atoms}:\n    KEPT[0](*pair(ctx, record, a))"
        )
    elif program.state == "tally":
        body += (
            f"for a in {atoms}:\n    key, value = pair(ctx, record, a)\n"
            "    TALLY[key] = TALLY.get(key, 0) + value"
        )
    else:
        note = "ctx.counter('atoms').add()\n    " if program.counts else ""
        all_notes = f"ctx.counter('more').add(3 * len({atoms}))\n" if program.counts else ""
        style = STYLES[program.style]
        body += style.format(atoms=atoms, note=note, all_notes=all_notes)
    if fault and fault.where == "mapper":
        body = f'if "boom" in str(record):\n{indent(fault.code, "    ")}\n{body}'
    prefix = "async " if fault and fault.where == "async" else ""
    text = f"{prefix}def mapper(ctx, record):\n{indent(body, '    ')}\n"
    return f"{text}\n\n{_shape(program)[1]}".rstrip("\n")


def _shape(program: Program) -> tuple[str, str]:
    """What the config names as the mapper, and the definition of it."""
    name, _, definition = SHAPES[program.shape].partition("\n")
    return name, definition


def _values(stream: bool, annotated: str) -> str:
    if stream:
        return f"values: Iterator[{annotated or 'Any'}]"
    return f"values: list[{annotated}]" if annotated else "values"


def _reducer(program: Program) -> str:
    recipe = REDUCERS.get(program.reducer)
    if recipe is None or not recipe.body:
        return ""
    fault = FAULTS.get(program.fault)
    body = _lazily(program)
    if program.counts:
        body += "ctx.counter('groups').add()\n"
    if program.edges == "groups":
        body += "GROUPS.append(key)\n"
    if fault and fault.where == "reducer":
        body += f"{fault.code}\n"
    body += _given(BODIES[recipe.body], program.give)
    values = _values(program.stream, program.annotated)
    if fault and fault.where == "annotation":
        values = f"values: {fault.code}"
    return f"def reducer(ctx, key, {values}):\n{indent(body, '    ')}\n"


def _combiner(program: Program) -> str:
    body = BODIES.get(program.combiner, "")
    if not body:
        return ""
    fault = FAULTS.get(program.fault)
    if fault and fault.where == "combiner":
        body = fault.code
    values = _values(program.combiner_stream, program.combiner_annotated)
    given = _lazily(program) + _given(body, program.give)
    return f"def combiner(ctx, key, {values}):\n{indent(given, '    ')}\n"


def _given(body: str, how: str) -> str:
    """The body with `give` as an emit, a yield, or an append to a list that is returned."""
    if how == "emit":
        return body.replace("give(", "ctx.emit(")
    if how == "yield":
        return body.replace("give(", "yield (")
    lines = [
        f"{line.replace('give(', 'pairs.append((')})" if "give(" in line else line
        for line in body.split("\n")
    ]
    return "\n".join(["pairs = []", *lines, "return pairs"])


def _partitioner(program: Program) -> str:
    fault = FAULTS.get(program.fault)
    if fault and fault.where == "partitioner":
        return f"def partitioner(key, n):\n{indent(fault.code, '    ')}\n"
    if program.partitioner not in PARTITIONERS:
        return ""
    return f"def partitioner(key, n):\n    return {PARTITIONERS[program.partitioner]}\n"


def _edges(program: Program) -> str:
    """setup and finish."""
    fault = FAULTS.get(program.fault)
    setup = finish = ""
    if program.edges == "prefix":
        setup = "PREFIX.append(ctx.params.get('p', ''))"
    if program.edges == "groups":
        finish = "if GROUPS:\n    ctx.emit('groups', len(GROUPS))"
    if program.state == "tally":
        finish = "for key, value in TALLY.items():\n    ctx.emit(key, value)"
    if program.edges == "generator":
        finish = "if GROUPS:\n    yield 'groups', len(GROUPS)"
    if fault and fault.where in ("setup", "finish"):
        setup, finish = (fault.code, finish) if fault.where == "setup" else (setup, fault.code)
    text = ""
    for name, body in (("setup", setup), ("finish", finish)):
        if body:
            text += f"\n\ndef {name}(ctx):\n{indent(body, '    ')}\n"
    return text


def _config(program: Program) -> str:
    fields = [f"mapper={_shape(program)[0]}", f"input=gomr.{program.record}"]
    if program.reducer:
        written = REDUCERS[program.reducer].body
        fields.append(f"reducer={'reducer' if written else program.reducer}")
    if program.combiner:
        fields.append(f"combiner={'combiner' if own(program.combiner) else program.combiner}")
    fault = FAULTS.get(program.fault)
    if program.partitioner or (fault and fault.where == "partitioner"):
        written_here = program.partitioner in PARTITIONERS or not program.partitioner
        fields.append(f"partitioner={'partitioner' if written_here else program.partitioner}")
    if program.sort == "values":
        fields.append("sort_values=True")
    elif program.sort:
        fields.append(f"sort_key={SORT_KEYS[program.sort]}")
    edges = _edges(program)
    fields += [f"{name}={name}" for name in ("setup", "finish") if f"def {name}(" in edges]
    text = ", ".join(fields)
    return f'if __name__ == "__main__":\n    gomr.run(gomr.MapReduceConfig({text}))\n'
