"""What a run tells its person."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass

from gomr_runtime.model.summary import Part, Summary
from gomr_runtime.model.task import Ledger
from gomr_runtime.runs.progress import books, fraction, reporter, summary_json, summary_text


@dataclass
class State:
    phase: str = "map"
    tasks: int = 100
    committed: int = 0
    running: int = 2
    failed_attempts: int = 0
    workers: int = 2
    done: int = 0
    total: int = 0


LEDGER = Ledger(
    records_read=10,
    bytes_read=2_000,
    mapped=8,
    skipped=1,
    set_aside=1,
    map_out=30,
    combine_in=30,
    combine_out=12,
    written=12,
    written_bytes=500,
    reduce_in=12,
    reduce_groups=4,
    reduce_out=4,
)


def test_plain_lines_come_at_most_every_tenth_of_a_phase() -> None:
    stream = io.StringIO()
    told = reporter(stream=stream)
    for committed in range(101):
        told.update(State(committed=committed))
    told.update(State(committed=100))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("map  10%  10 of 100 tasks, 2 running, 2 workers")
    assert lines[-1].startswith("map 100%")


def test_the_last_line_of_a_phase_says_that_all_its_tasks_are_committed() -> None:
    stream = io.StringIO()
    told = reporter(stream=stream)
    told.update(State(tasks=2, committed=1, done=40, total=40))  # all is read, one task commits
    told.update(State(tasks=2, committed=2, running=0, done=40, total=40))
    first, last = stream.getvalue().splitlines()
    assert first.startswith("map  99%  1 of 2 tasks, 2 running")
    assert last.startswith("map 100%  2 of 2 tasks, 0 running")


def test_log_lines_and_quiet() -> None:
    stream = io.StringIO()
    told = reporter(stream=stream)
    told.log("info", "All workers connected")
    told.log("warning", "map-0/1 failed")
    told.log("error", "run a failed: boom")  # what the command says in its last line
    assert stream.getvalue() == "All workers connected\nwarning: map-0/1 failed\n"
    silent = reporter(quiet=True, stream=stream)
    silent.log("error", "nothing")
    silent.update(State(committed=100))
    assert "nothing" not in stream.getvalue()


def test_a_terminal_gets_bars() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    told = reporter(stream=stream)
    told.update(State(committed=50, done=5_000_000, total=10_000_000))
    told.log("info", "[not markup]")
    told.close()
    assert "50%" in stream.getvalue()
    assert "5.0 MB" in stream.getvalue()
    assert "50 of 100 tasks, 2 running" in stream.getvalue()
    assert "[not markup]" in stream.getvalue()


def test_the_fraction_counts_tasks_or_bytes() -> None:
    assert fraction(State(tasks=0)) == 0.0
    assert fraction(State(committed=50)) == 0.5
    assert fraction(State(committed=0, done=30, total=40)) == 0.75
    assert fraction(State(committed=100, done=50, total=40)) == 1.0


def test_the_books_are_printed_as_equations() -> None:
    assert books(LEDGER) == [
        ("read", "10 records (2.0 kB) = 8 mapped + 1 set aside + 1 empty"),
        ("mapped", "30 pairs emitted - 18 combined away = 12 written"),
        ("reduced", "12 written (500 B) = 12 read by reducers, 4 keys"),
        ("output", "4 records"),
    ]


def test_the_summary_for_people_and_programs() -> None:
    part = Part("output-00000.txt", "outputs/r/output-00000.txt", 40, 4, "00")
    summary = Summary("r", "succeeded", parts=(part,), ledger=LEDGER, counters={"bad": 1_000})
    text = summary_text(summary, "outputs/r")
    assert "1 in outputs/r (40 B)" in text
    assert "bad = 1,000" in text
    fields = json.loads(summary_json(summary, "outputs/r"))
    assert fields["output"] == "outputs/r"
    assert fields["ledger"]["mapped"] == 8
    assert fields["parts"][0]["name"] == "output-00000.txt"
