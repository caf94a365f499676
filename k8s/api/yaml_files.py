"""Reading YAML of our own and of kubectl: plain values alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

# The same safe loader in C, ten times as fast, where PyYAML was built with it.
_Loader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def documents(path: Path) -> list[Any]:
    """Every document in the file. Raises OSError, UnicodeDecodeError or yaml.YAMLError."""
    text = path.read_text("utf-8")
    return list(yaml.load_all(text, Loader=_Loader))
