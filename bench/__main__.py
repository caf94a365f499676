"""Run one row of the table, or write the table from the rows that were run.

python -m bench ROW [--scale small|full] [--rounds 3] [--only NAME]
python -m bench table
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.cache import folder
from bench.figures import FIGURES
from bench.measure import Cost, measure
from bench.rows import ROWS, SCALES, Contender, Row
from bench.table import RESULTS, write_table


def main() -> None:
    parser = argparse.ArgumentParser("python -m bench", description=__doc__)
    parser.add_argument("row", choices=[*ROWS, *FIGURES, "table"])
    parser.add_argument("--scale", choices=SCALES, default="full")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--only", nargs="*", help="contenders; then nothing is stored, but by --add"
    )
    parser.add_argument("--add", action="store_true", help="to the stored row, marked as run apart")
    given = parser.parse_args()
    if given.row == "table":
        write_table()
        return
    if given.row in FIGURES:
        keep(given.row, given.scale, asdict(FIGURES[given.row].measure(given.scale)))
        return
    row = ROWS[given.row]
    contenders = [c for c in row.contenders if not given.only or c.name in given.only]
    costs = run(row, contenders, SCALES[given.scale], given.rounds)
    contenders_found = found_of(costs)
    if given.add:
        stored = json.loads(result_file(given.row, given.scale).read_text())["contenders"]
        apart = {name: {**cost, "apart": True} for name, cost in contenders_found.items()}
        contenders_found = stored | apart
    if given.add or not given.only:
        keep(given.row, given.scale, {"contenders": contenders_found})
    else:
        print(json.dumps(contenders_found, indent=2))


def keep(row: str, scale: str, found: dict[str, Any]) -> None:
    """Store what was found beside where and when, for the table."""
    today = datetime.now(UTC).date().isoformat()
    result = {"row": row, "scale": scale, "date": today, "machine": machine()} | found
    text = json.dumps(result, indent=2)
    print(text)
    RESULTS.mkdir(exist_ok=True)
    result_file(row, scale).write_text(text + "\n")


def result_file(row: str, scale: str) -> Path:
    return RESULTS / f"{row}-{scale}.json"


def run(row: Row, contenders: list[Contender], tenths: int, rounds: int) -> dict[str, list[Cost]]:
    """Every contender in turn, `rounds` times; SystemExit when one has another output."""
    source = row.data(tenths)
    for contender in contenders:
        contender.command(source, source)  # installs what is missing
    costs: dict[str, list[Cost]] = {contender.name: [] for contender in contenders}
    expected = ""
    work = folder() / "work"
    work.mkdir(parents=True, exist_ok=True)
    for n in range(rounds):
        for contender in contenders:
            if n >= contender.most_rounds:
                continue
            print(f"round {n + 1}: {contender.name}", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory(dir=work) as scratch:
                out = Path(scratch) / "out"
                out.mkdir()
                command = contender.command(source, out)
                cost = measure(command, Path(scratch) / "log", cwd=Path(scratch))
                found = digest(out, contender.adapt, ordered=row.ordered)
            expected = expected or found
            if found != expected:
                raise SystemExit(f"{contender.name}: another output than {contenders[0].name}")
            costs[contender.name].append(cost)
    return costs


def digest(out: Path, adapt: str, *, ordered: bool) -> str:
    """sha256 of all lines of the output files, in order or sorted."""
    files = sorted(
        path for path in out.rglob("*") if path.is_file() and not path.name.startswith((".", "_"))
    )
    arrange = "cat" if ordered else "LC_ALL=C sort -S 1G"
    listed = "\0".join(map(str, files))
    done = subprocess.run(
        ["sh", "-c", f"xargs -0 cat | {adapt} | {arrange} | sha256sum"],
        input=listed.encode(),
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().split()[0]


def found_of(costs: dict[str, list[Cost]]) -> dict[str, dict[str, float]]:
    """What is stored of each contender: medians, and the peaks of memory over all rounds."""
    return {
        name: {
            "rounds": len(measured),
            "wall": round(statistics.median(cost.wall for cost in measured), 2),
            "cpu": round(statistics.median(cost.cpu for cost in measured), 2),
            "largest": round(max(cost.largest for cost in measured) / 1e6),
            "total": round(max(cost.total for cost in measured) / 1e6),
            "once": round(max(cost.once for cost in measured) / 1e6),
        }
        for name, measured in costs.items()
    }


def machine() -> str:
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return f"{os.cpu_count()} x {models[0] if models else platform.machine()}, Python " + (
        platform.python_version()
    )


if __name__ == "__main__":
    main()
