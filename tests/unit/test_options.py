"""Options: one definition for argv, environment, gomr.toml and the flow's schema."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from gomr_runtime.errors import UsageError
from gomr_runtime.options import FIELDS, RunOptions, parse
from gomr_runtime.quantities import format_duration, format_size, parse_duration, parse_size


@pytest.fixture(autouse=True)
def _no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in FIELDS:
        monkeypatch.delenv(f"GOMR_{name.upper()}", raising=False)


def flow_options(line: str) -> RunOptions:
    return parse(line.split(), inline=False)


def test_every_option_reaches_its_field() -> None:
    options = flow_options(
        "--input a --input b/*.txt --workers 2 --mappers 7 --reducers 3 --param x=1 --param y=a=b "
        "--run-id r-1 --resume r-1 --rerun --output out --output-format jsonl --overwrite "
        "--no-collect --memory 512MiB --max-record 2MB --skip-bad-records 4 "
        "--task-timeout 2m --timeout 1h --runtime local --store s --keep --json -v worker.py"
    )
    assert dataclasses.asdict(options) == dataclasses.asdict(
        RunOptions(
            worker="worker.py",
            input=("a", "b/*.txt"),
            workers=2,
            mappers=7,
            reducers=3,
            param={"x": "1", "y": "a=b"},
            run_id="r-1",
            resume="r-1",
            rerun=True,
            output="out",
            output_format="jsonl",
            overwrite=True,
            collect=False,
            memory="512MiB",
            max_record="2MB",
            skip_bad_records=4,
            task_timeout="2m",
            timeout="1h",
            runtime="local",
            store="s",
            keep=True,
            json=True,
            verbose=True,
        )
    )
    assert options.memory_bytes == 512 << 20
    assert options.max_record_bytes == 2_000_000
    assert options.task_timeout_seconds == 120.0
    assert options.timeout_seconds == 3600.0
    assert flow_options("--input a w.py").timeout_seconds is None


@pytest.mark.parametrize("flag", ["--workers", "--mappers", "--reducers"])
@pytest.mark.parametrize("count", ["0", "-1", "1.5", "1000000000", "ten", "", "9" * 5000, "١"])
def test_wrong_counts_are_refused_by_name(flag: str, count: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(["--input", "a", f"{flag}={count}", "w.py"], inline=False)
    assert flag in str(caught.value)
    assert "whole number" in str(caught.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("w.py", "--input is missing"),
        ("--input= w.py", "--input"),
        ("--input a", "WORKER.py is missing"),
        ("--input a w.py x.py", "unrecognized arguments: x.py"),
        ("--inp a w.py", "--inp"),
        ("--input a --mappers 1000000 --reducers 100000 w.py", "product"),
        ("--input a --memory 191MB w.py", "--memory"),
        ("--input a --memory 2G w.py", "512MB"),
        ("--input a --memory lots w.py", "--memory"),
        ("--input a --max-record 0 w.py", "--max-record"),
        ("--input a --max-record 2GiB w.py", "--max-record"),
        ("--input a --task-timeout 0 w.py", "--task-timeout"),
        ("--input a --timeout soon w.py", "--timeout"),
        ("--input a --param novalue w.py", "NAME=VALUE"),
        ("--input a --param =1 w.py", "NAME=VALUE"),
        ("--input a --run-id A_B w.py", "--run-id"),
        ("--input a --resume A_B w.py", "--resume"),
        ("--input a --resume a --run-id b w.py", "two runs"),
        ("--input a --rerun w.py", "--rerun is for --resume"),
        ("--input a --run-id " + "a" * 40 + " w.py", "at most 39"),
        ("--input a --output-format xml w.py", "none of text, jsonl, csv, parquet"),
        ("--input a --runtime cloud w.py", "none of auto, local, kubernetes"),
        ("--input a --skip-bad-records -1 w.py", "--skip-bad-records"),
        ("--input a --load docker w.py", "--load"),
        ("--input a --namespace Up w.py", "--namespace"),
        ("--input a --worker-image :x w.py", "--worker-image"),
        ("--input a -q -v w.py", "contradict"),
        ("--input a --s3-secret-key x w.py", "--s3-secret-key"),
    ],
)
def test_wrong_arguments_are_one_line(line: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        flow_options(line)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_argv_beats_environment_beats_file_beats_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gomr.toml").write_text(
        'workers = 1\nmappers = 1\nreducers = 1\nmemory = 300_000_000\noutput-format = "csv"\n'
        'keep = true\nparam = {a = "file", b = "file", n = 3}\n[s3]\nendpoint = "http://x"\n'
    )
    monkeypatch.setenv("GOMR_MAPPERS", "2")
    monkeypatch.setenv("GOMR_REDUCERS", "2")
    monkeypatch.setenv("GOMR_KEEP", "no")
    monkeypatch.setenv("GOMR_PARAM", "b=env")
    monkeypatch.setenv("GOMR_INPUT", "'one file' two")
    options = flow_options("--reducers 3 --param c=argv w.py")
    assert (options.workers, options.mappers, options.reducers) == (1, 2, 3)
    assert options.input == ("one file", "two")
    assert options.memory_bytes == 300_000_000
    assert options.output_format == "csv"
    assert options.keep is False
    assert options.param == {"a": "file", "b": "env", "n": "3", "c": "argv"}
    assert options.task_timeout_seconds == 600.0


@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("worker_s = 3", "'worker_s', only 'workers'"),
        ("workers = 0", "gomr.toml: workers"),
        ("workers = true", "whole number"),
        ("workers = [1]", "whole number"),
        ("keep = 'yes'", "keep"),
        ("input = [1]", "list of strings"),
        ("memory = '1'", "memory"),
        ("workers =", "cannot be read"),
    ],
)
def test_a_wrong_settings_file_is_named(tmp_path: Path, toml: str, words: str) -> None:
    (tmp_path / "gomr.toml").write_text(toml)
    with pytest.raises(UsageError, match=r"gomr\.toml") as caught:
        flow_options("--input a w.py")
    assert words in str(caught.value)


def test_a_wrong_environment_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMR_WORKERS", "0")
    with pytest.raises(UsageError, match="GOMR_WORKERS: 0 is not a whole number"):
        flow_options("--input a w.py")


def test_inline_takes_its_subset_and_is_its_own_worker(tmp_path: Path) -> None:
    options = parse(["--input", "a", "--workers", "2"], inline=True, worker="w.py")
    assert (options.worker, options.workers) == ("w.py", 2)
    for line in ("--input a w.py", "--input a --runtime local", "--input a --context x"):
        with pytest.raises(UsageError, match="unrecognized"):
            parse(line.split(), inline=True, worker="w.py")
    (tmp_path / "gomr.toml").write_text("runtime = 'kubernetes'\nworkers = 3\n")
    options = parse(["--input", "a"], inline=True, worker="w.py")
    assert (options.runtime, options.workers) == ("auto", 3)


def test_pydantic_sees_the_same_definition() -> None:
    adapter = TypeAdapter(RunOptions)
    schema = adapter.json_schema()
    assert set(schema["properties"]) == set(FIELDS)
    assert schema["required"] == ["worker", "input"]
    assert schema["properties"]["workers"]["anyOf"][0] == {
        "maximum": 10_000,
        "minimum": 1,
        "type": "integer",
    }
    assert all(field["description"] for field in schema["properties"].values())
    given = {"worker": "w.py", "input": ["a"], "workers": 2}
    expected = RunOptions(worker="w.py", input=("a",), workers=2)
    assert adapter.validate_python(given) == expected
    assert adapter.validate_json(adapter.dump_json(expected)) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        {"workers": 0},
        {"workers": 1.5},
        {"mappers": 10**9},
        {"mappers": 10**6, "reducers": 10**5},
        {"input": []},
        {"worker": ""},
        {"memory": "1MB"},
        {"output_format": "xml"},
        {"run_id": "A"},
        {"no_such_option": 1},
    ],
)
def test_pydantic_refuses_what_argv_refuses(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(RunOptions).validate_python({"worker": "w.py", "input": ["a"]} | wrong)


def test_a_program_is_held_to_the_same_bounds() -> None:
    with pytest.raises(ValueError, match="--workers: 0"):
        RunOptions(worker="w.py", input=("a",), workers=0)
    with pytest.raises(ValueError, match="--workers: True"):
        RunOptions(worker="w.py", input=("a",), workers=True)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("4096", 4096),
        ("1kB", 1000),
        ("1KiB", 1024),
        ("1.5 GB", 1_500_000_000),
        ("64mib", 64 << 20),
        ("2Gi", 2 << 30),
        ("1TB", 10**12),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "-1", "1G", "1e9", "GB", "1 XB", "nan", "1GBB"])
def test_wrong_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="no size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("0.5s", 0.5), ("10m", 600), ("2h", 7200), ("1d", 86400)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1", "1w", "inf", "h"])
def test_wrong_durations(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        parse_duration(text)


def test_quantities_for_people() -> None:
    assert [format_size(n) for n in (0, 999, 1000, 12_345_678)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "12.3 MB",
    ]
    assert [format_duration(s) for s in (0.04, 12.3, 185, 7620)] == [
        "0.0 s",
        "12 s",
        "3 min 05 s",
        "2 h 07 min",
    ]


def test_parsing_is_light_and_help_is_quick() -> None:
    script = (
        "import sys\n"
        "from gomr_runtime.options import parse\n"
        "parse(['--input', 'a', 'w.py'], inline=False)\n"
        "heavy = {'prefect', 'pydantic', 'pyarrow', 'numpy', 'grpc', 'rich', 'asyncio'}\n"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))\n"
    )
    root = Path(__file__).parents[2]
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
    assert time.monotonic() - started < 2.0
