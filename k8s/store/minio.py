"""The object store of a namespace: found, or started and waited for."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from gomr_runtime.errors import EnvironmentFailed
from gomr_runtime.storage.s3.settings import S3Settings
from k8s import manifest_objects
from k8s.api.client import Api, Object
from k8s.api.port_forward import PortForward
from k8s.manifest_objects import MINIO_ENDPOINT, MINIO_SELECTOR
from k8s.pods.evidence import EvidenceReader
from k8s.pods.judgement import Judge
from k8s.pods.state import is_ready
from k8s.pods.trouble import Trouble, refused_pods, trouble_of, volume_trouble
from k8s.pods.watch import error_of
from k8s.store.access import StoreAccess
from k8s.store.bucket import check_fits, ensure_bucket
from k8s.store.minio_admin import DEFAULT_LOGIN, known_as_unpatched

if TYPE_CHECKING:
    from k8s.api.connection import Cluster

NAME = "minio"
CLAIM = "minio-pvc"
BUCKET = "map-reduce-bucket"
URL = f"s3://{BUCKET}"
PORT = 9000
START_SECONDS = 300.0  # an image may have to be pulled
TICK = 1.0

Tell = Callable[[str], None]


class Minio:
    """The running store; `access` says how to reach it. Close it, or use `with`: that ends the
    port of this machine, not the store."""

    def __init__(self, cluster: Cluster, user: str, password: str) -> None:
        self._forward = None if cluster.inside else PortForward(cluster, MINIO_SELECTOR, PORT)
        if self._forward is not None:
            self._forward.open()
        here = MINIO_ENDPOINT if self._forward is None else f"http://{self._forward.address}"
        self.access = StoreAccess(
            URL, _settings(here, user, password), _settings(MINIO_ENDPOINT, user, password)
        )

    def __enter__(self) -> Minio:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._forward is not None:
            self._forward.close()

    def check_fits(self, needed: int, size: int) -> None:
        """StorageError when inputs of `needed` bytes cannot fit; size: what --store-size allows."""
        check_fits(needed, size, self.access.here)


def find_or_start(
    cluster: Cluster, size: int, image: str = "", tell: Tell = lambda _: None
) -> Minio:
    """MinIO with its bucket, ready. size: bytes of a new volume; image: of a new server, "" for
    the manifest's; tell: hears what takes long.

    Raises EnvironmentFailed with the cause when it cannot be started, and when a cluster that is
    not local has the login that everybody knows.
    """
    user, password = cluster.run(_ensure(cluster.api, cluster.local, size, image, tell))
    minio = Minio(cluster, user, password)
    try:
        ensure_bucket(BUCKET, minio.access.here)
    except BaseException:
        minio.close()
        raise
    return minio


async def _ensure(api: Api, local: bool, size: int, image: str, tell: Tell) -> tuple[str, str]:
    """User and password of a server that is ready."""
    deployment, secret = await asyncio.gather(api.get("Deployment", NAME), api.get("Secret", NAME))
    if deployment is not None and not _is_ours(deployment):
        raise EnvironmentFailed(
            f"namespace {api.namespace} has a deployment {NAME} that is not of GoMR: use another "
            "--namespace, or an endpoint of your own (--store s3://…, GOMR_S3_ENDPOINT)"
        )
    if secret is None:
        secret = await _make_secret(api, local)
    user, password = _login(secret)
    if not local and DEFAULT_LOGIN in {user, password}:
        raise EnvironmentFailed(
            f"Secret {NAME} of namespace {api.namespace} on cluster {api.cluster} holds MinIO's "
            f"default login, which everybody knows: kubectl -n {api.namespace} delete "
            f"secret/{NAME} deployment/{NAME}, then run again"
        )
    if running := _unpatched_image(deployment, image):
        tell(
            f"MinIO of namespace {api.namespace}, {running}, has known faults "
            "(docs/kubernetes.md, Which MinIO): delete deployment/minio for a newer one; "
            "its data stays"
        )
    if deployment is None or not deployment.get("status", {}).get("readyReplicas"):
        if deployment is None:
            tell(f"start MinIO in namespace {api.namespace} of cluster {api.cluster}")
            for wanted in manifest_objects.minio_objects(image, size):
                await api.create(wanted)
        tell("wait for MinIO")
        await _wait_ready(api)
    return user, password


async def _make_secret(api: Api, local: bool) -> Object:
    wanted = manifest_objects.minio_secret(
        DEFAULT_LOGIN if local else secrets.token_hex(10),
        DEFAULT_LOGIN if local else secrets.token_urlsafe(32),
    )
    made = await api.create(wanted) or await api.get("Secret", NAME)  # another run was faster
    if made is None:
        raise EnvironmentFailed(f"Secret {NAME} was deleted while MinIO was started; run again")
    return made


async def _wait_ready(api: Api) -> None:
    """Return once a pod is ready; raise what keeps it from it."""
    deadline = time.monotonic() + START_SECONDS
    judge, reader = Judge(), EvidenceReader(api)
    pods: list[Object] = []
    changed = asyncio.Event()

    async def follow() -> None:
        nonlocal pods
        async for found in api.follow("Pod", MINIO_SELECTOR):
            pods = found
            changed.set()

    following = asyncio.create_task(follow())
    try:
        while not any(is_ready(pod) for pod in pods):
            troubles = await _around(api, reader, pods)
            troubles += [trouble_of(await reader.of(pod)) for pod in pods]
            told = [trouble for trouble in troubles if trouble is not None]
            if fatal := judge.judge((), told, time.monotonic()).fatal:
                raise error_of(await reader.explained(fatal))
            if following.done():
                following.result()
            if time.monotonic() > deadline:
                cause = f": {told[0].message}" if told else ""
                raise EnvironmentFailed(
                    f"MinIO is not ready after {START_SECONDS:.0f} s{cause}; "
                    f"kubectl -n {api.namespace} describe pod -l {MINIO_SELECTOR}"
                )
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK):
                    await changed.wait()
            changed.clear()
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


async def _around(api: Api, reader: EvidenceReader, pods: list[Object]) -> list[Trouble | None]:
    """What is wrong before there is a pod, and with its volume."""
    if not pods:
        deployment = await api.get("Deployment", NAME)
        return [refused_pods(deployment, ())] if deployment else []
    claim = await api.get("PersistentVolumeClaim", CLAIM)
    return [volume_trouble(claim, await reader.events(claim))] if claim else []


def _unpatched_image(deployment: Object | None, image: str) -> str:
    """The image that runs, or the one that is to run, where its tag says that it is too old."""
    if deployment is not None:
        image = manifest_objects.image_of(deployment)
    return image if known_as_unpatched(image) else ""


def _is_ours(deployment: Object) -> bool:
    labels = deployment["metadata"].get("labels") or {}
    return bool(labels.get("app.kubernetes.io/part-of") == "gomr")


def _login(secret: Object) -> tuple[str, str]:
    data = secret.get("data") or {}
    try:
        user, password = (
            base64.b64decode(data[name]).decode() for name in ("root-user", "root-password")
        )
    except (KeyError, ValueError):
        raise EnvironmentFailed(
            f"Secret {NAME} lacks root-user or root-password: delete it and deployment {NAME}, "
            "then run again"
        ) from None
    return user, password


def _settings(endpoint: str, user: str, password: str) -> S3Settings:
    return S3Settings(endpoint, access_key=user, secret_key=password, allow_http=True)
