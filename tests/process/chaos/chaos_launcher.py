"""`python -m tests.process.chaos.chaos_launcher FOLDER N`: what `python worker.py --workers` does,
with the lease and the store that chaos wants; start N of the run, from the second on a `--resume`.

Writes `ended-N.json`: the summary, and what this process has left behind in itself.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import threading
from pathlib import Path

from gomr_runtime.codec.fields import to_json
from gomr_runtime.errors import GomrError
from gomr_runtime.model.summary import Summary
from gomr_runtime.options.declared import RunOptions
from gomr_runtime.publishing.publish import publish
from gomr_runtime.rpc.client import RunClient
from gomr_runtime.runs.local import LocalRun
from gomr_runtime.runs.local_processes import run_local
from gomr_runtime.runs.prepare import Prepared, prepare
from gomr_runtime.runs.progress import reporter
from gomr_runtime.runs.resume import reopen
from gomr_runtime.storage.open_store import open_store


def prepared(folder: Path, start: int) -> Prepared:
    """The job in `run.json`: `options` for RunOptions, `job` for what only a JobSpec has."""
    given = json.loads((folder / "run.json").read_text())
    options = RunOptions(
        worker=str(folder / "worker.py"),
        input=(str(folder / "input.txt"),),
        output=str(folder / "out"),
        keep=True,
        run_id="" if start else given["run"],
        resume=given["run"] if start else "",
        **given["options"],
    )
    found = prepare(options)
    return dataclasses.replace(found, job=dataclasses.replace(found.job, **given["job"]))


def run_on_s3(job: Prepared, logs: Path) -> Summary:
    """As the flow does it where the store is no directory."""
    if job.complete is not None:
        return job.complete
    spec, store = job.job, open_store(job.store)
    if job.options.resume:
        spec = reopen(store, spec, rerun=False)
    with LocalRun(spec, job.worker.program, job.store, log_folder=logs) as run:
        summary = run.result()
    publish(store, summary, job.output, overwrite=False)
    return summary


def resources() -> tuple[set[str], list[str]]:
    """Threads, and what descriptors are of."""
    links = []
    for name in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink(f"/proc/self/fd/{name}").partition(":[")[0])
        except OSError:  # the descriptor of the folder itself
            continue
    return {thread.name for thread in threading.enumerate()}, sorted(links)


def main(folder: Path, start: int) -> int:
    RunClient("unix:/nowhere", "", "nobody").close()  # what gRPC keeps for the process's life
    before = resources()
    code, summary = 0, None
    try:
        job = prepared(folder, start)
        over_s3 = job.store.startswith("s3:")
        summary = (
            run_on_s3(job, folder / "logs") if over_s3 else run_local(job, reporter(quiet=True))
        )
    except GomrError as error:
        print(f"{type(error).__name__}: {error}", error.detail, sep="\n", file=sys.stderr)
        code = error.exit_code
    after = resources()
    ended = {
        "code": code,
        "summary": json.loads(to_json(summary)) if summary else None,
        "threads": sorted(after[0] - before[0]),
        "descriptors": {"before": before[1], "after": after[1]},
    }
    made = folder / f".ended-{start}"
    made.write_text(json.dumps(ended))
    made.rename(folder / f"ended-{start}.json")
    return code


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2])))
