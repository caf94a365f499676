"""What earlier runs left in a cluster and in its store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from gomr_runtime.errors import StorageError
from gomr_runtime.model import layout
from gomr_runtime.runs.claims import KEPT_SECONDS
from gomr_runtime.storage.open_store import open_store
from k8s.api.client import Api, Object
from k8s.manifest_objects import PART_OF, RUN
from k8s.pods.state import how_ended
from k8s.run import run_objects
from k8s.store.access import StoreAccess
from k8s.store.minio import BUCKET, CLAIM, NAME
from k8s.store.uploads import sweep_uploads

if TYPE_CHECKING:
    from minio import Minio
    from minio.datatypes import Object as Listed

    from k8s.api.connection import Cluster

STORE_OBJECTS = {
    "Deployment": NAME,
    "Service": NAME,
    "NetworkPolicy": NAME,
    "Secret": NAME,
    "PersistentVolumeClaim": CLAIM,
}


def clean_runs(cluster: Cluster, *, running: bool = False) -> list[str]:
    """Delete the objects of runs that are over, or of all; their ids."""
    runs = cluster.run(_runs(cluster.api))
    chosen = sorted(run for run, is_over in runs.items() if is_over or running)
    for run in chosen:
        run_objects.delete(cluster, run)
    return chosen


def clean_store(access: StoreAccess, live: set[str], kept_seconds: float = KEPT_SECONDS) -> int:
    """Delete the data of runs that nobody touched for `kept_seconds`, and uploads that no run used
    for so long; how many runs and uploads those were. live: runs that go on. Outputs stay."""
    now = time.time()
    store = open_store(access.url, access.here)
    sdk = _sdk(access)
    removed = 0
    for run in _stored_runs(sdk):
        if run in live or now - _last_touched(sdk, run) < kept_seconds:
            continue
        store.delete(layout.run_prefix(run))
        if not list(store.list(layout.success(run))):
            store.delete(layout.output_prefix(run))
        removed += 1
    return removed + sweep_uploads(store, now, kept_seconds)


def delete_store(cluster: Cluster) -> list[str]:
    """Delete MinIO and everything in it, all inputs and outputs; what there was."""
    return [f"{kind}/{name}" for kind, name in STORE_OBJECTS.items() if cluster.delete(kind, name)]


def live_runs(cluster: Cluster) -> set[str]:
    """The runs of the namespace that are not over."""
    return {run for run, is_over in cluster.run(_runs(cluster.api)).items() if not is_over}


async def _runs(api: Api) -> dict[str, bool]:
    """Every run that has objects, and whether it is over: its Job says so or is not there."""
    over: dict[str, bool] = {}
    for deployment in await api.select("Deployment", f"{PART_OF},{RUN}"):
        over[_run_of(deployment)] = True
    for job in await api.select("Job", f"{PART_OF},{RUN}"):
        over[_run_of(job)] = how_ended(job) is not None
    return over


def _run_of(found: Object) -> str:
    return str(found["metadata"]["labels"][RUN])


def _stored_runs(sdk: Minio) -> list[str]:
    names = (str(item.object_name).split("/")[1] for item in _listed(sdk, "runs/"))
    return [name for name in names if layout.RUN_ID.fullmatch(name)]


def _last_touched(sdk: Minio, run: str) -> float:
    """When a master or client last wrote for the run, in seconds since the epoch."""
    written = [
        item.last_modified.timestamp()
        for prefix in (layout.job(run), layout.summary(run), layout.epochs(run))
        for item in _listed(sdk, prefix)
        if item.last_modified is not None
    ]
    return max(written, default=0.0)


def _listed(sdk: Minio, prefix: str) -> list[Listed]:
    """What is directly below the prefix; the SDK also says when it was written."""
    from minio.error import MinioException
    from urllib3.exceptions import HTTPError

    try:
        return list(sdk.list_objects(bucket_name=BUCKET, prefix=prefix))
    except (MinioException, HTTPError) as error:
        raise StorageError(f"cannot list {prefix} in bucket {BUCKET}: {error}") from None


def _sdk(access: StoreAccess) -> Minio:
    from minio import Minio

    if not access.url.startswith(f"s3://{BUCKET}"):
        raise StorageError(f"{access.url} is not GoMR's own store: clean it where it is")
    address = urlsplit(access.here.endpoint)
    return Minio(
        endpoint=address.netloc,
        access_key=access.here.access_key,
        secret_key=access.here.secret_key,
        secure=address.scheme == "https",
        region=access.here.region,
    )
