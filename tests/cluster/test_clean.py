"""What removes the objects and data of earlier runs: the command of GoMR, and that of kubectl."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gomr_runtime.model import layout
from k8s.manifest_objects import master_name
from tests.cluster.progress import wait_for
from tests.cluster.support.layout import CONTEXT
from tests.cluster.support.running_cluster import RunningCluster
from tests.cluster.support.runs_on_cluster import Runs, images_for, runs_in
from tests.flow.command import ROOT, clean_environ, run

LABEL = "app.kubernetes.io/part-of=gomr"
KINDS = "all,secret,persistentvolumeclaim,networkpolicy,configmap,serviceaccount"
GONE_SECONDS = 60.0


@pytest.fixture
def runs(cluster: RunningCluster, namespace: str, tmp_path: Path) -> Iterator[Runs]:
    with runs_in(cluster, namespace, images_for(tmp_path), tmp_path) as found:
        yield found


def kept_run(runs: Runs) -> str:
    """A run that is over, with objects and data that are still there."""
    made = runs.make(pods={"keep": True})
    made.start()
    made.result()
    made.close()
    assert runs.left(made.job.run)
    # The master lingers for whoever still listens: until its end the run counts as live.
    job = f"job/{master_name(made.job.run)}"
    runs.kubectl("wait", "--for=condition=Complete", job, "--timeout=60s")
    return made.job.run


def left(runs: Runs) -> set[str]:
    return set(runs.kubectl("get", KINDS, "--selector", LABEL, "--output=name").split())


def test_clean_removes_what_ended_runs_left_and_on_demand_everything(
    cluster: RunningCluster, namespace: str, runs: Runs
) -> None:
    name = kept_run(runs)
    environ = clean_environ() | {"KUBECONFIG": str(cluster.kubeconfig)}
    place = ("clean", "--context", CONTEXT, "--namespace", namespace)
    cleaned = run(runs.folder, environ, *place)
    assert cleaned.returncode == 0, cleaned.stderr
    assert f"run {name}" in cleaned.stdout.splitlines()
    assert runs.left(name) == []
    assert "deployment.apps/minio" in left(runs)
    assert list(runs.store.list(layout.output_prefix(name))), "outputs stay"
    cleaned = run(runs.folder, environ, *place, "--everything", "--load", "kind")
    assert cleaned.returncode == 0, cleaned.stderr
    wait_for("end of all objects", lambda: not left(runs), GONE_SECONDS, lambda: str(left(runs)))


def test_so_does_the_line_of_kubectl_in_the_docs(runs: Runs) -> None:
    kept_run(runs)
    text = (ROOT / "docs" / "kubernetes.md").read_text()
    (line,) = re.findall(r"kubectl (delete \S+) \\\n\s+(-l \S+)", text)
    runs.kubectl(*" ".join(line).split())
    wait_for("end of all objects", lambda: not left(runs), GONE_SECONDS, lambda: str(left(runs)))
