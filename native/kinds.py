"""Writes `src/kinds.h`: the kinds of keys and values under the numbers that Python has for them.

`make kinds` runs it after a change of `gomr_runtime.dataflow.pairs.keys.Kind`; a test holds the
header to that.
"""

from __future__ import annotations

from pathlib import Path

from gomr_runtime.dataflow.pairs.keys import Kind

HEADER = Path(__file__).parent / "src" / "kinds.h"


def text() -> str:
    """Return the header as it has to be."""
    numbers = "".join(f"    KIND_{kind.name} = {int(kind)},\n" for kind in Kind)
    return (
        "/* Written by native/kinds.py from gomr_runtime.dataflow.pairs.keys.Kind. */\n"
        "#ifndef GOMR_KINDS_H\n#define GOMR_KINDS_H\n\n"
        f"enum {{\n{numbers}}};\n\n#endif\n"
    )


if __name__ == "__main__":
    HEADER.write_text(text(), encoding="ascii")
