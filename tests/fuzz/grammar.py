"""What honest processes say, with types and ranges gone wrong: seeded, one change or a few each.

A message is a JSON value of the real schema. `mutated` changes it somewhere; `spoilt` changes its
bytes. `conforms` is the oracle: it knows an honest message and the plain rules of the protocol, and
nothing of the code that it judges.
"""

from __future__ import annotations

import copy
import json
from random import Random
from typing import Any

DIGITS, DEEP = "@digits@", "@deep@"  # what `json.dumps` cannot write
WRONG: list[Any] = [
    *(None, True, False, -1, 0, 1, 7, 2**31, 2**32 - 1, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64),
    *(2**100, -(2**31), -(2**63), -(2**64), 10**3999, 10**4200, -(10**4200), 0.0, 0.5, -0.5),
    *(1e308, float("nan"), float("inf"), -float("inf"), 2.0**63, DIGITS, DEEP),
    *(
        "",
        "x",
        "0",
        "\0",
        "\ud800",
        "é\n\x1b[31m",
        "a" * 300,
        "a" * 40_000,
        "../../x",
        "/etc/passwd",
    ),
    *("map", "part", "bad", "cuts", "key", "int", "0" * 64, "F" * 64, "store", "crash", "corrupt"),
    *([], {}, [[]], [{}], {"": {}}, {"x": []}, [0] * 2_000, {str(n): n for n in range(1_500)}),
]


def mutated(rng: Random, message: Any) -> Any:
    """The message with one change, or up to four."""
    changed = copy.deepcopy(message)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        changed = _change(rng, changed)
    return changed


def _change(rng: Random, message: Any) -> Any:
    places = list(_places(message))
    if not places or len(places) > 20_000:
        return _wrong(rng)
    holder, key = rng.choice(places)
    act = rng.random()
    if act < 0.6:
        holder[key] = _wrong_for(rng, holder[key])
    elif act < 0.75:
        del holder[key]
    elif act < 0.85:
        other, there = rng.choice(places)
        holder[key] = copy.deepcopy(other[there])
    elif isinstance(holder, dict):
        holder[rng.choice(("x", "", "__class__", "path", "key", "nonce", "\ud800"))] = _wrong(rng)
    elif len(holder) < 50:
        holder.extend(copy.deepcopy(holder) * rng.choice((1, 3, 400)))
    return message


def _wrong(rng: Random) -> Any:
    """A copy, for the next change may be inside it."""
    return copy.deepcopy(rng.choice(WRONG))


def _wrong_for(rng: Random, value: Any) -> Any:
    """Another value: often one that is nearly right."""
    if type(value) is int and abs(value) < 2**63 and rng.random() < 0.3:
        return rng.choice((value + 1, value - 1, -value, value * 2**40, float(value), str(value)))
    if type(value) is str and rng.random() < 0.3:
        return rng.choice((value + "x", value[1:], value * 200, [value], value.upper()))
    return _wrong(rng)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every place in the message: what holds it, and under which key."""
    found: list[tuple[Any, Any]] = []
    keys = (
        list(value)
        if isinstance(value, dict)
        else range(len(value))
        if isinstance(value, list)
        else ()
    )
    for key in keys:
        found += [(value, key), *_places(value[key])]
    return found


def text_of(message: Any) -> str:
    """The message as JSON, with what only a hostile sender writes."""
    text = json.dumps(message)
    return text.replace(f'"{DIGITS}"', "9" * 5_000).replace(f'"{DEEP}"', "[" * 50_000)


def spoilt(rng: Random, data: bytes) -> bytes:
    """The bytes, now and then cut short, flipped, or with others in between."""
    act, at = rng.random(), rng.randrange(len(data) + 1)
    if act < 0.85:
        return data
    if act < 0.9:
        return data[:at]
    noise = rng.randbytes(rng.choice((1, 2, 9, 300)))
    return data[:at] + noise + data[at + (0 if act < 0.95 else len(noise)) :]


def conforms(honest: Any, found: Any, *, counters: bool = False) -> bool:
    """Whether `found` has only fields that `honest` has, of the same types, in plain ranges.

    Args:
        honest: A message of the same kind; a list in it has one entry that stands for all.
        counters: It is a mapping of the user's own names to whole numbers of any sign.
    """
    if counters:
        return isinstance(found, dict) and all(
            type(n) is int and 0 < len(name) <= 200 for name, n in found.items()
        )
    if isinstance(honest, dict):
        return isinstance(found, dict) and all(
            key in honest
            and (
                (key == "place" and found[key] is None)
                or conforms(honest[key], found[key], counters=key == "counters")
            )
            for key in found
        )
    if isinstance(honest, list):
        return isinstance(found, list) and all(
            any(conforms(each, item) for each in honest) for item in found
        )
    if type(honest) is int:
        return type(found) is int and -1 <= found < 2**63
    if type(honest) is float:
        return type(found) in {int, float} and 0 <= found < 1e16
    return type(found) is type(honest)
