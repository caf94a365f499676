"""Built-in reducers: `gomr.sum, count, min, max, top(n), distinct, identity`.

They are values that a config names; the engine runs them on columns where it can. All but
`count` also serve as combiners (for `count`, the engine counts on the map side by itself).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Aggregate:
    """A built-in reducer by name; `size` is top's n."""

    name: str
    size: int = 0

    def __call__(self, size: int) -> Aggregate:
        """`top(n)`: the n largest values of a key, largest first."""
        if self.name != "top":
            raise TypeError(f"gomr.{self.name} takes no arguments: name it without calling it")
        if type(size) is not int or size < 1:
            raise ValueError(f"gomr.top({size!r}): n is an int of at least 1")
        return Aggregate("top", size)

    def __str__(self) -> str:
        return f"top({self.size})" if self.name == "top" else self.name

    @property
    def combines(self) -> bool:
        """Whether the engine may apply it before the shuffle."""
        return self.name != "identity"


sum = Aggregate("sum")
count = Aggregate("count")
min = Aggregate("min")
max = Aggregate("max")
top = Aggregate("top")
distinct = Aggregate("distinct")
identity = Aggregate("identity")
