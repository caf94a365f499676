"""Options: one definition for argv, environment, gomr.toml and the flow's schema."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter, ValidationError

from gomr_runtime.errors import UsageError
from gomr_runtime.model.job import JobSpec
from gomr_runtime.model.quantities import format_duration, format_size, parse_duration, parse_size
from gomr_runtime.options.declared import FIELDS, RunOptions, parse
from gomr_runtime.runs.place import this_machine
from gomr_runtime.testing import run_local


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
        ("--input a w.py x.py", "unexpected argument x.py: one --input takes one path"),
        ("--inp a w.py", "there is no option --inp: did you mean --input?"),
        ("--input a --mappers 1000000 --reducers 100000 w.py", "product"),
        ("--input a --memory 191MB w.py", "--memory: '191MB' is too small: give at least 192MB"),
        ("--input a --memory 17TiB w.py", "--memory: '17TiB' is too large: give at most 16TiB"),
        ("--input a --memory 2G w.py", "512MB"),
        ("--input a --memory lots w.py", "--memory"),
        ("--input a --max-record 0 w.py", "--max-record"),
        ("--input a --max-record 2GiB w.py", "--max-record"),
        ("--input a --task-timeout 0 w.py", "--task-timeout"),
        ("--input a --timeout soon w.py", "--timeout"),
        ("--input a --param novalue w.py", "NAME=VALUE"),
        ("--input a --param =1 w.py", "NAME=VALUE"),
        ("--input a --run-id A_B w.py", "--run-id: 'A_B' is no run id: use a-z"),
        ("--input a --resume A_B w.py", "argument --resume: 'A_B' is no run id: use a-z"),
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
        'keep = true\nparam = {a = "file", b = "file", n = 3}\n'
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
        ("worker_s = 3", "no option 'worker_s': did you mean 'workers'?"),
        ("outputs-format = 'csv'", "no option 'outputs-format': did you mean 'output-format'?"),
        ("zzz = 3", "there is no option 'zzz'"),
        (
            "[s3]\nend-point = 'http://x'",
            "[s3]: there is no setting 'end-point': did you mean",
        ),
        (
            "[s3]\nbucket = 'canary'",
            "[s3]: there is no setting 'bucket': there are endpoint",
        ),
        ("[s3]\nsecret_key = 17", "[s3] secret_key: write it as text, in quotes"),
        ("[s3]\nread_timeout = true", "[s3] read_timeout: write it as text"),
        ("s3 = 'http://x'", "s3: write it as a table"),
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


@pytest.mark.parametrize(
    ("variable", "near"),
    [
        ("GOMR_REDUCER", "GOMR_REDUCERS"),
        ("GOMR_OUTPUTFORMAT", "GOMR_OUTPUT_FORMAT"),
        ("GOMR_OUT", ""),
        ("GOMR_MEM", "GOMR_MEMORY"),
        ("GOMR_SKIP_BAD", "GOMR_SKIP_BAD_RECORDS"),
        ("GOMR_WORKER_IMAGES", "GOMR_WORKER_IMAGE"),
        ("GOMR_S3_SECRET", "GOMR_S3_SECRET_KEY"),
        ("GOMR_S3_ACCESS_KEY_ID", "GOMR_S3_ACCESS_KEY"),
        ("GOMR_S3_END_POINT", "GOMR_S3_ENDPOINT"),
        ("GOMR_S3_ENDPOINT_FILES", "GOMR_S3_ENDPOINT_FILE"),
    ],
)
def test_a_misspelt_variable_is_answered_with_the_near_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, near: str
) -> None:
    monkeypatch.setenv(variable, "3")
    if not near:  # `output` or `output_format`: nobody can tell
        assert flow_options("--input a w.py").output == ""
        return
    for inline in (True, False):
        with pytest.raises(UsageError, match=f"{variable}: nothing reads it: .* {near}[?]"):
            parse(["--input", "a"], inline=inline, worker="w.py")


def test_variables_of_others_are_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["CACHE", "CLUSTER", "NO_SKIP", "SIMULATED_SEEDS", "MINIO_VERSION", "HOME", "STATE"]
    names += [
        "PURE",
        "ALIVE_FILE",
        "BASE_IMAGE",
        "MINIO_IMAGE",
        "MINIO_ALLOW_UNPATCHED",
        "PART_OF",
        "S3_REGION_FILE",
    ]
    for name in names:
        monkeypatch.setenv(f"GOMR_{name}", "0")
    monkeypatch.setenv("GOMR", "x")
    monkeypatch.setenv("GOMR_RUNTIME", "local")  # known, though this command does not take it
    assert parse(["--input", "a"], inline=True, worker="w.py").runtime == "auto"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--input a --reducer 3", "there is no option --reducer: did you mean --reducers?"),
        ("--input a --reducer=3", "there is no option --reducer: did you mean --reducers?"),
        ("--input a -reducers 3", "there is no option -reducers: did you mean --reducers?"),
        ("--input a --out x", "there is no option --out (see"),
        ("--input a --skip-bad 3", "no option --skip-bad: did you mean --skip-bad-records?"),
        ("--input a --taks-timeout 3", "did you mean --task-timeout?"),
        ("--input a --overwrit", "did you mean --overwrite?"),
        ("--input a --xyz", "there is no option --xyz (see --help)"),
        ("--input a.txt b.txt --reducer 3", "there is no option --reducer: did you mean"),
    ],
)
def test_a_misspelt_option_is_answered_with_the_near_name(line: str, words: str) -> None:
    for inline in (True, False):
        with pytest.raises(UsageError) as caught:
            parse(line.split(), inline=inline, worker="w.py")
        assert words in str(caught.value)


@pytest.mark.parametrize("files", [["a.txt", "b.txt"], ["a.txt", "b.txt", "c.txt"]])
def test_a_pattern_that_the_shell_has_expanded_gets_a_hint(files: list[str]) -> None:
    hint = "one --input takes one path; repeat --input, or quote a pattern so that the shell"
    with pytest.raises(UsageError, match=f"unexpected argument b.txt: {hint}"):
        parse(["--input", *files, "--output", "o"], inline=True, worker="w.py")
    for line in (["--input", *files, "w.py"], ["w.py", "--input", *files, "--output", "o"]):
        with pytest.raises(UsageError, match=hint):
            parse(line, inline=False)


ADDRESSES = {
    "s3://b/x": "an output can only go to a directory",
    "S3://b/x": "only go to a directory",
    "s3:/b/x": "only go to a directory of this machine (./s3:/b/x is a folder of that name)",
    "gs://b/x": "only go to a directory",
    "hdfs://n:1/x": "only go to a directory",
    "file:///a/b": "write the path alone, /a/b",
    "file://localhost/a/b": "write the path alone, /a/b",
    "file://host/a/b": "only go to a directory",
    "file:/a/b": "write the path alone, /a/b",
    "-": "an output cannot go to standard output: give a directory",
    "~/x": "the ~ is not expanded here",
    "~": "the ~ is not expanded here",
    "~me/x": "the ~ is not expanded here",
    f"a/{'ü' * 128}/b": "a name in it is longer than 255 bytes",
}


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_output_goes_to_a_directory_and_nowhere_else(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ADDRESSES[address]
    with pytest.raises(UsageError) as caught:
        flow_options(f"--input a --output {address} w.py")
    assert words in str(caught.value)
    with pytest.raises(ValidationError):
        TypeAdapter(RunOptions).validate_python({"worker": "w", "input": ["a"], "output": address})
    (tmp_path / "gomr.toml").write_text(f"output = {address!r}")
    with pytest.raises(UsageError, match=r"gomr\.toml: output: ") as caught:
        flow_options("--input a w.py")
    assert words in str(caught.value)
    monkeypatch.setenv("GOMR_OUTPUT", address)
    (tmp_path / "gomr.toml").unlink()
    with pytest.raises(UsageError, match="variable GOMR_OUTPUT: ") as caught:
        parse(["--input", "a"], inline=True, worker="w.py")
    assert words in str(caught.value)


@pytest.mark.parametrize("output", ["./s3:/b", "/a:/b", "a/s3://b", "x~", "a~/b", "c:/x"])
def test_folders_may_have_odd_names(output: str) -> None:
    assert parse(["--input=a", f"--output={output}"], inline=True, worker="w").output == output


@pytest.mark.parametrize(
    ("option", "address", "words"),
    [
        ("store", "gs://b", "gs://b: give a directory or s3://bucket/prefix"),
        ("store", "file:///x", "write the path alone, /x"),
        ("store", "s3:/b/x", "s3:/b/x: write s3://b/x"),
        ("store", "-", "no place for a run's data"),
        ("store", "~/x", "~ is not expanded"),
        ("store", "n" * 256, "a name in it is longer than 255 bytes"),
        ("input", "gs://b", "gs://b: give a file, directory, glob, - or s3://bucket/prefix"),
        ("input", "https://h/x.txt", "give a file, directory"),
        ("input", "S3://b/x", "write s3://b/x"),
        ("input", "s3:/b/x", "write s3://b/x"),
        ("input", "file:///a b", "write the path alone, /a b"),
        ("input", "~/x", "~ is not expanded"),
    ],
)
def test_stores_and_inputs_of_other_kinds_are_refused(
    option: str, address: str, words: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        parse(["--input=a", f"--{option}={address}", "w.py"], inline=False)
    assert words in str(caught.value)
    given = {"worker": "w.py", "input": ["a"]}
    value = [address] if option == "input" else address
    with pytest.raises(ValidationError):
        TypeAdapter(RunOptions).validate_python(given | {option: value})
    (tmp_path / "gomr.toml").write_text(f"{option} = {address!r}")
    with pytest.raises(UsageError, match=rf"gomr\.toml: {option}: "):
        flow_options("--input a w.py")


def test_defaults_are_written_once() -> None:
    options = RunOptions(worker="w.py", input=("a",))
    job = JobSpec("r", (), 1, 1, 1, "", "")
    assert (job.memory, job.max_record) == (options.memory_bytes, options.max_record_bytes)
    assert job.task_timeout == options.task_timeout_seconds
    assert inspect.signature(run_local).parameters["memory"].default == job.memory


CLUSTER_VALUES = {
    "context": "c",
    "credentials": "c",
    "namespace": "n",
    "worker_image": "i",
    "master_image": "i",
    "load": "kind",
    "store_size": "30GiB",
}


def test_every_option_of_a_cluster_is_refused_on_this_machine() -> None:
    names = {f.name for f in FIELDS.values() if f.metadata["group"] == "kubernetes"}
    assert names == set(CLUSTER_VALUES)
    for name, value in CLUSTER_VALUES.items():
        options = RunOptions(worker="w.py", input=("a",), **{name: value})  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=f"--{name.replace('_', '-')} is for a cluster"):
            this_machine(options)
    this_machine(RunOptions(worker="w.py", input=("a",)))


def test_inline_takes_its_subset_and_is_its_own_worker(tmp_path: Path) -> None:
    options = parse(["--input", "a", "--workers", "2"], inline=True, worker="w.py")
    assert (options.worker, options.workers) == ("w.py", 2)
    for line, words in (
        ("--input a w.py", "unexpected argument w.py"),
        ("--input a --runtime local", "--runtime is an option of `python -m flows.gomr`"),
        ("--input a --context=x", "--context is an option of `python -m flows.gomr`"),
    ):
        with pytest.raises(UsageError, match=words):
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


def test_what_is_on_by_default_says_what_on_means_and_its_flag_what_off_means(
    capsys: pytest.CaptureFixture[str],
) -> None:
    schema = TypeAdapter(RunOptions).json_schema()
    assert schema["properties"]["collect"]["description"].startswith("bring the output here")
    with pytest.raises(SystemExit):
        parse(["--help"], inline=False)
    shown = " ".join(capsys.readouterr().out.split())
    assert "--no-collect leave the output in the store" in shown
    on = {name for name, option in FIELDS.items() if option.default is True}
    assert {name for name, option in FIELDS.items() if option.metadata["off"]} == on


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


def test_parsing_is_light() -> None:
    script = (
        "import sys\n"
        "from gomr_runtime.options.declared import parse\n"
        "parse(['--input', 'a', 'w.py'], inline=False)\n"
        "heavy = {'prefect', 'pydantic', 'pyarrow', 'numpy', 'grpc', 'rich', 'asyncio'}\n"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
