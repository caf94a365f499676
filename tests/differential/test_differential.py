"""Random programs of the API: the engines against plain Python.

A program is a real worker.py with the modules beside it, drawn from a grammar of the API (`draw`).
The plain version (`plain/`) says what comes out, or of which kind the refusal is. Of the 2,000
programs of a run

- all go through one process, each on the compiled engine and on the pure one, with 1 to 7 map
  tasks, a third with buffers so small that little data takes the ways of much; four of five through
  `gomr_runtime.testing`, every fifth through the command line inside the test's own server;
- `WORKERS` of them also go through `python worker.py --workers 2`, with a master, two worker
  processes and a child for each attempt.

`make differential N=20000 SEED=5` runs others; a seed that fails says how it is looked at.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.differential.campaign import Campaign, Run
from tests.differential.defects import DEFECTS
from tests.differential.draw import draw
from tests.differential.run import line_of

FIRST = int(os.environ.get("GOMR_DIFFERENTIAL_SEED", "0"))
BLOCK = 250
PROGRAMS = range(FIRST, FIRST + 2_000)
WORKERS = 12
SPLIT = 150
"""Programs of which the plain version is held to its own promise."""


@pytest.fixture(scope="module")
def campaign() -> Iterator[Campaign]:
    with Campaign() as made:
        yield made


@pytest.mark.parametrize("first", PROGRAMS[::BLOCK])
def test_programs_give_what_plain_python_gives(campaign: Campaign, first: int) -> None:
    programs = map(draw, range(first, first + BLOCK))
    wrong = [line_of(program, found) for program, found in campaign.differences(programs)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("seed", PROGRAMS[:: len(PROGRAMS) // WORKERS][:WORKERS])
def test_programs_give_the_same_with_workers(campaign: Campaign, seed: int) -> None:
    program = draw(seed)
    engine = "pure" if seed % 2 else "compiled"
    found = campaign.difference(program, [Run(engine, "workers", 1 + seed % 7)])
    assert not found, line_of(program, found)


def test_the_plain_version_knows_no_splits(campaign: Campaign) -> None:
    depending = [seed for seed in PROGRAMS[:SPLIT] if campaign.depends_on_splits(draw(seed))]
    assert depending == []


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_of_an_engine_is_found(campaign: Campaign, defect: str) -> None:
    run = Run("pure", "testing", 4, tight=True, defect=defect)
    assert any(campaign.difference(draw(seed), [run]) for seed in PROGRAMS[:BLOCK])
