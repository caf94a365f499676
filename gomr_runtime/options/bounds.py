"""What the value of an option must be like; each check raises ValueError saying what to give."""

from __future__ import annotations

import re
from collections.abc import Callable

from gomr_runtime.model.quantities import parse_size


def size_between(low: str, high: str) -> Callable[[str], None]:
    """Bounds as a person writes them, since they are what is said of a size outside of them."""

    def check(text: str) -> None:
        size = parse_size(text)
        if size < parse_size(low):
            raise ValueError(f"{text!r} is too small: give at least {low}")
        if size > parse_size(high):
            raise ValueError(f"{text!r} is too large: give at most {high}")

    return check


def matching(pattern: re.Pattern[str], hint: str) -> Callable[[str], None]:
    def check(text: str) -> None:
        if not pattern.fullmatch(text):
            raise ValueError(f"{text!r} is not {hint}")

    return check


def whole_number(low: int, high: int) -> Callable[[int], None]:
    def check(value: int) -> None:
        if type(value) is not int or not low <= value <= high:
            raise ValueError(f"{value!r} is not a whole number from {low} to {high:,}")

    return check
