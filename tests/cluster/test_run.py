"""Runs through `ClusterRun` on the real cluster: well, cancelled, left alone, two at once."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from gomr_runtime.errors import EXIT_SIGINT, Cancelled, EnvironmentFailed, RunConflict
from gomr_runtime.model.summary import Summary
from k8s import manifest_objects
from k8s.manifest_objects import RunPods
from k8s.run import run_objects
from k8s.store.worker_login import VALID_SECONDS
from tests.cluster.progress import wait_for
from tests.cluster.support.runs_on_cluster import (
    SLOW,
    TEXT,
    Log,
    Runs,
    counted,
    images_for,
    once,
    words,
)


def test_a_run_gives_the_same_bytes_as_local_processes(
    runs: Runs, expected: dict[str, bytes]
) -> None:
    log = Log()
    summary = runs.finish(runs.make(), log)
    assert runs.parts(summary) == expected
    assert words(expected) == counted(TEXT)
    wanted = ["All workers connected", "All map tasks completed!", "Map reduce completed"]
    assert [line for line in log.lines if line in wanted] == wanted
    assert summary.lost_workers == 0
    run = summary.run
    keys = {info.key for info in runs.store.list(f"outputs/{run}/")}
    assert {part.key for part in summary.parts} | {f"outputs/{run}/_SUCCESS"} <= keys


HELPED = """
import gomr_runtime as gomr
import helper
import queue
from pack.inner import words

def mapper(ctx, line: str) -> None:
    import late
    for word in words(line):
        ctx.emit(helper.same(word), late.ONE)

def reducer(ctx, key, values: list[int]) -> None:
    ctx.emit(key, sum(values) * queue.ONE)

gomr.run(gomr.MapReduceConfig(mapper=mapper, reducer=reducer, input=gomr.lines))
"""
HELPERS = {
    "helper.py": "from pack import inner\nsame = inner.same",
    "queue.py": "ONE = 1",
    "late.py": "ONE = 1",
    "pack/inner.py": "def words(line): return line.split()\ndef same(word): return word",
}


def test_the_modules_beside_a_worker_file_are_there(runs: Runs, tmp_path: Path) -> None:
    """They come from the run's copy: the image has the worker file alone."""
    (tmp_path / "pack").mkdir()
    for name, text in HELPERS.items():
        (tmp_path / name).write_text(text)
    helped = replace(runs, images=images_for(tmp_path, HELPED), folder=tmp_path)
    run = helped.make()
    for name in HELPERS:
        (tmp_path / name).write_text("raise ValueError('saved meanwhile')")
    assert words(helped.parts(helped.finish(run))) == counted(TEXT)


def test_two_runs_at_once(runs: Runs, expected: dict[str, bytes]) -> None:
    summaries: list[Summary] = []
    other = threading.Thread(target=lambda: summaries.append(runs.finish(runs.make())))
    other.start()
    summaries.append(runs.finish(runs.make()))
    other.join(120)
    assert [runs.parts(summary) for summary in summaries] == [expected, expected]


def test_cancel_leaves_nothing(runs: Runs) -> None:
    run = runs.make(params=SLOW)
    with pytest.raises(Cancelled) as caught:
        runs.finish(run, once("map", lambda: run.cancel("enough")))
    assert caught.value.exit_code == EXIT_SIGINT
    assert run.summary is not None
    assert run.summary.state == "cancelled"


def test_a_client_that_dies_is_no_cancel(runs: Runs, expected: dict[str, bytes]) -> None:
    gone = runs.make(params=SLOW)
    gone.start()
    run = gone.job.run
    gone.leave()  # as if killed: nothing is cancelled, nothing deleted
    assert run_objects.is_running(runs.cluster, run)
    follower = runs.make(run=run, params=SLOW)
    assert follower.attach()
    try:
        assert runs.parts(follower.result()) == expected
    finally:
        follower.leave()
    runs.wait_until_over(run, 30)
    assert not runs.make(run=run, params=SLOW).attach()
    runs.wait_until_gone(run, 90)


def test_what_a_client_leaves_that_dies_while_it_deploys_goes_by_itself(runs: Runs) -> None:
    """The pod waits for a Secret that nobody will make."""
    pods = RunPods("half", runs.images.master, "", 1, 10**8, "s3://b", runs.minio.access.pods)
    job = manifest_objects.master_job(pods)
    job["spec"] |= {"activeDeadlineSeconds": 5, "ttlSecondsAfterFinished": 1}
    runs.kubectl("create", "--filename=-", given=json.dumps(job))
    wait_for(
        "pod that is told to start",
        lambda: any(name.startswith("pod/") for name in runs.left("half")),
        30,
        lambda: str(runs.left("half")),
    )
    runs.wait_until_gone("half", 30)


def test_a_run_may_take_as_long_as_it_likes_once_it_is_deployed(runs: Runs) -> None:
    limits = {}
    for timeout in (None, 500.0):
        run = runs.make(params=SLOW, timeout=timeout, pods={"timeout": timeout})
        try:
            run.start()
            job = runs.cluster.get("Job", manifest_objects.master_name(run.job.run))
            assert job is not None
            limits[timeout] = job["spec"]["activeDeadlineSeconds"]
        finally:
            run.close()
    assert limits == {None: VALID_SECONDS, 500.0: 500 + manifest_objects.DEADLINE_SLACK}


def test_a_run_that_is_over_is_told_by_the_store(runs: Runs, expected: dict[str, bytes]) -> None:
    """Its Job was kept, its master is gone: nobody is left to ask."""
    kept = runs.make(pods={"keep": True})
    try:
        kept.start()
        runs.wait_until_over(kept.job.run, 90)
        assert runs.parts(kept.result()) == expected
        kept.close()
        assert f"job.batch/master-{kept.job.run}" in runs.left(kept.job.run)
    finally:
        run_objects.delete(runs.cluster, kept.job.run)
    assert runs.left(kept.job.run) == []


def test_a_run_whose_objects_are_deleted_ends(runs: Runs) -> None:
    run = runs.make(params=SLOW)

    def delete() -> None:
        runs.kubectl("delete", f"job/master-{run.job.run}", "--wait=false")

    with pytest.raises(EnvironmentFailed, match="its objects were deleted"):
        runs.finish(run, once("map", delete))


def test_a_run_id_that_is_taken(runs: Runs) -> None:
    summary = runs.finish(runs.make())
    with pytest.raises(RunConflict, match="exists already"):
        runs.finish(runs.make(run=summary.run, params={"other": "1"}))
