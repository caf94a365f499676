"""One run by the command on the cluster, as its driver sees it: how far it is, and what it left."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gomr_runtime.errors import EXIT_OK
from k8s.manifest_objects import of_run
from tests.build_cache import BuildFailed
from tests.cluster.progress import wait_for
from tests.cluster.support.running_cluster import RunningCluster
from tests.cluster.support.runs_on_cluster import KINDS
from tests.flow import command

WORKER = """
import time
import gomr_runtime as gomr

def mapper(ctx, line: str) -> None:
    time.sleep(float(ctx.params["pace"]))
    for word in line.split():
        ctx.emit(word, 1)

def reducer(ctx, key: str, values: list[int]) -> None:
    time.sleep(4 * float(ctx.params["pace"]))
    ctx.emit(key, sum(values))

gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines))
"""
TEXT = "".join(f"the word{n % 97} fox{n % 31} number {n % 7}\n" for n in range(1600))
PACE = 0.015  # seconds a line: 12 s of map on two workers, and 4 s of reduce
WORKERS, MAPPERS, REDUCERS = 2, 16, 6
COUNTS = ("--workers", str(WORKERS), "--mappers", str(MAPPERS), "--reducers", str(REDUCERS))
SHARE = re.compile(r"(map|reduce) +(\d+)%  ")
TENTHS = {"map": 0, "reduce": 10}  # how far a run is when the phase begins
GONE_SECONDS = 90.0


@dataclass
class ChaosRun:
    """far: tenths of the map that are done, and of the reduce. `api` is held by whoever needs the
    API server, or takes it away. claimed: nodes that something is being done to."""

    cluster: RunningCluster
    namespace: str
    environ: dict[str, str]
    folder: Path
    name: str
    far: int = 0
    over: bool = False
    lines: list[str] = field(default_factory=list)
    starts: int = 0
    killed: bool = False
    api: threading.Lock = field(default_factory=threading.Lock)
    changed: threading.Condition = field(default_factory=threading.Condition)
    claimed: set[str] = field(default_factory=set)
    process: subprocess.Popen[str] | None = None
    _began: float = field(default_factory=time.monotonic)

    @property
    def out(self) -> Path:
        return self.folder / f"out-{self.name}"

    def kubectl(self, *arguments: str) -> str:
        with self.api:
            return self.cluster.kubectl(f"--namespace={self.namespace}", *arguments)

    def pods(self, selector: str) -> list[str]:
        """Names of pods that run and are not on their way out."""
        found = json.loads(self.kubectl("get", "pods", "-l", selector, "--output=json"))["items"]
        running = [pod for pod in found if pod["status"]["phase"] == "Running"]
        metadata = [pod["metadata"] for pod in running]
        return sorted(one["name"] for one in metadata if "deletionTimestamp" not in one)

    def node_of(self, pod: str) -> str:
        return self.kubectl("get", "pod", pod, "--output=jsonpath={.spec.nodeName}").strip()

    def wait_until(self, far: int, deadline: float) -> bool:
        """Whether the run is as far as that before it is over."""
        with self.changed:
            self.changed.wait_for(lambda: self.far >= far or self.over, deadline - time.monotonic())
            return self.far >= far and not self.over

    def wait(self, seconds: float) -> None:
        """So long, or until the run is over."""
        with self.changed:
            self.changed.wait_for(lambda: self.over, seconds)

    @contextlib.contextmanager
    def claim(self, node: str) -> Iterator[bool]:
        """Whether nobody else does something to the node meanwhile."""
        with self.changed:
            free = node not in self.claimed
            self.claimed.add(node)
        try:
            yield free
        finally:
            if free:
                self.claimed.discard(node)

    def see_through(self, deadline: float) -> str:
        """Run the command, again where it was killed; what is wrong with how it ended."""
        try:
            while True:
                code = self._once(deadline)
                if code == EXIT_OK:
                    return ""
                if not (self.killed and code == -signal.SIGKILL):
                    return f"the command ended with {code}; {self.last_lines()}"
                self.killed = False
        except subprocess.TimeoutExpired:
            return f"not over in time; {self.last_lines()}"
        finally:
            with self.changed:
                self.over = True
                self.changed.notify_all()

    def kill(self) -> bool:
        """SIGKILL the command; False when it has ended."""
        process = self.process
        if process is None or process.poll() is not None:
            return False
        self.killed = True
        process.kill()
        return True

    def last_lines(self) -> str:
        return " | ".join(self.lines[-8:])

    def _once(self, deadline: float) -> int:
        how = "--resume" if self.starts else "--run-id"
        self.starts += 1
        place = ("--runtime", "kubernetes", "--namespace", self.namespace)
        job = ("--input", "text.txt", *COUNTS, "--param", f"pace={PACE}", "--memory", "300MB")
        process = command.start(
            self.folder, self.environ, *place, how, self.name, *job,
            "--output", str(self.out), "worker.py",
        )  # fmt: skip
        self.process = process
        reader = threading.Thread(target=self._read, args=(process,))
        reader.start()
        try:
            return process.wait(max(1.0, deadline - time.monotonic()))
        finally:
            process.kill()
            process.wait()
            reader.join()
            assert process.stdout is not None
            process.stdout.close()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr as lines:
            for line in lines:
                self.lines.append(f"{time.monotonic() - self._began:6.1f} s  {line.rstrip()}")
                if share := SHARE.match(line):
                    with self.changed:
                        tenths = TENTHS[share[1]] + int(share[2]) // 10
                        self.far = max(self.far, tenths)
                        self.changed.notify_all()

    def left(self) -> list[str]:
        """The run's objects in the cluster."""
        return self.kubectl("get", KINDS, "-l", of_run(self.name), "--output=name").split()

    def violations(self, expected: dict[str, str]) -> list[str]:
        """What is wrong with a run that ended well."""
        wrong = []
        if digests(self.out) != expected:
            wrong.append(f"the parts in {self.out} differ from those of this machine")
        try:
            wait_for("end of its objects", lambda: not self.left(), GONE_SECONDS, self._remains)
        except BuildFailed as error:
            wrong.append(str(error))
        stored = self.kubectl(
            "exec", "deployment/minio", "--",
            "find", "/data/map-reduce-bucket", "-path", f"*/{self.name}/*", "-maxdepth", "3",
        ).split()  # fmt: skip
        keys = {path.removeprefix("/data/map-reduce-bucket/") for path in stored}
        keys -= {key for key in keys if key.startswith("inputs-used/")}  # until `clean`
        known = {f"outputs/{self.name}/{name}" for name in ("_SUCCESS", "_logs", *expected)}
        if keys - known:
            wrong.append(f"the store holds {sorted(keys - known)[:5]}")
        return wrong

    def _remains(self) -> str:
        return f"there are still {self.left()}"


def digests(out: Path) -> dict[str, str]:
    """sha256 of each part by name."""
    parts = sorted(out.glob("output-*"))
    return {part.name: hashlib.sha256(part.read_bytes()).hexdigest() for part in parts}
