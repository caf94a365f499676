"""Word count with two workers beside a hand-written multiprocessing script, interleaved.

python -m bench.wordcount --megabytes 100 --rounds 3
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench.measure import Cost, measure
from bench.text import write_text

HERE = Path(__file__).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gomr-bench-") as folder:
        run(Path(folder), given.megabytes, given.rounds)


def run(folder: Path, megabytes: int, rounds: int) -> None:
    text = folder / "text"
    print(f"writing {megabytes} MB of Zipf text", file=sys.stderr)
    write_text(text, megabytes * 1_000_000)
    contenders: dict[str, Callable[[Path], Cost]] = {
        "hand-written multiprocessing": lambda out: by_hand(folder, text, out),
        "gomr, ctx.emit": lambda out: gomr(folder, "wordcount.py", text, out),
        "gomr, ctx.count": lambda out: gomr(folder, "wordcount_count.py", text, out),
    }
    costs: dict[str, list[Cost]] = {name: [] for name in contenders}
    for n in range(rounds):
        expected: list[bytes] | None = None
        for name, contender in contenders.items():
            print(f"round {n + 1}: {name}", file=sys.stderr)
            out = folder / "out"
            costs[name].append(contender(out))
            lines = sorted(line for part in result_files(out) for line in part.open("rb"))
            expected = expected or lines
            if lines != expected:
                raise SystemExit(f"{name}: another result than the hand-written script")
            shutil.rmtree(out)
    print(table(costs))


def by_hand(folder: Path, text: Path, out: Path) -> Cost:
    out.mkdir()
    script = HERE / "peers" / "wordcount_multiprocessing.py"
    command = [sys.executable, str(script), str(text), str(out / "output-00000.txt")]
    return measure(command, folder / "log")


def gomr(folder: Path, worker: str, text: Path, out: Path) -> Cost:
    script = HERE / "workers" / worker
    command = [sys.executable, str(script), "--input", str(text), "--workers", "2", "-q"]
    return measure([*command, "--output", str(out)], folder / "log", cwd=folder)


def result_files(out: Path) -> list[Path]:
    return sorted(out.glob("output-*"))


def table(costs: dict[str, list[Cost]]) -> str:
    """Medians as a Markdown table, with ratios to the first row."""
    rows = [
        "| | wall s | CPU s | CPU ratio | largest process MB | all processes MB |",
        "|---|---|---|---|---|---|",
    ]
    base = statistics.median(cost.cpu for cost in next(iter(costs.values())))
    for name, measured in costs.items():
        cpu = statistics.median(cost.cpu for cost in measured)
        wall = statistics.median(cost.wall for cost in measured)
        largest = max(cost.largest for cost in measured) / 1e6
        total = max(cost.total for cost in measured) / 1e6
        rows.append(
            f"| {name} | {wall:.1f} | {cpu:.1f} | {cpu / base:.2f} | {largest:.0f} | {total:.0f} |"
        )
    return "\n".join(rows)


if __name__ == "__main__":
    main()
