"""The faults of chaos on the cluster. Each waits for its moment in a thread of its own, and returns
how it was seen to have landed, "" when the run was over before it could."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from k8s.manifest_objects import COMPONENT, MINIO_SELECTOR, of_run
from tests.build_cache import BuildFailed, output
from tests.cluster.chaos.chaos_run import ChaosRun
from tests.cluster.support.nodes import API_PORT, DOCKER_SECONDS

LAST = 18  # of the twenty tenths of a run: later, faults seldom land
IF_THERE = "--ignore-not-found"  # it may have gone with its node
AT_ONCE = ("--force", "--grace-period=0")


@dataclass(frozen=True)
class Planned:
    """kind: a name in FAULTS. far: how far the run has to be. dice: for all else."""

    kind: str
    far: int
    dice: int

    def __str__(self) -> str:
        return f"{self.kind} at {self.far} of 20"

    def strike(self, run: ChaosRun, deadline: float) -> str:
        """Waits for its moment, then does what it has to do."""
        if not run.wait_until(self.far, deadline):
            return ""
        try:
            return FAULTS[self.kind](run, random.Random(self.dice))
        except BuildFailed as error:
            if run.over or "(NotFound)" in str(error):  # what it was about to hit has gone
                return ""
            return f"BROKEN: {error}"


def plan(dice: random.Random, count: int) -> list[Planned]:
    kinds = sorted(FAULTS)
    return [
        Planned(dice.choice(kinds), dice.randint(1, LAST), dice.getrandbits(32))
        for _ in range(count)
    ]


def _pod(run: ChaosRun, dice: random.Random, selector: str) -> str:
    """One that runs; "" when none does for long."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and not run.over:
        if found := run.pods(selector):
            return dice.choice(found)
        run.wait(0.5)
    return ""


def _delete(run: ChaosRun, dice: random.Random, selector: str) -> str:
    pod = _pod(run, dice, selector)
    if not pod or run.over:
        return ""
    how = AT_ONCE if dice.random() < 0.5 else ()
    there = run.kubectl("delete", "pod", pod, *how, "--wait=false", IF_THERE).strip()
    return "" if run.over or not there else f"pod {pod} deleted{' with force' * bool(how)}"


def worker_deleted(run: ChaosRun, dice: random.Random) -> str:
    return _delete(run, dice, f"{of_run(run.name)},{COMPONENT}=worker")


def master_deleted(run: ChaosRun, dice: random.Random) -> str:
    return _delete(run, dice, f"{of_run(run.name)},{COMPONENT}=master")


def minio_deleted(run: ChaosRun, dice: random.Random) -> str:
    return _delete(run, dice, MINIO_SELECTOR)


def client_killed(run: ChaosRun, _: random.Random) -> str:
    return f"client {run.starts} killed" if run.kill() else ""


def node_stopped(run: ChaosRun, dice: random.Random) -> str:
    return _without_node(run, dice, "stopped")


def node_cut_off(run: ChaosRun, dice: random.Random) -> str:
    return _without_node(run, dice, "cut_off")


def _without_node(run: ChaosRun, dice: random.Random, how: str) -> str:
    node = dice.choice(run.cluster.workers)
    seconds = dice.choice([5.0, 20.0, 60.0])
    with run.claim(node) as free, contextlib.ExitStack() as until_then:
        if run.over or not free:
            return ""
        until_then.enter_context(getattr(run.cluster, how)(node))
        landed = not run.over
        run.wait(seconds)
        with run.api:  # coming back is seen through the API server
            until_then.close()
    return f"{node} {how} for {seconds:.0f} s" if landed else ""


def api_away(run: ChaosRun, dice: random.Random) -> str:
    """Watches, leases and the client's connections to the master and to MinIO go through it."""
    way = dice.choice([_hanging, _refusing])
    seconds = dice.choice([10.0, 60.0])
    with run.api:
        if run.over:
            return ""
        with way(run):
            run.wait(seconds)
            landed = not run.over
    return f"API server {way.__name__[1:]} for {seconds:.0f} s" if landed else ""


@contextlib.contextmanager
def _hanging(run: ChaosRun) -> Iterator[None]:
    node = run.cluster.control_plane
    output(["docker", "pause", node], DOCKER_SECONDS)
    try:
        yield
    finally:
        output(["docker", "unpause", node], DOCKER_SECONDS)
        _until_it_answers(run)


@contextlib.contextmanager
def _refusing(run: ChaosRun) -> Iterator[None]:
    node = run.cluster.control_plane
    rule = ["INPUT", "--protocol", "tcp", "--dport", str(API_PORT)]
    rule += ["--jump", "REJECT", "--reject-with", "tcp-reset"]
    run.cluster.on_node(node, "iptables", "--insert", *rule)
    try:
        yield
    finally:
        run.cluster.on_node(node, "iptables", "--delete", *rule)
        _until_it_answers(run)


def _until_it_answers(run: ChaosRun) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            run.cluster.kubectl("get", "nodes", "--request-timeout=5s", seconds=10)
            return
        except BuildFailed:
            if time.monotonic() > deadline:
                raise


def pod_cut_off(run: ChaosRun, dice: random.Random) -> str:
    """A worker's pod reaches nobody, and nobody is told."""
    pod = _pod(run, dice, f"{of_run(run.name)},{COMPONENT}=worker")
    if not pod:
        return ""
    node, path = run.node_of(pod), "--output=jsonpath={.status.podIP}"
    address = run.kubectl("get", "pod", pod, path).strip()
    rules = [["FORWARD", way, address, "--jump", "DROP"] for way in ("--source", "--destination")]
    seconds = dice.choice([3.0, 15.0, 40.0])
    with run.claim(node) as free:
        if run.over or not free or not address:
            return ""
        for rule in rules:
            run.cluster.on_node(node, "iptables", "--insert", *rule)
        landed = not run.over
        run.wait(seconds)
        for rule in rules:
            run.cluster.on_node(node, "iptables", "--delete", *rule)
    return f"{pod} cut off for {seconds:.0f} s" if landed else ""


FAULTS: dict[str, Callable[[ChaosRun, random.Random], str]] = {
    "worker deleted": worker_deleted,
    "master deleted": master_deleted,
    "MinIO deleted": minio_deleted,
    "client killed": client_killed,
    "node stopped": node_stopped,
    "node cut off": node_cut_off,
    "API server away": api_away,
    "worker cut off": pod_cut_off,
}
