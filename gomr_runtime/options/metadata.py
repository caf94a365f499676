"""What the declaration of an option says of it, beside its type and default."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gomr_runtime.model.inputs.addresses import check_input
from gomr_runtime.options.bounds import whole_number


def about(
    description: str,
    *,
    group: str = "run",
    inline: bool = False,
    metavar: str = "",
    short: str = "",
    off: str = "",
    check: Callable[[Any], Any] | None = None,
    bounds: tuple[int, int] | None = None,
    choices: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Metadata of one option; pydantic takes `description`, `ge` and `le` from it as they are.

    off: what `--no-NAME` does, where the field is true by default.
    """
    found: dict[str, Any] = {
        "description": description,
        "group": group,
        "inline": inline,
        "metavar": metavar,
        "short": short,
        "off": off,
        "check": check,
        "choices": choices,
    }
    if bounds:
        found |= {"ge": bounds[0], "le": bounds[1], "check": whole_number(*bounds)}
    return found


def check_inputs(values: Sequence[str]) -> None:
    if not values or not all(values):
        raise ValueError("name at least one file, directory, glob, - or s3:// address")
    for value in values:
        check_input(value)
