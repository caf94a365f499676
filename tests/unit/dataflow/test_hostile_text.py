"""What others have chosen (names, exceptions, records) is shown as text, wherever it is shown."""

from __future__ import annotations

import json
import subprocess
import sys
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from gomr_runtime.dataflow.input.digits import MOST_DIGITS, may_hold_too_many
from gomr_runtime.errors import GomrError, one_line, printable
from gomr_runtime.model.summary import Summary
from gomr_runtime.model.task import BadRecord, Ledger
from gomr_runtime.runs.progress import summary_text
from gomr_runtime.testing import run_local
from tests.flow.command import clean_environ
from tests.process.support.worker_commands import Command

COLOUR, TITLE, BELL, BACK = "\x1b[31m", "\x1b]0;owned\x07", "\x07", "\r\x1b[2K"
TURNED = "\u202egpj.exe\u2066\u200f"
C1 = "\x9b31m"
HOSTILE = f"x{COLOUR}{TITLE}{BELL}{BACK}{TURNED}{C1}\u2028\u200b\ufeff\U000e0041\x00"
HARMLESS = "naïve café\u00a0\u3000日本語 עברית مرحبا می\u200cخواهم 👩\u200d💻 ½ µ e\u0301"
LINES = "x\n    parts  5 in /elsewhere"

MARKUP = [
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "[click](javascript:alert(1))",
    "![x](http://evil/x.png)",
    "http://evil.example/ www.evil.example me@evil.example",
    "<http://evil.example>",
    "a | b || \\| c \\",
    "`code` ``x`` **bold** __bold__ _it_ ~~gone~~",
    "# heading",
    "- item",
    "&lt;b&gt; &#60;",
    "x\n\n# heading\n\n<b>",
    "---",
    "[ref]: http://evil",
    "$x$ :smile:",
]


def shown(told: str) -> bool:
    """Whether a terminal shows the text and does nothing else."""
    kinds = {unicodedata.category(c) for c in told.replace("\n", "")}
    return not kinds & {"Cc", "Cs", "Zl", "Zp"} and "\u202e" not in told and "\u2066" not in told


@given(st.text(st.characters(), max_size=40))
def test_a_line_is_a_line(text: str) -> None:
    line = one_line(text)
    assert shown(line)
    assert line.splitlines() in ([line], [])
    assert one_line(line) == line
    assert shown(printable(text))


def test_what_is_harmless_stays() -> None:
    assert one_line(HARMLESS) == printable(HARMLESS) == HARMLESS


def test_what_is_not_is_seen() -> None:
    assert one_line(HOSTILE) == (
        r"x\x1b[31m\x1b]0;owned\x07\x07\r\x1b[2K\u202egpj.exe\u2066\u200f\x9b31m"
        r"\u2028\u200b\ufeff\U000e0041\x00"
    )


def test_a_row_of_the_summary_is_one_row() -> None:
    """A counter cannot look like the line that says where the output is."""
    summary = Summary(
        "r",
        "succeeded",
        ledger=Ledger(records_read=1, set_aside=1),
        counters={LINES: 1, HOSTILE: 2},
        bad_records=(BadRecord(LINES, 0, 0, HOSTILE),),
    )
    rows = summary_text(summary, LINES).split("\n")
    assert len([row for row in rows if row.startswith("    parts  ")]) == 1
    assert all(shown(row) for row in rows)
    assert len(rows) == len(
        summary_text(replace(summary, counters={"a": 1, "b": 2}), "x").split("\n")
    )


@pytest.mark.parametrize("text", MARKUP)
def test_prefect_shows_markup_as_text(text: str) -> None:
    report = pytest.importorskip("tasks.report")
    summary = Summary("r", "succeeded", counters={text: 1, HOSTILE: 1})
    page = report.markdown(summary, text)
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(page)
    inside = [child for token in tokens for child in token.children or []]
    assert {child.type for child in inside} == {"text"}
    assert "html_block" not in {token.type for token in tokens}
    rows = [token for token in tokens if token.type == "tr_open"]
    cells = ["".join(c.content for c in t.children or []) for t in tokens if t.type == "inline"]
    assert len(cells) == 1 + 2 * len(rows), "two cells a row, and the heading"
    assert f"counter {one_line(text)}" in [cell.rstrip() for cell in cells] or text.endswith(" ")
    for address in ("://", "www.", "@"):
        assert address not in page


