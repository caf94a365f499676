"""One type a column: what csv and parquet parts can hold, and that all parts of a job agree.

A part knows the types of its own columns only; `unified` compares those of all parts. None is of
any type. Ints and floats do not mix, wherever they are: else a job would succeed or fail by how its
keys fall into parts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from gomr_runtime.dataflow.pairs.keys import INT64_MAX, INT64_MIN, KeyRefused
from gomr_runtime.dataflow.pairs.pair_batch import BadPair
from gomr_runtime.dataflow.pairs.values import Packed, ValueRefused, thaw
from gomr_runtime.errors import JobFailed
from gomr_runtime.laws.columns import SCALARS, TITLES, mixed
from gomr_runtime.model.output_formats import OUTPUT_FORMATS, OutputFormatName
from gomr_runtime.model.task import ColumnType

CheckPair = Callable[[Any, Any], None]
"""Raises KeyRefused or ValueRefused for a pair, as it is emitted, that has no place in the part."""


class ColumnTypes:
    """The types of a part's two columns, by the pairs that came so far."""

    def __init__(self, output_format: OutputFormatName, name: str) -> None:
        """Begin without types.

        Args:
            output_format: `csv` or `parquet`.
            name: The part's file name, for errors.
        """
        self.types: list[type | None] = [None, None]
        self._keys: list[str] = ["", ""]  # with which each type came first, as people read it
        self._format = output_format
        self._name = name
        self._whole = OUTPUT_FORMATS[output_format].any_int

    @property
    def columns(self) -> tuple[ColumnType, ...]:
        """The types found, as a task reports them."""
        return tuple(
            ColumnType(title, kind.__name__ if kind else "", key)
            for title, kind, key in zip(TITLES, self.types, self._keys, strict=True)
        )

    def check(self, keys: Sequence[Any], values: Sequence[Any]) -> None:
        """Take pairs with frozen values.

        Raises:
            BadPair: A cell has no place in such a file.
            JobFailed: A column would hold two types.
        """
        found = [self._types_of("key", keys), self._types_of("value", values)]
        for at, (cells, kinds) in enumerate(zip((keys, values), found, strict=True)):
            for kind in kinds:
                if self.types[at] is kind:
                    continue
                i = next(i for i, cell in enumerate(cells) if type(cell) is kind)
                if refusal := self._refusal(at, kind, keys[i]):
                    raise JobFailed(f"{self._name}: {refusal}")
                self._note(at, kind, keys[i])

    def _types_of(self, title: str, cells: Sequence[Any]) -> list[type]:
        """The types of a column's cells, None aside, in the order in which they come. Raises
        BadPair."""
        kinds = dict.fromkeys(map(type, cells))
        kinds.pop(type(None), None)
        if not kinds.keys() <= SCALARS or (int in kinds and not self._whole):
            for i, cell in enumerate(cells):
                if reason := self._misfit(title, thaw(cell)):
                    raise BadPair(i, reason)
        return list(kinds)

    def checker(self, *, adding: bool) -> CheckPair:
        """Return what checks pairs as they are emitted, so that an error has the user's line.

        Args:
            adding: Whether a pair that is emitted will be in the part, so that its types count;
                else only `check` makes them count.
        """
        types, whole = self.types, self._whole

        def check(key: Any, value: Any) -> None:
            known = value.__class__ is types[1] and key.__class__ is types[0]
            if (
                known
                and (whole or types[1] is not int or INT64_MIN <= value <= INT64_MAX)
                and (whole or types[0] is not int or INT64_MIN <= key <= INT64_MAX)
            ):
                return
            self._check_pair(key, value, adding=adding)

        return check

    def _check_pair(self, key: Any, value: Any, *, adding: bool) -> None:
        if reason := self._misfit("key", key):
            raise KeyRefused(reason)
        if reason := self._misfit("value", value):
            raise ValueRefused(reason)
        if not adding:
            return
        kinds = type(key), type(value)
        if reason := self._refusal(0, kinds[0], key):
            raise KeyRefused(reason)
        if reason := self._refusal(1, kinds[1], key):
            raise ValueRefused(reason)
        for at, kind in enumerate(kinds):
            if self.types[at] is None and kind in SCALARS:
                self._note(at, kind, key)

    def _misfit(self, title: str, cell: Any) -> str:
        """Why a cell has no place in the part by itself; "" for one that has, or that no part
        could hold, which is refused elsewhere."""
        kind = type(cell)
        if kind in (tuple, list, dict, Packed):
            named = f"a {kind.__name__}"
        elif kind is int and not self._whole and not INT64_MIN <= cell <= INT64_MAX:
            named = "an int beyond 64 bits"
        else:
            return ""
        return f"a {self._format} {title} cannot be {named}; use --output-format jsonl"

    def _refusal(self, at: int, kind: type, key: Any) -> str:
        """Why a cell of that type may not be in the column; "" where it may."""
        known = self.types[at]
        if known is None or known is kind or kind not in SCALARS:
            return ""
        return mixed(
            TITLES[at],
            (known.__name__, f"key {self._keys[at]}"),
            (kind.__name__, f"key {key!r:.80}"),
        )

    def _note(self, at: int, kind: type, key: Any) -> None:
        self.types[at], self._keys[at] = kind, f"{key!r:.80}"
