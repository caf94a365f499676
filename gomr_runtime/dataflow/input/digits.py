"""How long a whole number in text may be: the time to read it grows with the square of that."""

from __future__ import annotations

from typing import Final

MOST_DIGITS: Final = 4_300  # as Python has it by itself; ints that are computed may be longer
_NEAR: Final = 64


def check_digits(text: str) -> None:
    """Raise ValueError for a whole number that is too long to be read from text."""
    digits = len(text) - text.startswith(("-", "+"))
    if digits > MOST_DIGITS:
        raise ValueError(
            f"a whole number of {digits:,} digits, at most {MOST_DIGITS:,} are read from text"
        )


def may_hold_too_many(text: str) -> bool:
    """Whether the text may hold more digits in a row than are read. It looks at few places: so many
    digits lie over one of them, with half of what is looked at before or behind it."""
    return len(text) > MOST_DIGITS and any(
        text[place : place + _NEAR].isdigit() or text[max(0, place - _NEAR) : place].isdigit()
        for place in range(0, len(text), MOST_DIGITS)
    )
