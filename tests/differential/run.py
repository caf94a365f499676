"""Runs random programs.

python -m tests.differential.run --seed 17              show one: program, input, expected and got
python -m tests.differential.run --seed 17 --shrink     without all that it differs without
python -m tests.differential.run --count 20000 --seed 5 many, from that seed on
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator

from tests.differential.campaign import Campaign, Difference
from tests.differential.draw import draw
from tests.differential.program import Program
from tests.differential.server import Answer
from tests.differential.shrink import shrunk
from tests.differential.source import source_of

TOLD_EVERY = 10.0  # seconds


def command_of(seed: int) -> str:
    return f"make differential SEED={seed}"


def shown(program: Program, found: Difference | None) -> str:
    """The program, its input, and what came out beside what should have."""
    lines = []
    for name, text in source_of(program).items():
        lines += [f"=== {name}", text]
    for file in program.files:
        lines += [f"=== {file.name} {file.compression}", repr(file.content)]
    lines.append(f"=== options: {options(program)}")
    if found is None:
        return "\n".join([*lines, "=== every run is right"])
    lines += [f"=== {found.run}: {found.what}", "expected:", told(found.expected)]
    return "\n".join([*lines, "got:", told(found.got)])


def options(program: Program) -> str:
    said = [f"--input {' '.join(program.arguments)} --reducers {program.reducers}"]
    said += [f"--output-format {program.output_format} --skip-bad-records {program.skip}"]
    said += [f"--param {name}={value}" for name, value in program.params]
    return " ".join(said)


def told(answer: Answer) -> str:
    if answer.defect:
        return answer.defect
    if answer.code:
        return f"  exit {answer.code}: {answer.message or ' or '.join(answer.refused)}"
    lines = [f"  part {i}: {part!r}" for i, part in enumerate(answer.parts)]
    return "\n".join([*lines, f"  counters {answer.counters}", f"  books {answer.books}"])


def show(campaign: Campaign, seed: int, *, small: bool) -> int:
    program = draw(seed)
    found = campaign.difference(program)
    if small and found is not None:
        program, found = shrunk(campaign, program, found)
    print(shown(program, found))
    return 1 if found else 0


def hunt(campaign: Campaign, seeds: range) -> int:
    """Many programs; a line for each that differs."""
    failed = 0
    for program, found in campaign.differences(map(draw, told_of(seeds))):
        failed += 1
        print(f"{line_of(program, found)}", flush=True)
    print(f"{len(seeds)} programs, {failed} differ")
    return 1 if failed else 0


def line_of(program: Program, found: Difference) -> str:
    said = found.got.message or found.got.defect[-200:]
    fault = f", fault: {program.fault}" if program.fault else ""
    return f"{found.run}: {found.what} {said!r:.200}{fault}; {command_of(program.seed)}"


def told_of(seeds: range) -> Iterator[int]:
    """The seeds, with a word on stderr now and then."""
    next_word = time.monotonic() + TOLD_EVERY
    for seed in seeds:
        yield seed
        if time.monotonic() > next_word:
            next_word += TOLD_EVERY
            print(f"{seed - seeds.start + 1} of {len(seeds)}", file=sys.stderr)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=0)
    parser.add_argument("--shrink", action="store_true")
    given = parser.parse_args()
    with Campaign() as campaign:
        if given.count:
            return hunt(campaign, range(given.seed, given.seed + given.count))
        return show(campaign, given.seed, small=given.shrink)


if __name__ == "__main__":
    sys.exit(main())
