"""Every object key of a run is built here; data keys carry task, attempt and nonce.

runs/<run>/job.json                      what the client asked for
runs/<run>/program.json                  the worker file and the modules beside it
runs/<run>/epoch/<n>                     one per master start, then the run's end, create-only
runs/<run>/plan.json                     description and splits, create-only
runs/<run>/files/<sha256>                the input files, where they are many; see file_table
runs/<run>/data/<task>/<attempt>-<nonce>/<role>    what attempts wrote
runs/<run>/data/typed/<epoch>/<part> parts of parquet under the schema that all of them have
runs/<run>/commit/<task>[.<generation>]  manifest of the winning attempt, create-only
runs/<run>/maps[.<n>]                    the committed map outputs, for reducers, create-only
runs/<run>/summary.json                  how the run ended
outputs/<run>/output-NNNNN.txt, _SUCCESS the output
outputs/<run>/_bad/map-NNNNN.jsonl       records that a map task set aside, part of the output
outputs/<run>/_logs/<name>               what a master said; what an attempt printed
inputs/<sha256>                          an uploaded input, shared between runs
inputs-used/<run>                        which uploaded inputs a run uses, and since when
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence

from gomr_runtime.errors import UsageError
from gomr_runtime.model.summary import Part
from gomr_runtime.model.task import TaskSpec

RUN_ID = re.compile(r"[a-z0-9](-?[a-z0-9]){0,38}")


def check_run_id(run: str) -> str:
    """`run` itself, or UsageError: it becomes part of paths and of Kubernetes names."""
    if len(run) > 39 or not RUN_ID.fullmatch(run):
        raise UsageError(f"{run!r} is no run id: use a-z, 0-9 and single inner '-', at most 39")
    return run


def run_prefix(run: str) -> str:
    return f"runs/{run}/"


def job(run: str) -> str:
    return f"runs/{run}/job.json"


def program(run: str) -> str:
    return f"runs/{run}/program.json"


def epochs(run: str) -> str:
    return f"runs/{run}/epoch/"


def epoch(run: str, number: int) -> str:
    return f"runs/{run}/epoch/{number:06d}"


def epoch_number(key: str) -> int:
    """Of a key below `epochs`; 0 for one that is not ours."""
    name = key.rpartition("/")[2]
    return int(name) if name.isascii() and name.isdigit() else 0


def plan(run: str) -> str:
    return f"runs/{run}/plan.json"


def files(run: str, sha256: str) -> str:
    """sha256: of the table that is there."""
    return f"runs/{run}/files/{sha256}"


def data(run: str) -> str:
    return f"runs/{run}/data/"


def map_data(run: str) -> str:
    """What the keys of all map outputs begin with."""
    return f"{data(run)}map-"


def attempt_data(task: TaskSpec, role: str) -> str:
    return f"runs/{task.run}/data/{task.name}/{task.attempt}-{task.nonce}/{role}"


def typed_part(run: str, number: int, name: str) -> str:
    """Where the master of epoch `number` puts a part under the schema of the job."""
    return f"runs/{run}/data/typed/{number:06d}/{name}"


def commits(run: str) -> str:
    return f"runs/{run}/commit/"


def commit(run: str, task_name: str, generation: int = 0) -> str:
    """A generation begins when what the one before committed is proven bad."""
    return f"runs/{run}/commit/{task_name}" + (f".{generation}" if generation else "")


def maps(run: str, number: int = 0) -> str:
    """The first list of map outputs, or the one stored after maps had run again."""
    return f"runs/{run}/maps" + (f".{number}" if number else "")


def summary(run: str) -> str:
    return f"runs/{run}/summary.json"


def output_prefix(run: str) -> str:
    return f"outputs/{run}/"


def success(run: str) -> str:
    return f"outputs/{run}/_SUCCESS"


def log(run: str, name: str) -> str:
    return f"outputs/{run}/_logs/{name}"


def uploaded(sha256: str) -> str:
    return f"inputs/{sha256}"


def inputs_used(run: str = "") -> str:
    return f"inputs-used/{run}"


def promoted(run: str, parts: Sequence[Part]) -> tuple[Part, ...]:
    """The parts with the keys that `promote` gives them."""
    prefix = output_prefix(run)
    return tuple(dataclasses.replace(part, key=prefix + part.name) for part in parts)
