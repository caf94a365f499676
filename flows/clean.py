"""The command `python -m flows.gomr clean`: what earlier runs left, here or on a cluster."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from gomr_runtime.errors import EXIT_OK, UsageError, one_line
from gomr_runtime.options.arguments import Parser, add_argument, read_environment, read_settings
from gomr_runtime.options.declared import FIELDS, FLOW
from gomr_runtime.runs.claims import DEFAULT_STORE, KEPT_SECONDS, clean
from gomr_runtime.system.settings import SETTINGS_FILE
from gomr_runtime.system.streams import answer, say

if TYPE_CHECKING:
    from k8s.api.connection import Cluster

SHARED = ("store", "context", "namespace", "load")  # the options that runs have as well


def clean_command(argv: list[str]) -> int:
    """Remove what ended runs left, and print what that was, a line each. Raises GomrError."""
    given = _given(argv)
    kept = 0.0 if given.all else KEPT_SECONDS
    on_cluster = bool(given.context or given.namespace)
    if given.everything and not on_cluster:
        raise UsageError("clean: --everything is for a cluster: name it with --context")
    if not on_cluster and given.store.startswith("s3://"):
        raise UsageError(
            f"clean: --store {given.store}: nobody can tell from here which of its runs go on: "
            "remove what is below runs/ of those that are over, or let a lifecycle rule do it"
        )
    if on_cluster:
        removed = list(_clean_cluster(given, kept))
        where = f"context {given.context or 'of the kubeconfig'}"
    else:
        store = Path(given.store or DEFAULT_STORE)
        removed = clean(store, time.time(), kept) if store.is_dir() else []
        where = str(store)
    for name in removed:
        answer(one_line(name))
    what = f"{len(removed)} thing{'' if len(removed) == 1 else 's'}" if removed else "nothing"
    say(f"removed {what} from {where}")
    return EXIT_OK


def _given(argv: list[str]) -> argparse.Namespace:
    """What the command is told: argv, then the environment, then `gomr.toml`, as for a run.

    A store that argv names is cleaned, whatever cluster the others name.
    """
    named = vars(_parser().parse_args(argv))
    fields = [FIELDS[name] for name in SHARED]
    found = {option.name: option.default for option in fields}
    if "store" not in named:
        found |= read_settings(Path(SETTINGS_FILE), fields, known=FIELDS)
        found |= read_environment(fields, known=FIELDS)
    return argparse.Namespace(**found | named)


def _parser() -> Parser:
    parser = Parser(
        prog=f"{FLOW} clean",
        description="Remove the data and objects that ended runs left; outputs stay.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.command = "clean: "
    parser.add_argument(
        "--all", action="store_true", default=False, help="also of runs of the last 7 days"
    )
    for name in SHARED:
        add_argument(parser, FIELDS[name])
    parser.add_argument(
        "--everything",
        action="store_true",
        default=False,
        help="on the cluster: runs in progress, MinIO and all its data, outputs included",
    )
    return parser


def _clean_cluster(given: argparse.Namespace, kept: float) -> Iterator[str]:
    from k8s.api.connection import connect
    from k8s.run.clean import clean_runs, delete_store

    with connect(given.context, given.namespace) as cluster:
        yield from (f"run {run}" for run in clean_runs(cluster, running=given.everything))
        if given.everything:
            yield from delete_store(cluster)
        elif cluster.get("Deployment", "minio"):
            yield from _clean_store(cluster, kept)
        yield from _clean_images(cluster, given.load)


def _clean_store(cluster: Cluster, kept: float) -> Iterator[str]:
    from k8s.run.clean import clean_store, live_runs
    from k8s.store.minio import find_or_start

    with find_or_start(cluster, 0) as minio:
        removed = clean_store(minio.access, live_runs(cluster), kept)
    yield from (f"{removed} runs and uploads in the store" for _ in range(min(removed, 1)))


def _clean_images(cluster: Cluster, load: str) -> Iterator[str]:
    """Images that no pod of the namespace uses, from Docker and the nodes of a local cluster."""
    from k8s.images.load import loader_for
    from k8s.images.prune import prune_images

    if cluster.local or load:
        pods = cluster.select("Pod")
        used = {c["image"] for pod in pods for c in pod["spec"]["containers"]}
        yield from prune_images(loader_for(cluster.name, load), used, say)
