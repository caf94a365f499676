"""One type a column: what all parts of a job agree on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from gomr_runtime.errors import JobFailed
from gomr_runtime.model.task import ColumnType

TITLES: Final = ("key", "value")
SCALARS: Final = frozenset({bool, int, float, str, bytes})


def unified(parts: Iterable[tuple[str, Sequence[ColumnType]]]) -> tuple[ColumnType, ...]:
    """Return the type that each column has in all parts; "" where all of its cells are None.

    Args:
        parts: The file name of each part and its columns, in order.

    Raises:
        JobFailed: Two parts have different types in one column.
    """
    known = Unified()
    for name, columns in parts:
        if refusal := known.add(name, columns):
            raise JobFailed(refusal)
    return known.columns


class Unified:
    """The types of the columns of the parts added so far."""

    def __init__(self) -> None:
        self._columns: dict[str, tuple[ColumnType, str]] = {}

    @property
    def columns(self) -> tuple[ColumnType, ...]:
        """One for each column that a part has."""
        return tuple(column for column, _ in self._columns.values())

    def add(self, name: str, columns: Sequence[ColumnType]) -> str:
        """Note the types of part `name`; a refusal, and no change, where it differs."""
        if refusal := self.refusal(name, columns):
            return refusal
        for column in columns:
            known = self._columns.get(column.name)
            if known is None or not known[0].type:
                self._columns[column.name] = (column, name)
        return ""

    def refusal(self, name: str, columns: Sequence[ColumnType]) -> str:
        """What is wrong with part `name` beside the others; "" for nothing."""
        for column in columns:
            known, part = self._columns.get(column.name, (column, name))
            if column.type and known.type and column.type != known.type:
                return mixed(
                    column.name,
                    (known.type, f"{part}, key {known.key}"),
                    (column.type, f"{name}, key {column.key}"),
                )
        return ""


def mixed(title: str, *found: tuple[str, str]) -> str:
    """Return the refusal of a column with two types.

    Args:
        title: The column.
        found: Each type, and where it is.
    """
    first, second = (f"{kind} ({where})" for kind, where in sorted(found))
    return (
        f"column {title} holds both {first} and {second}; emit one type or use --output-format "
        "jsonl"
    )


def untyped(parts: Sequence[Sequence[ColumnType]], types: Sequence[ColumnType]) -> list[int]:
    """Return the numbers of the parts that lack a type which their column has elsewhere.

    Args:
        parts: The columns of each part.
        types: Those of the job (`unified`).
    """
    wanted = {column.name for column in types if column.type}
    return [
        number
        for number, columns in enumerate(parts)
        if any(not column.type and column.name in wanted for column in columns)
    ]
