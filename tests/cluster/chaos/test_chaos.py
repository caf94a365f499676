"""Some seeds of `make cluster-chaos`: the same bytes, and nothing left."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.chaos.run import LONGEST, MOST, Arena, arena, run_until_it_counts
from tests.cluster.support.running_cluster import RunningCluster

KEPT = (6, 12)  # the API server is away while the run goes on; while its end is carried out

pytestmark = [pytest.mark.long, pytest.mark.timeout(MOST * LONGEST, func_only=True)]


@pytest.fixture(scope="module")
def where(cluster: RunningCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    assert cluster.kubectl("get", "nodes")
    with arena(tmp_path_factory.mktemp("chaos")) as found:
        yield found


@pytest.mark.parametrize("seed", KEPT)
def test_a_run_under_faults_gives_the_bytes_of_this_machine(where: Arena, seed: int) -> None:
    report = run_until_it_counts(where, seed)
    assert not report.wrong, str(report)
