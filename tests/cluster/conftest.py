"""The real cluster of the tier, brought up as `make cluster` does and left running.

The tier comes after all others, for which the nodes would leave less of the machine.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.build_cache import BuildFailed
from tests.cluster.bring_up import bring_up, cannot_run
from tests.cluster.progress import wait_for
from tests.cluster.support.built.images import ensure_image
from tests.cluster.support.diagnosis import diagnosis
from tests.cluster.support.running_cluster import RunningCluster
from tests.cluster.support.runs_on_cluster import (
    NAMESPACE,
    WORD_COUNT,
    Program,
    Runs,
    images_for,
    minio_image,
    namespace_for,
    parts_here,
    runs_in,
)
from tests.cluster.support.usage import in_use
from tests.flow.command import Server
from tests.flow.prefect_server import running_server

HERE = Path(__file__).parent
TEST_SECONDS = 300
GONE_SECONDS = 120.0
# httpcore 1.0 leaves a connection that is cancelled within its TLS handshake to the garbage
# collector, which says so in whatever test comes next.
LEFT_BY_HTTPCORE = (
    r"ignore:unclosed transport <_SelectorSocketTransport:ResourceWarning",
    r"ignore:unclosed <socket\.socket .* raddr=\('127\.0\.0\.1':ResourceWarning",
)
RESTRICTED = "pod-security.kubernetes.io/enforce=restricted"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "cluster: needs the real Kubernetes of `make cluster`")
    config.addinivalue_line("markers", "long: takes minutes, as the loss of a node does")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker("cluster")
            # Bringing the cluster up has its own deadlines: a cold build takes longer than a test.
            item.add_marker(pytest.mark.timeout(TEST_SECONDS, func_only=True))
            item.add_marker(pytest.mark.filterwarnings(*LEFT_BY_HTTPCORE))
    items.sort(key=lambda item: HERE in item.path.parents)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test tells what was on the cluster then."""
    report = yield
    fixtures = getattr(item, "funcargs", {})
    if report.failed and "cluster" in fixtures:
        report.sections.append(("on the cluster", diagnosis(_namespaces_of(fixtures))))
    return report


def _namespaces_of(fixtures: dict[str, object]) -> list[str]:
    """Those of a test: a fixture of it is one, has one, or has a connection to one."""
    found = set()
    for fixture in fixtures.values():
        place = getattr(fixture, "cluster", fixture)
        name = getattr(place, "namespace", place)
        if isinstance(name, str) and name.startswith(NAMESPACE):
            found.add(name)
    return sorted(found)


@pytest.fixture(scope="session")
def cluster() -> Iterator[RunningCluster]:
    """The cluster `gomr`, which KUBECONFIG names meanwhile; skipped where there can be none or
    GOMR_CLUSTER=0.

    Network policies are enforced in it (kube-router's controller), Pod Security too.
    """
    reason = "GOMR_CLUSTER=0" if os.environ.get("GOMR_CLUSTER") == "0" else cannot_run()
    if reason:
        pytest.skip(reason)
    try:
        kubeconfig = bring_up()
    except BuildFailed as error:  # said once, and not by each test of the tier
        pytest.exit(f"the test cluster does not come up: {error}", returncode=1)
    with in_use(), pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(kubeconfig))
        yield RunningCluster(kubeconfig)


@pytest.fixture(scope="session")
def namespaces(cluster: RunningCluster) -> Iterator[dict[str, str]]:
    """The test of each namespace; in the end all are gone, with everything they held.

    Waiting for them once, and not test by test, saves some seconds a test.
    """
    tests: dict[str, str] = {}
    yield tests
    for name, test in tests.items():
        wait_for(
            f"end of namespace {name} of {test}",
            functools.partial(_is_gone, cluster, name),
            GONE_SECONDS,
            functools.partial(_remains, cluster, name),
        )


@pytest.fixture
def namespace(
    cluster: RunningCluster, namespaces: dict[str, str], request: pytest.FixtureRequest
) -> Iterator[str]:
    """A namespace of the test's own, deleted after it."""
    with namespace_for(cluster, namespaces, request.node.nodeid) as name:
        yield name


@pytest.fixture
def restricted_namespace(
    cluster: RunningCluster, namespaces: dict[str, str], request: pytest.FixtureRequest
) -> Iterator[str]:
    """The same, and it takes only pods that meet Pod Security "restricted"."""
    with namespace_for(cluster, namespaces, request.node.nodeid, RESTRICTED) as name:
        yield name


@pytest.fixture(scope="module")
def program() -> Program:
    """What the runs of a module run; a module that wants another overrides it."""
    return WORD_COUNT


@pytest.fixture(scope="module")
def runs(
    cluster: RunningCluster,
    namespaces: dict[str, str],
    program: Program,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Runs]:
    """Makes runs in a namespace of the module's own, with MinIO in it."""
    folder = tmp_path_factory.mktemp("runs")
    with (
        namespace_for(cluster, namespaces, request.node.nodeid) as namespace,
        runs_in(cluster, namespace, images_for(folder, program.source), folder) as found,
    ):
        yield found


@pytest.fixture(scope="module")
def expected(runs: Runs, program: Program) -> dict[str, bytes]:
    """The parts that such a run gives."""
    return parts_here(runs, **program.counts)


@pytest.fixture(scope="module")
def server(cluster: RunningCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Prefect server, and an environment whose current context is the cluster.

    The runtime's image is on the nodes: its first build takes longer than a run is waited for.
    """
    images_for(tmp_path_factory.mktemp("images"))
    with running_server(tmp_path_factory.mktemp("prefect")) as server:
        server.environ.update(
            KUBECONFIG=str(cluster.kubeconfig),
            GOMR_BASE_IMAGE=ensure_image("gomr-python"),
            GOMR_MINIO_IMAGE=minio_image(),
        )
        yield server


def _is_gone(cluster: RunningCluster, name: str) -> bool:
    """No namespace of that name, and no volume that a claim in it had."""
    if cluster.kubectl("get", "namespace", name, "--ignore-not-found"):
        return False
    path = f"jsonpath={{.items[?(@.spec.claimRef.namespace=='{name}')].metadata.name}}"
    return not cluster.kubectl("get", "persistentvolumes", f"--output={path}")


def _remains(cluster: RunningCluster, name: str) -> str:
    kinds = "pods,persistentvolumeclaims,jobs,deployments,services,persistentvolumes"
    found = cluster.kubectl("get", kinds, f"--namespace={name}", "--output=name")
    return f"there are still {', '.join(found.split())}"
