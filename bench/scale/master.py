"""What a master costs with a thousand workers: the real process, simulated workers beside it."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from gomr_runtime.codec.fields import to_json
from gomr_runtime.model import layout
from gomr_runtime.model.inputs.files import InputFile
from gomr_runtime.model.job import JobSpec
from gomr_runtime.storage.open_store import open_store

SECONDS = 1200.0  # for a run
START_SECONDS = 60.0
PIECE = 64 << 20  # bytes of input a map task


@dataclass(frozen=True, slots=True)
class Cost:
    """assigned: map and reduce attempts. wall: seconds from the first assignment to the last.
    cpu: seconds of the master process from its start to its end. peak: its RSS in bytes.
    p99: of the round trips of heartbeats, in seconds."""

    assigned: int
    wall: float
    cpu: float
    peak: int
    p99: float


def job_of(workers: int, tasks: int) -> JobSpec:
    """`tasks` map tasks and one reduce task for each worker."""
    maps = workers * tasks
    return JobSpec(
        run=f"scale-{secrets.token_hex(3)}",
        files=(InputFile("input", "/input", maps * PIECE),),
        workers=workers,
        mappers=maps,
        reducers=workers,
        worker_sha256="0" * 64,
        worker_name="worker.py",
    )


def measure(job: JobSpec, slots: int, store: str = "", pause: float = 0.0) -> Cost:
    """A whole run. slots: attempts that a worker has room for. store: its URL; "" is the master's
    own memory. pause: seconds that an attempt takes."""
    with tempfile.TemporaryDirectory(prefix="gomr-bench-") as name:
        folder = Path(name)
        (folder / "job.json").write_bytes(to_json(job))
        (folder / "token").write_text(secrets.token_urlsafe(32))
        if store:
            open_store(store).put(layout.job(job.run), to_json(job))
        with (folder / "master.log").open("wb") as log:
            master = subprocess.Popen(_master(folder, job, store), stderr=log)
        try:
            told = _follow(folder, master, [str(slots), "--pause", str(pause), "--store", store])
            _, status, usage = os.wait4(master.pid, 0)
            master.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if master.returncode is None:
                master.kill()
                master.wait()
        if master.returncode or told["states"] != ["succeeded"]:
            raise RuntimeError((folder / "master.log").read_text()[-2000:])
    cpu = usage.ru_utime + usage.ru_stime
    return Cost(told["assigned"], told["seconds"], cpu, told["peak"], told["p99"])


def _master(folder: Path, job: JobSpec, store: str) -> list[str]:
    token = str(folder / "token")
    common = ["--listen", f"unix:{folder}/master", "--token-file", token]
    python = [sys.executable, "-m"]
    if store:
        common += ["--worker-token-file", token]
        return [*python, "gomr_runtime.master", "--run", job.run, "--store", store, *common]
    return [*python, "bench.scale.master_process", str(folder / "job.json"), *common]


def _follow(folder: Path, master: subprocess.Popen[bytes], way: list[str]) -> dict[str, Any]:
    """What the swarm tells at its end, with the master's peak; RuntimeError when either fails."""
    deadline = time.monotonic() + START_SECONDS
    while not (folder / "master").exists():
        if master.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError((folder / "master.log").read_text()[-2000:])
        time.sleep(0.02)
    command = [sys.executable, "-m", "bench.scale.swarm", str(folder / "job.json")]
    options = ["--token-file", str(folder / "token"), "--slots", *way]
    swarm = subprocess.Popen([*command, f"unix:{folder}/master", *options], stdout=subprocess.PIPE)
    watched = psutil.Process(master.pid)
    peak, deadline = 0, time.monotonic() + SECONDS
    try:
        while swarm.poll() is None and watched.status() != psutil.STATUS_ZOMBIE:
            peak = max(peak, watched.memory_info().rss)
            if time.monotonic() > deadline:
                raise RuntimeError(f"no end within {SECONDS:.0f} s")
            time.sleep(0.05)
        answer, _ = swarm.communicate(timeout=START_SECONDS)
    finally:
        if swarm.poll() is None:
            swarm.kill()
    if swarm.returncode:
        raise RuntimeError((folder / "master.log").read_text()[-2000:])
    return {**json.loads(answer), "peak": peak}
