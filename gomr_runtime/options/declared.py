"""What a run can be told, once: the command line, the environment, `gomr.toml`, the flow's schema.

`RunOptions` is a plain dataclass, so that argument errors answer without importing pydantic;
pydantic (and with it Prefect's form and API) reads descriptions and bounds from the same fields.
An option given twice counts by precedence: argv, then `GOMR_<NAME>`, then `gomr.toml`.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal, get_args

from gomr_runtime.errors import UsageError
from gomr_runtime.model.inputs.addresses import check_output, check_store
from gomr_runtime.model.job import DEFAULT_MAX_RECORD, DEFAULT_MEMORY, DEFAULT_TASK_TIMEOUT
from gomr_runtime.model.layout import check_run_id
from gomr_runtime.model.output_formats import OutputFormatName
from gomr_runtime.model.quantities import parse_duration, parse_size
from gomr_runtime.options.arguments import (
    Option,
    build_parser,
    check_value,
    flag,
    is_true,
    read_environment,
    read_settings,
)
from gomr_runtime.options.bounds import matching, size_between
from gomr_runtime.options.metadata import about, check_inputs
from gomr_runtime.system.settings import SETTINGS_FILE, read_table, variables

FLOW = "python -m flows.gomr"
SMALLEST_MEMORY, LARGEST_MEMORY = "192MB", "16TiB"
LARGEST_RECORD = f"{2**31 - 1}B"  # offsets within a block are 32 bits wide
LARGEST_SHUFFLE = 10**7  # mappers x reducers: every pair of them is one read

_IMAGE = re.compile(r"[a-z0-9][\w./:-]*(@sha256:[0-9a-f]{64})?", re.ASCII)
_LOAD = re.compile(r"kind|minikube|k3d|none|registry:[\w.-]+(:\d+)?(/[\w./-]+)?", re.ASCII)

Runtime = Literal["auto", "local", "kubernetes"]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Everything one run can be told. Sizes and durations are text, as a person writes them;
    `memory_bytes` and its likes are the numbers. Raises ValueError naming the option.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    worker: str = field(metadata=about("the worker file: plain Python that calls gomr.run"))
    input: tuple[str, ...] = field(
        metadata=about(
            "file, directory, glob, - for stdin, or s3://bucket/prefix; may be repeated",
            inline=True,
            metavar="PATH",
            check=check_inputs,
        )
    )
    workers: int | None = field(
        default=None,
        metadata=about(
            "worker processes (default: one for each core; python worker.py: none, all in one)",
            inline=True,
            bounds=(1, 10_000),
        ),
    )
    mappers: int | None = field(
        default=None,
        metadata=about(
            "map tasks (default: by input size, files and workers)",
            inline=True,
            bounds=(1, 1_000_000),
        ),
    )
    reducers: int | None = field(
        default=None,
        metadata=about(
            "reduce tasks, that is parts of the output (default: by input size)",
            inline=True,
            bounds=(1, 100_000),
        ),
    )
    param: dict[str, str] = field(
        default_factory=dict,
        metadata=about("goes to ctx.params; may be repeated", inline=True, metavar="NAME=VALUE"),
    )
    run_id: str = field(
        default="",
        metadata=about(
            "name of the run: a-z, 0-9 and -, at most 39 (default: made up)",
            inline=True,
            metavar="RUN",
            check=check_run_id,
        ),
    )
    resume: str = field(
        default="",
        metadata=about(
            "go on with this run, which failed, was cancelled or was killed",
            inline=True,
            metavar="RUN",
            check=check_run_id,
        ),
    )
    rerun: bool = field(
        default=False,
        metadata=about(
            "with --resume: run every task again, with the worker file as it is now", inline=True
        ),
    )
    output: str = field(
        default="",
        metadata=about(
            "where the parts and _SUCCESS go (default: outputs/RUN)",
            group="output",
            inline=True,
            metavar="DIR",
            check=check_output,
        ),
    )
    output_format: OutputFormatName = field(
        default="text",
        metadata=about(
            "format of the parts",
            group="output",
            inline=True,
            choices=get_args(OutputFormatName),
        ),
    )
    overwrite: bool = field(
        default=False,
        metadata=about("replace the output of an earlier run", group="output", inline=True),
    )
    collect: bool = field(
        default=True,
        metadata=about(
            "bring the output here; else it stays in the store",
            group="output",
            off="leave the output in the store instead of bringing it here",
        ),
    )
    memory: str = field(
        default=DEFAULT_MEMORY,
        metadata=about(
            "memory of the process that runs your code, at least 192MB",
            group="limits",
            inline=True,
            metavar="SIZE",
            check=size_between(SMALLEST_MEMORY, LARGEST_MEMORY),
        ),
    )
    max_record: str = field(
        default=DEFAULT_MAX_RECORD,
        metadata=about(
            "longest record",
            group="limits",
            inline=True,
            metavar="SIZE",
            check=size_between("1B", LARGEST_RECORD),
        ),
    )
    skip_bad_records: int = field(
        default=0,
        metadata=about(
            "set aside up to N bad records in the whole run",
            group="limits",
            inline=True,
            bounds=(0, 10**9),
        ),
    )
    task_timeout: str = field(
        default=DEFAULT_TASK_TIMEOUT,
        metadata=about(
            "longest time without a sign of life from your code",
            group="limits",
            inline=True,
            metavar="TIME",
            check=parse_duration,
        ),
    )
    timeout: str = field(
        default="",
        metadata=about(
            "deadline of the whole run (default: none)",
            group="limits",
            metavar="TIME",
            check=parse_duration,
        ),
    )
    runtime: Runtime = field(
        default="auto",
        metadata=about("where master and workers run", group="runtime", choices=get_args(Runtime)),
    )
    store: str = field(
        default="",
        metadata=about(
            "where the run's data lives: a directory or s3://bucket/prefix (default: .gomr)",
            group="runtime",
            inline=True,
            metavar="URL",
            check=check_store,
        ),
    )
    keep: bool = field(
        default=False,
        metadata=about("keep intermediate data after success", group="runtime", inline=True),
    )
    context: str = field(
        default="",
        metadata=about("kubectl context of the cluster", group="kubernetes", metavar="NAME"),
    )
    credentials: str = field(
        default="",
        metadata=about(
            "Prefect block of type KubernetesCredentials (default: the kubeconfig)",
            group="kubernetes",
            metavar="BLOCK",
        ),
    )
    namespace: str = field(
        default="",
        metadata=about(
            "namespace on the cluster",
            group="kubernetes",
            metavar="NAME",
            check=matching(re.compile(r"[a-z0-9](-*[a-z0-9]){0,62}"), "a namespace"),
        ),
    )
    worker_image: str = field(
        default="",
        metadata=about(
            "use this image for workers, build none",
            group="kubernetes",
            metavar="REF",
            check=matching(_IMAGE, "an image reference"),
        ),
    )
    master_image: str = field(
        default="",
        metadata=about(
            "use this image for the master, build none",
            group="kubernetes",
            metavar="REF",
            check=matching(_IMAGE, "an image reference"),
        ),
    )
    load: str = field(
        default="",
        metadata=about(
            "how images reach the nodes: kind, minikube, k3d, registry:HOST/PREFIX or none",
            group="kubernetes",
            metavar="HOW",
            check=matching(_LOAD, "kind, minikube, k3d, registry:HOST/PREFIX or none"),
        ),
    )
    store_size: str = field(
        default="20GiB",
        metadata=about(
            "size of the object store on the cluster",
            group="kubernetes",
            metavar="SIZE",
            check=size_between("1GB", "1024TiB"),
        ),
    )
    profile: bool = field(
        default=False,
        metadata=about(
            "say in the summary where the time of the tasks went", group="messages", inline=True
        ),
    )
    json: bool = field(
        default=False,
        metadata=about("print the summary as one JSON object", group="messages", inline=True),
    )
    quiet: bool = field(
        default=False,
        metadata=about("no progress, only errors", group="messages", inline=True, short="-q"),
    )
    verbose: bool = field(
        default=False, metadata=about("say more", group="messages", inline=True, short="-v")
    )

    def __post_init__(self) -> None:
        for option in FIELDS.values():
            value = getattr(self, option.name)
            try:
                check_value(option, value)
            except (ValueError, UsageError) as error:
                raise ValueError(f"{flag(option)}: {error}") from None
        if not self.worker:
            raise ValueError("WORKER.py is missing: name the worker file")
        check_shuffle(self.mappers or 1, self.reducers or 1)
        if self.resume and self.run_id not in {"", self.resume}:
            raise ValueError("--resume and --run-id name two runs: give one of them")
        if self.rerun and not self.resume:
            raise ValueError("--rerun is for --resume RUN")
        if self.quiet and self.verbose:
            raise ValueError("--quiet and --verbose contradict each other")

    @property
    def memory_bytes(self) -> int:
        return parse_size(self.memory)

    @property
    def max_record_bytes(self) -> int:
        return parse_size(self.max_record)

    @property
    def task_timeout_seconds(self) -> float:
        return parse_duration(self.task_timeout)

    @property
    def timeout_seconds(self) -> float | None:
        return parse_duration(self.timeout) if self.timeout else None


FIELDS: dict[str, Option] = {f.name: f for f in dataclasses.fields(RunOptions)}


def check_shuffle(mappers: int, reducers: int) -> None:
    """Raise ValueError if so many tasks would make the shuffle absurdly large."""
    if mappers * reducers > LARGEST_SHUFFLE:
        raise ValueError(
            f"{mappers:,} mappers x {reducers:,} reducers: their product may be at most "
            f"{LARGEST_SHUFFLE:,}"
        )


def asks_for_json(argv: Sequence[str]) -> bool:
    """Whether the command is to answer in JSON, also where its options turn out to be wrong."""
    told = variables()
    if "--json" in argv or is_true(told.get("GOMR_JSON", "")):
        return True
    with suppress(OSError, ValueError):
        settings = read_table(Path(SETTINGS_FILE))
        return settings.get("json") is True and "GOMR_JSON" not in told
    return False


def parse(argv: Sequence[str], inline: bool, worker: str = "") -> RunOptions:
    """Read the options from `argv`, the environment and `./gomr.toml`; `--help` prints and exits 0.

    Args:
        argv: The arguments without the program's name.
        inline: Parse for `python worker.py …`, which takes fewer options and no WORKER argument.
        worker: The worker file if `inline`, by default the running script.

    Raises:
        UsageError: An option is unknown or has no possible value.
    """
    fields = [f for f in FIELDS.values() if not inline or f.metadata["inline"]]
    parser = build_parser(fields, inline)
    parser.elsewhere = {flag(f): FLOW for f in FIELDS.values() if f not in fields}
    given = vars(parser.parse_args(argv))
    if inline:
        given["worker"] = worker or sys.argv[0]
    settings = read_settings(Path(SETTINGS_FILE), fields, known=FIELDS)
    environment = read_environment(fields, known=FIELDS)
    merged = settings | environment | given
    merged["param"] = {
        name: value
        for source in (settings, environment, given)
        for name, value in dict(source.get("param", {})).items()
    }
    if "input" not in merged:
        raise UsageError("--input is missing: name a file, directory, glob, - or s3:// address")
    if "worker" not in merged:
        raise UsageError("WORKER.py is missing: name the worker file after the options")
    try:
        return RunOptions(**merged)
    except ValueError as error:
        raise UsageError(str(error)) from None
