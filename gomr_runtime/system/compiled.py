"""The compiled part, where it is installed: the package `gomr-native`, built from `native/`.

All that it does is done without it as well, with the same bytes in the output and more CPU time.
`GOMR_PURE=1` leaves it out.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gomr_runtime.system.settings import read

if TYPE_CHECKING:
    from types import ModuleType

VERSION = 6
"""Of what is called here; a package of another version is left alone."""


def load() -> ModuleType | None:
    """The module, or None where it is absent, of another version or not wanted."""
    if read("pure") == "1":
        return None
    try:
        import gomr_native
    except ImportError:
        return None
    return gomr_native if gomr_native.VERSION == VERSION else None


def secret() -> bytes:
    """Return random bytes for the hash of one table, on which no output depends."""
    return os.urandom(32)


native = load()
