"""The command line on the real cluster: the same bytes as on this machine, and nothing left."""

from __future__ import annotations

import hashlib
import json
import signal
import time
from pathlib import Path

import pytest

from tests.cluster.progress import wait_for
from tests.cluster.support.kubectl import succeeds
from tests.cluster.support.running_cluster import RunningCluster
from tests.flow.command import Server, call, flow_run_of, run, start, state_of, wait_for_line

WORDCOUNT = Path(__file__).parents[2] / "examples" / "wordcount"
SLOW = """\
import time
import gomr_runtime as gomr


def mapper(ctx: gomr.Context, line: str) -> None:
    time.sleep(0.02)
    for word in line.split():
        ctx.emit(word, 1)


def reducer(ctx: gomr.Context, key: str, values: list[int]) -> None:
    ctx.emit(key, sum(values))


if __name__ == "__main__":
    gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines))
"""
COUNTS = ("--workers", "2", "--mappers", "7", "--reducers", "3")
GONE_SECONDS = 60.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "worker.py").write_bytes((WORDCOUNT / "worker.py").read_bytes())
    (tmp_path / "text.txt").write_bytes((WORDCOUNT / "input.txt").read_bytes())
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "lines.txt").write_text("".join(f"w{i % 37} x\n" for i in range(2000)))
    return tmp_path


def digest(output: Path) -> dict[str, str]:
    parts = sorted(output.glob("output-*"))
    assert parts
    return {part.name: hashlib.sha256(part.read_bytes()).hexdigest() for part in parts}


def here(folder: Path, server: Server, *arguments: str) -> dict[str, str]:
    """What the same job gives on this machine."""
    out = folder / "reference"
    done = run(folder, server.environ, "--runtime", "local", "--output", str(out), "-q", *arguments)
    assert done.returncode == 0, done.stderr
    return digest(out)


def objects(cluster: RunningCluster, namespace: str) -> set[str]:
    """Everything of GoMR in the namespace, by kind and name; pods by their owner's."""
    kinds = "jobs,deployments,services,secrets,persistentvolumeclaims,networkpolicies,pods"
    found = cluster.kubectl(
        "get", kinds, f"--namespace={namespace}", "--output=name",
        "--selector=app.kubernetes.io/part-of=gomr",
    )  # fmt: skip
    return {name.partition("/")[2].split("-")[0] for name in found.split()}


def wait_until_only_minio(cluster: RunningCluster, namespace: str) -> None:
    wait_for(
        "end of all objects of the run",
        lambda: objects(cluster, namespace) == {"minio"},
        GONE_SECONDS,
        lambda: str(objects(cluster, namespace)),
    )


def test_the_bytes_are_those_of_this_machine(
    cluster: RunningCluster, namespace: str, server: Server, folder: Path
) -> None:
    expected = here(folder, server, "--input", "text.txt", *COUNTS, "worker.py")
    place = ("--runtime", "kubernetes", "--namespace", namespace)
    job = ("--input", "text.txt", *COUNTS, "--run-id", "first", "--output", "out", "worker.py")
    done = run(folder, server.environ, *place, *job)
    assert done.returncode == 0, done.stderr
    assert digest(folder / "out") == expected
    lines = done.stderr.splitlines()
    for line in ("All workers connected", "All map tasks completed!", "Map reduce completed"):
        assert line in lines
    assert objects(cluster, namespace) == {"minio"}

    stored = cluster.kubectl(
        "exec", "deployment/minio", f"--namespace={namespace}", "--",
        "find", "/data/map-reduce-bucket", "-path", "*/first*", "-maxdepth", "3",
    )  # fmt: skip
    names = {path.removeprefix("/data/map-reduce-bucket/") for path in stored.split()}
    assert {f"outputs/first/{name}" for name in ("_SUCCESS", "_logs", *expected)} <= names
    assert not any(name.startswith("runs/") for name in names), "intermediate data goes"

    again = run(folder, server.environ, *place, *job)
    assert again.returncode == 2, "the output is there"
    tasks = cached_builds(server, folder, place)
    assert tasks == ["Cached"]


def cached_builds(server: Server, folder: Path, place: tuple[str, ...]) -> list[str]:
    """The states of the step that builds images, in a second run of the same worker file."""
    job = ("--input", "text.txt", *COUNTS, "--run-id", "second", "-q", "worker.py")
    done = run(folder, server.environ, *place, *job)
    assert done.returncode == 0, done.stderr
    mine = {"flow_runs": {"id": {"any_": [flow_run_of(server, "second")["id"]]}}}
    tasks = call(server, "/task_runs/filter", mine)
    return [task["state"]["name"] for task in tasks if task["name"] == "build images"]


