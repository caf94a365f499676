"""What to write for an object that can be no key or value: the conversion by the object's type."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

Role = Literal["key", "value"]

_BY_NAME: Final[dict[str, str]] = {
    "numpy.ndarray": "{}.tolist()",
    "numpy.datetime64": "str({})",
    "numpy.timedelta64": "str({})",
    "numpy.generic": "{}.item()",
    "pandas._libs.tslibs.nattype.NaTType": "None",
    "pandas._libs.missing.NAType": "None",
    "pandas.core.series.Series": "{}.tolist()",
    "pandas.core.indexes.base.Index": "{}.tolist()",
    "pandas.core.frame.DataFrame": '{}.to_dict("records"), or ctx.emit_batch for its rows',
    "polars.series.series.Series": "{}.to_list()",
    "polars.dataframe.frame.DataFrame": "{}.to_dicts(), or ctx.emit_batch for its rows",
    "pyarrow.lib.Scalar": "{}.as_py()",
    "pyarrow.lib.Array": "{}.to_pylist()",
    "pyarrow.lib.ChunkedArray": "{}.to_pylist()",
    "pyarrow.lib.Table": "{}.to_pylist(), or ctx.emit_batch for its rows",
    "pyarrow.lib.RecordBatch": "{}.to_pylist(), or ctx.emit_batch for its rows",
    "torch.Tensor": "{}.tolist()",
    "datetime.datetime": "{}.isoformat()",
    "datetime.date": "{}.isoformat()",
    "datetime.time": "{}.isoformat()",
    "datetime.timedelta": "{}.total_seconds()",
    "decimal.Decimal": "str({})",
    "fractions.Fraction": "str({})",
    "uuid.UUID": "str({})",
    "pathlib.PurePath": "str({})",
    "ipaddress._BaseAddress": "str({})",
    "enum.Enum": "{}.value",
    "re.Match": "{}.group()",
    "pydantic.main.BaseModel": "{}.model_dump()",
    "array.array": "{}.tolist()",
    "builtins.bytearray": "bytes({})",
    "builtins.memoryview": "bytes({})",
    "builtins.complex": "({0}.real, {0}.imag)",
    "builtins.BaseException": "str({})",
}
"""By a class among those that an object is of, the first that is listed."""
_SETS: Final = ("builtins.set", "builtins.frozenset")
_LISTS: Final = (
    *("builtins.list", "collections.deque", "builtins.generator", "builtins.map", "builtins.zip"),
    *(
        "builtins.range",
        "builtins.filter",
        "builtins.dict_keys",
        "builtins.dict_values",
        "builtins.dict_items",
    ),
)
_ROWS: Final = (
    *(
        "numpy.ndarray",
        "array.array",
        "pandas.core.series.Series",
        "pandas.core.indexes.base.Index",
    ),
    *("polars.series.series.Series", "pyarrow.lib.Array", "pyarrow.lib.ChunkedArray"),
)
"""What becomes a list, of which a key has to make a tuple."""


_PLAIN: Final = (bool, int, float, str, bytes, tuple, list, dict)


def refusal(given: object, role: Role, *, held: bool = False) -> str:
    """Why an object can be no key or value, and what to emit instead.

    Args:
        given: what was emitted, or a part of it.
        role: what it was to be.
        held: whether it is such a part.
    """
    name = type(given).__name__
    if name in {plain.__name__ for plain in _PLAIN} and type(given) not in _PLAIN:
        name = f"{type(given).__module__}.{name}"  # numpy.bool, for one
    what = f"a {role} may not {'hold' if held else 'be'} {name}"
    base = next((plain for plain in _PLAIN if isinstance(given, plain)), None)
    if base is not None and type(given) is not base:
        what += f", a subclass of {base.__name__}"
    written = conversion(given, role, "x" if held else role)
    if written:
        return f"{what}: {'make it' if held else 'emit'} {written}"
    containers = "a tuple" if role == "key" else "a list, tuple or dict"
    return f"{what}: use None, bool, int, float, str, bytes or {containers} of these"


def conversion(given: object, role: Role, name: str) -> str:
    """An expression that makes a key or value of an object; "" where none is known.

    Args:
        given: the object.
        role: what it is to be.
        name: what the expression calls it.
    """
    for kind in _classes(given):
        if kind in _SETS:
            return f"tuple(sorted({name}))" if role == "key" else f"sorted({name})"
        if kind in _LISTS:
            return f"tuple({name})" if role == "key" else f"list({name})"
        if kind == "builtins.dict" and role == "key":
            return f"tuple(sorted({name}.items()))"
        if kind in _BY_NAME:
            written = _BY_NAME[kind].format(name)
            return f"tuple({written})" if role == "key" and kind in _ROWS else written
    for marker, module in (("__dataclass_fields__", "dataclasses"), ("__attrs_attrs__", "attrs")):
        if hasattr(type(given), marker):
            return f"{module}.{'astuple' if role == 'key' else 'asdict'}({name})"
    for base in _PLAIN:
        if isinstance(given, base):
            return f"{base.__name__}({name})"
    if hasattr(type(given), "__next__"):  # a stream, whoever made it
        return f"tuple({name})" if role == "key" else f"list({name})"
    return f"{name}.item()" if hasattr(type(given), "item") else ""


def _classes(given: object) -> Iterator[str]:
    """The qualified names of its class and of those that it is derived from."""
    for kind in type(given).__mro__:
        yield f"{kind.__module__}.{kind.__qualname__}"
