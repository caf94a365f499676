"""The command `python -m flows.gomr clean`: what earlier runs left, here or on a cluster."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from gomr_runtime.errors import EXIT_OK, UsageError
from gomr_runtime.runs import DEFAULT_STORE, KEPT_SECONDS, clean

if TYPE_CHECKING:
    from tasks.cluster.connection import Cluster


def clean_command(argv: list[str]) -> int:
    """Remove what ended runs left, and print what that was, a line each. Raises GomrError."""
    given = _parser().parse_args(argv)
    kept = 0.0 if given.all else KEPT_SECONDS
    if given.everything and not (given.context or given.namespace):
        raise UsageError("clean: --everything is for a cluster: name it with --context")
    if given.context or given.namespace:
        removed = list(_clean_cluster(given, kept))
        where = f"context {given.context or 'of the kubeconfig'}"
    else:
        store = Path(given.store)
        removed = clean(store, time.time(), kept) if store.is_dir() else []
        where = str(store)
    for name in removed:
        print(name)  # noqa: T201
    what = f"{len(removed)} thing{'' if len(removed) == 1 else 's'}" if removed else "nothing"
    print(f"removed {what} from {where}", file=sys.stderr)  # noqa: T201
    return EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m flows.gomr clean",
        description="Remove the data and objects that ended runs left; outputs stay.",
        exit_on_error=False,
        allow_abbrev=False,
    )
    parser.error = _refuse  # type: ignore[method-assign]
    parser.add_argument("--all", action="store_true", help="also of runs of the last 7 days")
    parser.add_argument("--store", metavar="DIR", default=DEFAULT_STORE, help="default: .gomr")
    parser.add_argument("--context", metavar="NAME", default="", help="of a cluster to clean")
    parser.add_argument("--namespace", metavar="NAME", default="", help="default: the context's")
    parser.add_argument("--load", metavar="HOW", default="", help="as for runs on this cluster")
    parser.add_argument(
        "--everything",
        action="store_true",
        help="on the cluster: runs in progress, MinIO and all its data, outputs included",
    )
    return parser


def _clean_cluster(given: argparse.Namespace, kept: float) -> Iterator[str]:
    from tasks.cluster.clean import clean_runs, delete_store
    from tasks.cluster.connection import connect

    with connect(given.context, given.namespace) as cluster:
        yield from (f"run {run}" for run in clean_runs(cluster, running=given.everything))
        if given.everything:
            yield from delete_store(cluster)
        elif cluster.get("Deployment", "minio"):
            yield from _clean_store(cluster, kept)
        yield from _clean_images(cluster, given.load)


def _clean_store(cluster: Cluster, kept: float) -> Iterator[str]:
    from tasks.cluster.clean import clean_store, live_runs
    from tasks.cluster.minio import find_or_start

    with find_or_start(cluster, 0) as minio:
        removed = clean_store(minio.access, live_runs(cluster), kept)
    yield from (f"{removed} runs and uploads in the store" for _ in range(min(removed, 1)))


def _clean_images(cluster: Cluster, load: str) -> Iterator[str]:
    """Images that no pod of the namespace uses, from Docker and the nodes of a local cluster."""
    from tasks.cluster.image_load import loader_for
    from tasks.cluster.image_prune import prune_images

    if cluster.local or load:
        pods = cluster.select("Pod")
        used = {c["image"] for pod in pods for c in pod["spec"]["containers"]}
        yield from prune_images(loader_for(cluster.name, load), used, _say)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201


def _refuse(message: str) -> NoReturn:
    raise UsageError(f"clean: {message}")