def test_a_long_number_is_found_wherever_it_begins() -> None:
    for before in (0, 1, 63, 64, MOST_DIGITS - 1, MOST_DIGITS, 5 * MOST_DIGITS + 17):
        for after in (0, 1, 100, MOST_DIGITS):
            text = "x" * before + "7" * (MOST_DIGITS + 1) + "x" * after
            assert may_hold_too_many(text)
    assert not may_hold_too_many("7" * MOST_DIGITS)
    assert not may_hold_too_many('{"a": 12345, "b": 0.5}' * 10_000)


PAIRS = """
import gomr_runtime as gomr
def mapper(ctx, record):
    ctx.emit(str(record)[:40], 1)
gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=gomr.sum, input=gomr.jsonl))
"""
LONG = "7" * 1_000_000
NUMBERS = {
    "bare": LONG,
    "negative": f"-{LONG}",
    "value": f'{{"a": {LONG}}}',
    "nested": f'{{"a": [[{{"b": {LONG}}}]]}}',
    "late": f'["{"x" * 9_999}", {LONG}]',
    "just too long": "1" + "0" * MOST_DIGITS,
}


@pytest.mark.parametrize("pure", ["", "1"])
def test_numbers_of_a_million_digits_are_bad_records(tmp_path: Path, pure: str) -> None:
    """In a time that grows as they do; each of these took a quarter of a minute, or more."""
    command = Command(tmp_path, PAIRS)
    good = ["9" * MOST_DIGITS, f'"{LONG}"', f"0.{LONG}", '{"a": 1}']
    (tmp_path / "input.txt").write_text("\n".join([*NUMBERS.values(), *good]) + "\n")
    done = command.run("--skip-bad-records", str(len(NUMBERS)), environ={"GOMR_PURE": pure})
    assert done.code == 0, done.told
    assert done.told.count("digits, at most 4,300 are read from text") == len(NUMBERS)
    assert len(command.rows()) == len(good)


def test_text_becomes_no_number_of_a_million_digits(tmp_path: Path) -> None:
    source = tmp_path / "worker.py"
    source.write_text(
        "import gomr_runtime as gomr\n"
        "def mapper(ctx, line: str): ctx.emit('k', line)\n"
        "def reducer(ctx, key, values: list[int]): ctx.emit(key, sum(values))\n"
        "gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines))\n"
    )
    with pytest.raises(GomrError, match="of 1,000,000 digits, at most 4,300"):
        run_local(source, f"1\n{LONG}\n")
    assert run_local(source, f"1\n-{'0' * MOST_DIGITS}\n").pairs == [("k", 1)]


# The real command.

ATTACK = """
import sys
import gomr_runtime as gomr
HOSTILE, LINES = {hostile!r}, {lines!r}
def mapper(ctx, line: str) -> None:
    ctx.counter(HOSTILE[:150]).add()
    ctx.counter(LINES).add()
    if "fail" in ctx.params:
        print(HOSTILE, file=sys.stderr, flush=True)
        raise type(HOSTILE.replace("\\0", ""), (Exception,), {{}})(HOSTILE)
    if line == "bad":
        raise ValueError(HOSTILE)
    ctx.emit(line, 1)
gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=gomr.sum, input=gomr.lines))
"""


@pytest.mark.parametrize("workers", [(), ("--workers", "1")], ids=["inline", "workers"])
@pytest.mark.parametrize("how", ["good", "fail"])
def test_a_terminal_is_safe_from_what_a_job_says(
    tmp_path: Path, workers: tuple[str, ...], how: str
) -> None:
    command = Command(tmp_path, ATTACK.format(hostile=HOSTILE, lines=LINES))
    name = f"in{HOSTILE}put".replace("\0", "")
    (tmp_path / name).write_text("a\nbad\n")
    arguments = [*workers, "--skip-bad-records", "1", "--input", name]
    if how == "fail":
        arguments += ["--param", "fail=1", "--skip-bad-records", "0"]
    done = command.run(*arguments)
    assert done.code == (0 if how == "good" else 1), done.told
    told = done.told
    if how == "fail" and not workers:
        told = told.replace(HOSTILE, "")  # what a program prints in one's own process is its own
    assert shown(told)
    assert r"\x1b[31m" in told
    assert told.count("\n    parts  ") == (how == "good")


def test_json_tells_it_in_ascii(tmp_path: Path) -> None:
    command = Command(tmp_path, ATTACK.format(hostile=HOSTILE, lines=LINES))
    done = subprocess.run(
        [sys.executable, "worker.py", "--input", "input.txt", "--output", "out", "--json"],
        cwd=command.folder,
        env=clean_environ(),
        capture_output=True,
        check=True,
    )
    assert done.stdout.isascii()
    assert json.loads(done.stdout)["counters"][LINES] == 2
