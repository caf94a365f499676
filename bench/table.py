"""docs/benchmarks.md from the committed results."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import fill
from typing import Any

from bench.figures import FIGURES
from bench.rows import ROWS, SCALES, Bar

RESULTS = Path(__file__).parent / "results"
PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
BEGIN = "<!-- make bench: from here on the rows as they were measured -->"


def write_table() -> None:
    """Replace what is behind the mark in the page by the rows in the order of `ROWS`."""
    head = PAGE.read_text().partition(BEGIN)[0]
    rows = [
        section(result) if "contenders" in result else figures(result)
        for name in (*ROWS, *FIGURES)
        for scale in SCALES
        if (path := RESULTS / f"{name}-{scale}.json").is_file()
        for result in (json.loads(path.read_text()),)
    ]
    PAGE.write_text(head + BEGIN + "\n\n" + "\n\n".join(rows) + "\n")


def section(result: dict[str, Any]) -> str:
    """One row as Markdown."""
    row, found = ROWS[result["row"]], result["contenders"]
    base = next(iter(found.values()))["cpu"]
    lines = [
        f"## {row.title}, {size(result['row'], result['scale'])}",
        "",
        f"    make bench ROW={result['row']} SCALE={result['scale']}",
        "",
        "| | wall s | CPU s | CPU ratio | largest process MB | all processes MB "
        "| shared pages once MB | rounds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, cost in found.items():
        apart = " (run apart)" if cost.get("apart") else ""
        ratio = cost["cpu"] / base
        lines.append(
            f"| {name}{apart} | {cost['wall']:.1f} | {cost['cpu']:.1f} | {ratio:.2f} | "
            f"{cost['largest']} | {cost['total']} | {cost.get('once', '')} | {cost['rounds']} |"
        )
    bars = [
        verdict(bar, found)
        for bar in row.bars
        if all(bar.measure in found.get(name, {}) for name in (bar.ours, bar.peer))
    ]
    return "\n".join([*lines, "", *bars, "", f"{result['machine']}, {result['date']}."])


def figures(result: dict[str, Any]) -> str:
    """One row that is no contest as Markdown."""
    row = FIGURES[result["row"]]
    bars = [
        f"- {asked}: {got}, {'reached' if enough else '**not reached**'}"
        for asked, got, enough in result["bars"]
    ]
    lines = [
        f"## {row.title}",
        "",
        f"    make bench ROW={result['row']} SCALE={result['scale']}",
        "",
        *([fill(row.about, 100), ""] if row.about else []),
        f"| | {' | '.join(result['columns'])} |",
        "|---" * (len(result["columns"]) + 1) + "|",
        *(f"| {' | '.join(line)} |" for line in result["lines"]),
        "",
    ]
    return "\n".join([*lines, *bars, "", f"{result['machine']}, {result['date']}."])


def size(row: str, scale: str) -> str:
    tenths = SCALES[scale]
    if row == "index":
        return f"{200 * tenths} files"
    return f"{tenths} million pairs" if row == "pairs" else f"{100 * tenths} MB"


def verdict(bar: Bar, found: dict[str, Any]) -> str:
    ratio = found[bar.ours][bar.measure] / found[bar.peer][bar.measure]
    reached = "reached" if ratio <= bar.bound else "**not reached**"
    what = {"cpu": "CPU", "wall": "wall time", "total": "memory", "once": "memory"}[bar.measure]
    return f"- {what} at most {bar.bound:.2f} of {bar.peer}: {ratio:.2f}, {reached}"
