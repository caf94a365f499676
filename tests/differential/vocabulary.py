"""Words, keys and values of every kind, and Python that makes them of a word."""

from __future__ import annotations

import math
from random import Random
from typing import Any

WORDS = [
    "a", "b", "ab", "abc", "foo", "Foo", "the", "0", "1", "-7", "1.5", "12345678901234567890123",
    "été", "e\u0301", "日本", "😀", "\uffff", "x,y", 'q"q', "back\\slash", "\x0b", "a\x1cb",
    "n\u2028m", "\x85", "nul\x00", "nan", "None", "long" * 30, "'", "#", "{}", "%s",
]  # fmt: skip

INTS = [0, 1, -1, 2, 7, 255, -256, 10**6, 2**31, 2**53 + 1, 2**63 - 1, -(2**63)]
BIG_INTS = [2**63, -(2**63) - 1, 2**64, 10**30, -(10**30), 2**200]
FLOATS = [0.0, -0.0, 1.0, -1.5, 0.1, 0.2, 1e300, -1e-300, 5e-324, 2.0**53]
ODD_FLOATS = [math.inf, -math.inf]
STRS = ["", "a", "b", "ab", "a\x00", "tab\there", "line\nend", "back\\", "é", "\U0001f600", "1"]
BYTES = [b"", b"\x00", b"\xff\xfe", b"abc", b"a\x00b", b"\x00\xff"]

KEYS: dict[str, str] = {
    "word": "a",
    "upper": "a.upper()",
    "first": "a[:1]",
    "length": "len(a)",
    "negative": "-len(a)",
    "quarter": "len(a) / 4",
    "zero": "-0.0 if len(a) % 2 else 0.0",
    "bytes": "a.encode()",
    "even": "len(a) % 2 == 0",
    "none": "None",
    "maybe": "a if len(a) % 2 else None",
    "pair": "(a, len(a))",
    "nested": "(len(a) % 3, (a[:1], None), a.encode())",
    "empty": "()",
    "source": "ctx.source",
    "sourced": "(ctx.source, a)",
    "big": "code(a) << 60",
    "small": "-(code(a) << 60)",
    "one": "'k'",
    "ones": "[1, 1.0, True, '1', (1,), (1.0,), (True,)][code(a) % 7]",
    "table": "KEYS[code(a) % len(KEYS)]",
}
PARAM_KEY = "ctx.params['p'] + a"

TABLE = "VALUES[code(a) % len(VALUES)]"
VALUES: dict[str, list[str]] = {
    "int": ["1", "len(a)", "code(a)", "-len(a)", "code(a) << 55", "2**63 - len(a)", TABLE],
    "float": ["len(a) / 8", "0.1", "code(a) * 1e17", TABLE],
    "number": ["len(a) if len(a) % 2 else len(a) / 8", TABLE],
    "str": ["a", "a.upper()", "a + '\\t' + a", TABLE],
    "bytes": ["a.encode()", "b'\\x00' + a.encode()", TABLE],
    "bool": ["len(a) % 2 == 1", "a > 'b'"],
    "list": ["[a, len(a)]", "list(a)", "[]", "[[a], {}]"],
    "pair": ["(len(a), 1)", "(code(a), len(a))"],
    "tuple": ["(a,)", "(len(a), a, None)", "()", "tuple(a)"],
    "dict": ["{a: 1}", "{'n': len(a), 'w': [a, (a,)]}", "{}"],
    "counts": ["{a: len(a)}", "{a[:1]: 1, 'all': 2}"],
    "digits": ["str(len(a))", "' %d ' % code(a)", "str(code(a) << 60)", "len(a)"],
    "decimals": ["str(len(a) / 8)", "len(a)", "len(a) / 8", "'1e3'"],
    "any": ["a", "len(a)", "(a, [a])", "{'x': a.encode()}", TABLE],
}
RECORD_VALUES = {"lines", "jsonl", "csv", "csv(quoted_newlines=False)"}
"""Where a value may be the whole record."""

ORDERED = ("int", "float", "number", "str", "bytes", "bool", "pair")
"""Domains whose values compare."""

ANNOTATIONS: dict[str, list[str]] = {
    "int": ["", "int"],
    "float": ["", "float"],
    "number": [""],
    "str": ["", "str"],
    "bytes": ["", "bytes"],
    "bool": ["", "bool"],
    "list": ["", "list", "list[Any]"],
    "pair": ["", "tuple", "tuple[int, int]"],
    "tuple": ["", "tuple"],
    "dict": ["", "dict"],
    "counts": ["", "dict", "dict[str, int]"],
    "digits": ["int"],
    "decimals": ["float"],
    "any": ["", "Any"],
}


def scalars(domain: str) -> list[Any]:
    """Literals of a domain, for a table."""
    known: dict[str, list[Any]] = {
        "int": INTS + BIG_INTS,
        "float": FLOATS,
        "number": INTS[:7] + FLOATS + BIG_INTS[:2],
        "str": STRS,
        "bytes": BYTES,
    }
    return known.get(domain, [])


def key_table(random: Random) -> list[Any]:
    """Keys of many kinds, some of them equal in Python and no less different."""
    choices: list[Any] = [
        None,
        True,
        False,
        1,
        0,
        1.0,
        0.0,
        -0.0,
        "1",
        *INTS,
        *BIG_INTS,
        *FLOATS,
        *ODD_FLOATS,
    ]
    choices += [*STRS, *BYTES]
    found = random.choices(choices, k=random.randint(1, 12))
    for _ in range(random.randint(0, 3)):
        found.append(
            tuple(random.choices([*choices, (), (1,), (1.0, "a")], k=random.randint(0, 3)))
        )
    return found


def value_table(random: Random, domain: str) -> list[Any]:
    known = scalars(domain)
    if known:
        return random.choices(known, k=random.randint(1, 8))
    choices: list[Any] = [
        None,
        True,
        *INTS,
        *BIG_INTS,
        *FLOATS,
        *ODD_FLOATS,
        math.nan,
        *STRS,
        *BYTES,
    ]
    found: list[Any] = random.choices(choices, k=random.randint(1, 8))
    for _ in range(random.randint(0, 3)):
        inner: list[Any] = random.choices([*choices, [], (), {}], k=random.randint(0, 3))
        found.append(random.choice([inner, tuple(inner), {"k": inner}, {"a": 1, "": None}]))
    return found


def literal(value: Any) -> str:
    """Python that makes the value."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, tuple):
        return f"({''.join(literal(item) + ', ' for item in value)})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{n!r}: {literal(v)}' for n, v in value.items())}}}"
    return repr(value)