def test_two_runs_at_once_with_the_documented_rights_alone(
    cluster: RunningCluster, restricted_namespace: str, server: Server, folder: Path
) -> None:
    namespace = restricted_namespace
    expected = here(folder, server, "--input", "text.txt", *COUNTS, "worker.py")
    environ = server.environ | {"KUBECONFIG": str(user(cluster, namespace, folder))}
    running = [
        start(
            folder, environ, "--runtime", "kubernetes", "--input", "text.txt", *COUNTS,
            "--run-id", name, "--output", name, "worker.py",
        )
        for name in ("one", "two")
    ]  # fmt: skip
    for process, name in zip(running, ("one", "two"), strict=True):
        _, said = process.communicate(timeout=240)
        assert process.returncode == 0, said
        assert "warning" not in said.lower()
        assert digest(folder / name) == expected
    assert objects(cluster, namespace) == {"minio"}


def user(cluster: RunningCluster, namespace: str, folder: Path) -> Path:
    """A kubeconfig for somebody who has the Role of `k8s/manifests/rbac` and nothing else."""
    rbac = WORDCOUNT.parents[1] / "k8s" / "manifests" / "rbac"
    place, account = f"--namespace={namespace}", f"--serviceaccount={namespace}:gomr-flow"
    cluster.kubectl("apply", place, f"--filename={rbac / 'role.yaml'}")
    cluster.kubectl("create", "serviceaccount", "gomr-flow", place)
    cluster.kubectl("create", "rolebinding", "gomr-flow", "--role=gomr", account, place)
    who = f"--as=system:serviceaccount:{namespace}:gomr-flow"
    wait_for(
        "rights of the Role, which the API server learns of a moment later",
        lambda: succeeds("auth", "can-i", "get", "secrets", f"--namespace={namespace}", who),
        GONE_SECONDS,
        lambda: cluster.kubectl("get", "rolebindings", f"--namespace={namespace}"),
    )
    token = cluster.kubectl("create", "token", "gomr-flow", f"--namespace={namespace}").strip()
    config = json.loads(cluster.kubectl("config", "view", "--raw", "--flatten", "--output=json"))
    config["users"] = [{"name": "user", "user": {"token": token}}]
    entry = config["contexts"][0]
    entry["context"] |= {"user": "user", "namespace": namespace}
    config["contexts"] = [entry]
    path = folder / "kubeconfig"
    path.touch(0o600)
    path.write_text(json.dumps(config))
    return path


def cancel_in_prefect(server: Server, name: str) -> None:
    flow_run = flow_run_of(server, name)
    state = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    call(server, f"/flow_runs/{flow_run['id']}/set_state", state)


@pytest.mark.parametrize(
    ("line", "state"),
    [
        ("wait for MinIO", "CRASHED"),
        ("uploaded", "CRASHED"),
        ("All workers connected", "CRASHED"),
        ("All workers connected", "CANCELLED"),
    ],
)
def test_an_unwanted_run_leaves_nothing(
    cluster: RunningCluster, namespace: str, server: Server, folder: Path,
    line: str, state: str,
) -> None:  # fmt: skip
    """By Ctrl-C, or by a cancel in Prefect."""
    process = start(
        folder, server.environ, "--runtime", "kubernetes", "--namespace", namespace,
        "--input", "lines.txt", *COUNTS, "--run-id", namespace, "slow.py",
    )  # fmt: skip
    wait_for_line(process, line)
    if state == "CANCELLED":
        cancel_in_prefect(server, namespace)
    else:
        process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "Traceback" not in said
    assert state_of(server, namespace, state) == state
    wait_until_only_minio(cluster, namespace)
    assert not (folder / "outputs").exists()


def test_a_killed_client_is_no_cancel(
    cluster: RunningCluster, namespace: str, server: Server, folder: Path
) -> None:
    expected = here(folder, server, "--input", "lines.txt", *COUNTS, "slow.py")
    arguments = (
        "--runtime", "kubernetes", "--namespace", namespace, "--input", "lines.txt", *COUNTS,
        "--output", "out", "slow.py",
    )  # fmt: skip
    process = start(folder, server.environ, "--run-id", "orphan", *arguments)
    wait_for_line(process, "All workers connected")
    process.kill()
    process.communicate(timeout=30)
    attached = start(folder, server.environ, "--resume", "orphan", *arguments)
    wait_for_line(attached, "run orphan is in progress; following it")
    attached.kill()
    attached.communicate(timeout=30)

    cluster.kubectl(
        "wait", "--for=condition=complete", "job/master-orphan", "--timeout=120s",
        f"--namespace={namespace}", seconds=130,
    )  # fmt: skip
    wait_until_only_minio(cluster, namespace)
    done = run(folder, server.environ, "--resume", "orphan", *arguments)
    assert done.returncode == 0, done.stderr
    assert digest(folder / "out") == expected


def test_more_workers_than_fit(
    cluster: RunningCluster, namespace: str, server: Server, folder: Path
) -> None:
    began = time.monotonic()
    process = start(
        folder, server.environ, "--runtime", "kubernetes", "--namespace", namespace,
        "--input", "text.txt", "--workers", "500", "--memory", "1GB", "--run-id", "many",
        "worker.py",
    )  # fmt: skip
    lines = wait_for_line(process, "workers were asked for")
    assert time.monotonic() - began < 60
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert "fit (" in lines[-1]
    assert "started with" in lines[-1]
