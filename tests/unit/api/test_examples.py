"""Every example, run as a person would run it, against an independent oracle."""

from __future__ import annotations

import collections
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / "examples"
TEXT = EXAMPLES / "wordcount" / "input.txt"


def run(example: str, output: Path, *arguments: str) -> dict[str, Any]:
    """The summary of `python worker.py ...`, after a look at `_SUCCESS`."""
    command = [sys.executable, str(EXAMPLES / example / "worker.py"), "--json", "-q"]
    command += ["--output", str(output), *arguments]
    done = subprocess.run(
        command, cwd=output.parent, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    success = json.loads((output / "_SUCCESS").read_bytes())
    for part in success["parts"]:
        content = (output / part["name"]).read_bytes()
        assert (part["size"], part["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    summary: dict[str, Any] = json.loads(done.stdout)
    assert summary["state"] == "succeeded"
    return summary


def lines_of(output: Path) -> list[list[str]]:
    parts = [part.read_text(encoding="utf-8") for part in sorted(output.glob("output-*"))]
    return [line.split("\t") for part in parts for line in part.split("\n")[:-1]]


def json_of(output: Path) -> dict[str, Any]:
    parts = [part.read_text(encoding="utf-8") for part in sorted(output.glob("output-*.jsonl"))]
    pairs = [json.loads(line) for part in parts for line in part.split("\n")[:-1]]
    return {pair["key"]: pair["value"] for pair in pairs}


def test_word_count(tmp_path: Path) -> None:
    words = collections.Counter(re.findall(r"\w+", TEXT.read_text(encoding="utf-8").lower()))
    assert words.total() > 20_000
    run("wordcount", tmp_path / "out", "--input", str(TEXT), "--mappers", "7", "--reducers", "3")
    found = lines_of(tmp_path / "out")
    assert {word: int(count) for word, count in found} == words
    assert len(found) == len(words)

    top = [sys.executable, str(EXAMPLES / "wordcount" / "top.py"), str(tmp_path / "out"), "5"]
    shown = subprocess.run(top, capture_output=True, text=True, timeout=60, check=True).stdout
    best = sorted(words.items(), key=lambda item: (-item[1], item[0]))[:5]
    assert [tuple(line.split()) for line in shown.splitlines()] == [
        (f"{count:,}", word) for word, count in best
    ]


def test_top_refuses_an_output_without_success(tmp_path: Path) -> None:
    top = [sys.executable, str(EXAMPLES / "wordcount" / "top.py"), str(tmp_path)]
    done = subprocess.run(top, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path} has no _SUCCESS: it is not a finished output\n"


def test_inverted_index(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    paragraphs = TEXT.read_text(encoding="utf-8").split("\n\n")
    expected = collections.defaultdict(set)
    for i, paragraph in enumerate(paragraphs[:150]):
        name = f"{i % 7}/{i}.txt"
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(paragraph, encoding="utf-8")
        for word in re.findall(r"\w+", paragraph.lower()):
            expected[word].add(name)
    arguments = ["--input", str(folder), "--mappers", "9", "--reducers", "2"]
    run("inverted_index", tmp_path / "out", *arguments, "--output-format", "jsonl")
    found = json_of(tmp_path / "out")
    assert found == {word: sorted(names) for word, names in expected.items()}


@pytest.mark.parametrize("fails_from", [400, 500])
def test_log_analysis(tmp_path: Path, fails_from: int) -> None:
    generate = [sys.executable, str(EXAMPLES / "log_analysis" / "generate.py"), "3000", "7"]
    log = subprocess.run(generate, capture_output=True, timeout=60, check=True).stdout
    (tmp_path / "log.jsonl").write_bytes(log)
    summary = run(
        "log_analysis",
        tmp_path / "out",
        *("--input", "log.jsonl", "--output-format", "jsonl", "--mappers", "5"),
        *("--param", f"fails_from={fails_from}"),
    )
    by_path = collections.defaultdict(list)
    for line in log.decode().splitlines():
        entry = json.loads(line)
        by_path[entry["path"]].append(entry)
    health = by_path.pop("/health")
    assert json_of(tmp_path / "out") == {
        path: {
            "requests": len(entries),
            "failed": sum(e["status"] >= fails_from for e in entries) / len(entries),
            "bytes": sum(e["bytes"] for e in entries),
            "slowest_ms": max(e["ms"] for e in entries),
        }
        for path, entries in by_path.items()
    }
    assert summary["counters"] == {"health checks": len(health), "requests": 3000 - len(health)}
    assert summary["ledger"]["combine_in"] > summary["ledger"]["combine_out"] > 0


@pytest.mark.parametrize("workers", [(), ("--workers", "2")])
def test_traffic(tmp_path: Path, workers: tuple[str, ...]) -> None:
    generate = [sys.executable, str(EXAMPLES / "log_analysis" / "generate.py"), "3000", "7"]
    log = subprocess.run(generate, capture_output=True, timeout=60, check=True).stdout
    (tmp_path / "log.jsonl").write_bytes(log)
    run(
        "traffic",
        tmp_path / "out",
        *("--input", "log.jsonl", "--output-format", "jsonl", "--mappers", "4", *workers),
    )
    expected: dict[tuple[str, int], list[int]] = {}
    for entry in map(json.loads, log.decode().splitlines()):
        if entry["path"] != "/health":
            row = expected.setdefault((entry["path"], entry["status"]), [0, 0])
            row[0] += 1
            row[1] += entry["bytes"]
    parts = sorted((tmp_path / "out").glob("output-*.jsonl"))
    pairs = [json.loads(line) for part in parts for line in part.read_text().splitlines()]
    assert {tuple(pair["key"]): pair["value"] for pair in pairs} == expected
    assert len(pairs) == len(expected)


def test_the_generated_log_depends_on_the_seed_alone() -> None:
    generate = [sys.executable, str(EXAMPLES / "log_analysis" / "generate.py"), "50"]
    first, again, other = (
        subprocess.run([*generate, seed], capture_output=True, timeout=60, check=True).stdout
        for seed in ("3", "3", "4")
    )
    assert first == again != other


def test_distributed_sort(tmp_path: Path) -> None:
    run(
        "distributed_sort",
        tmp_path / "out",
        *("--input", str(TEXT), "--reducers", "4", "--mappers", "6"),
        *("--output-format", "jsonl"),
    )
    parts = sorted((tmp_path / "out").glob("output-*.jsonl"))
    assert len(parts) == 4
    assert min(part.stat().st_size for part in parts) > TEXT.stat().st_size / 8
    lines = [line for part in parts for line in part.read_text(encoding="utf-8").split("\n")[:-1]]
    found = [json.loads(line)["key"] for line in lines]
    assert found == sorted(TEXT.read_text(encoding="utf-8").split("\n")[:-1])


@pytest.mark.parametrize(
    "worker", sorted(EXAMPLES.glob("*/worker.py")), ids=lambda p: p.parent.name
)
def test_examples_are_short_and_explained(worker: Path) -> None:
    assert len(worker.read_text(encoding="utf-8").splitlines()) <= 40
    assert (worker.parent / "README.md").is_file()


DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]


def python_blocks(document: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_of_documents_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", ["README.md", "docs/quickstart.md", "docs/worker-api.md"])
def test_workers_of_documents_run(document: str, tmp_path: Path) -> None:
    (worker,) = (block for block in python_blocks(ROOT / document) if "gomr.run(" in block)
    (tmp_path / "worker.py").write_text(worker, encoding="utf-8")
    command = [sys.executable, "worker.py", "-q", "--input", str(TEXT), "--output", "out"]
    subprocess.run(command, cwd=tmp_path, timeout=120, check=True)
    text = TEXT.read_text(encoding="utf-8")
    lengths = collections.Counter(str(len(line)) for line in text.split("\n")[:-1])
    oracle = lengths if document == "docs/quickstart.md" else collections.Counter(text.split())
    found = {k.replace("\\\\", "\\"): int(v) for k, v in lines_of(tmp_path / "out")}
    assert found == oracle


def test_the_tests_of_the_testing_document_pass(tmp_path: Path) -> None:
    blocks = python_blocks(ROOT / "docs" / "testing-your-worker.md")
    for i, block in enumerate(blocks):
        (tmp_path / f"test_{i}.py").write_text(block, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(
        [*command, "--rootdir", str(tmp_path), "-c", "/dev/null"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "4 passed" in done.stdout, done.stdout
