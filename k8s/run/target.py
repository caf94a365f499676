"""Where a run goes: this machine, or a cluster with the store that it has there."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from gomr_runtime.errors import UsageError
from gomr_runtime.model.inputs.files import InputFile
from gomr_runtime.model.quantities import parse_size
from gomr_runtime.options.declared import RunOptions
from gomr_runtime.runs.place import Place, this_machine
from gomr_runtime.storage.base import Store
from gomr_runtime.storage.inputs.s3_files import list_inputs
from gomr_runtime.storage.open_store import open_store
from gomr_runtime.storage.s3.settings import S3Settings, split_s3_url
from gomr_runtime.user_code.local_imports import imports_not_found
from k8s.api.connection import Cluster, connect, why_unreachable
from k8s.api.contexts import choose, contexts_of, in_cluster_namespace, read_contexts
from k8s.manifest_objects import RunPods
from k8s.run.fit import fitting_workers
from k8s.settings import ImageSettings, StoreSettings
from k8s.store.access import StoreAccess, outside
from k8s.store.minio import URL, Minio, find_or_start
from k8s.store.minio_admin import check_patched
from k8s.store.run_login import client_access

Tell = Callable[[str], None]


class Target:
    """The cluster of a run. Its store is found or started when it is first needed."""

    def __init__(self, cluster: Cluster, options: RunOptions, tell: Tell) -> None:
        """tell: hears what takes long."""
        self.cluster = cluster
        cluster.api.be_patient(lambda text: tell(f"warning: {text}"))
        self._tell = tell
        self._options = options
        self._minio: Minio | None = None
        self._of_run: StoreAccess | None = None

    def store(self) -> StoreAccess:
        """MinIO in the cluster, or the outside store of `--store s3://…` and its settings."""
        if self._options.store:
            return outside(self._options.store, StoreSettings().for_clients())
        if self._minio is None:
            size = parse_size(self._options.store_size)
            image = ImageSettings().minio_image
            minio = find_or_start(self.cluster, size, image, self._tell)
            try:
                # Before anything is brought there: workers will be given keys to it.
                check_patched(minio.access.here)
            except BaseException:
                minio.close()
                raise
            self._minio = minio
        return self._minio.access

    def store_of(self, run: str) -> StoreAccess:
        """The same with keys to what is of this run alone, where the store is ours to give some."""
        if self._of_run is None:
            access = self.store()
            self._of_run = client_access(access, run) if self._minio is not None else access
        return self._of_run

    def check_fits(self, needed: int) -> None:
        """StorageError when inputs of so many bytes do not fit into the store in the cluster."""
        if self._minio is not None:
            self._minio.check_fits(needed, parse_size(self._options.store_size))

    def list_inputs(self, url: str, own_store: str) -> Iterable[InputFile]:
        """The inputs at `url`, which lie where the run's store is."""
        return list_inputs(url, self.store().here, own_store=own_store)

    def fetch(self, url: str) -> Path:
        """A copy of the worker file `url`, with the modules beside it that it imports, in a folder
        of its own; UsageError when there is no such object."""
        bucket, key = split_s3_url(url)
        store = open_store(f"s3://{bucket}", self.store().here)
        try:
            data = store.get(key)
        except KeyError:
            raise UsageError(f"{url}: there is no such object") from None
        folder, _, name = key.rpartition("/")
        # The folder's name goes into a run id that is made up.
        copy = Path(tempfile.mkdtemp(prefix="gomr-"), folder.rpartition("/")[2] or "job", name)
        copy.parent.mkdir()
        copy.write_bytes(data)
        fetch_modules(store, folder, copy)
        return copy

    def close(self) -> None:
        """Hang up; safe to repeat."""
        if self._minio is not None:
            self._minio.close()
            self._minio = None
        self.cluster.close()


def fetch_modules(store: Store, prefix: str, copy: Path) -> None:
    """Bring what the worker file `copy` imports, and the store has below `prefix`, beside it."""
    asked: set[str] = set()
    while names := imports_not_found(copy) - asked:
        asked |= names
        for name in sorted(names):
            inside = name.replace(".", "/")
            for path in (f"{inside}/__init__.py", f"{inside}.py"):
                with suppress(KeyError):
                    data = store.get(f"{prefix}/{path}" if prefix else path)
                    place = copy.parent / path
                    place.parent.mkdir(parents=True, exist_ok=True)
                    place.write_bytes(data)
                    break


def choose_target(options: RunOptions, tell: Tell) -> tuple[Place, Target | None]:
    """The place for `prepare`, and the cluster when it is one. Raises UsageError and
    EnvironmentFailed in plain words; a cluster that was not named is never a remote one."""
    kubeconfig = kubeconfig_of_block(options.credentials) if options.credentials else None
    contexts = read_contexts() if kubeconfig is None else contexts_of(kubeconfig)
    if not contexts.known and in_cluster_namespace() and options.runtime != "local":
        check_references(options)
        cluster = connect(namespace=options.namespace)
        return _on(Target(cluster, options, tell), options, "runtime: kubernetes (of this pod)")
    choice = choose(options.runtime, options.context, contexts, why_unreachable)
    if choice.runtime == "local":
        return this_machine(options, choice.reason), None
    cluster = connect(choice.context, options.namespace, kubeconfig=kubeconfig)
    return _on(Target(cluster, options, tell), options, choice.reason)


def check_references(options: RunOptions) -> None:
    """UsageError for what a pod of the cluster does not have: files of somebody's machine, and
    Docker to build images with."""
    for name, value in (("WORKER", options.worker), *(("--input", i) for i in options.input)):
        if not value.startswith("s3://"):
            raise UsageError(
                f"{name} {value}: the flow runs in the cluster and sees no files of your machine: "
                "put it into the store and name it as s3://bucket/key"
            )
    for name in ("worker_image", "master_image"):
        if not getattr(options, name):
            raise UsageError(
                f"--{name.replace('_', '-')} is missing: the flow runs in the cluster, where no "
                "image can be built: name one that the nodes have"
            )


def kubeconfig_of_block(name: str) -> dict[str, Any]:
    """The kubeconfig in the Prefect block `KubernetesCredentials/name`, its context the current
    one."""
    from prefect_kubernetes.credentials import KubernetesCredentials  # takes seconds

    try:
        block = KubernetesCredentials.load(name)
    except ValueError as error:
        raise UsageError(f"--credentials {name}: {error}") from None
    if block.cluster_config is None:
        raise UsageError(f"--credentials {name}: the block holds no cluster config")
    config = dict(block.cluster_config.config)
    return config | {"current-context": block.cluster_config.context_name}


def _on(target: Target, options: RunOptions, reason: str) -> tuple[Place, Target]:
    pods = RunPods(
        run=options.run_id or "run",
        master_image="",
        worker_image="",
        workers=options.workers or 1,
        memory=options.memory_bytes,
        store=options.store or URL,
        s3=S3Settings(),
    )
    try:
        fit = fitting_workers(target.cluster, pods, options.workers)
    except BaseException:
        target.close()
        raise
    notes = tuple(filter(None, (reason, fit.note)))
    place = Place(
        notes,
        store=options.store or URL,
        workers=fit.workers,
        most_workers=fit.workers,
        on_cluster=True,
        list_s3=target.list_inputs,
    )
    return place, target


def with_worker_here(options: RunOptions, target: Target | None) -> RunOptions:
    """The options with a worker file of this machine, where it was named as an object."""
    if not options.worker.startswith("s3://"):
        return options
    if target is None:
        raise UsageError(f"{options.worker}: a worker file in a store is for --runtime kubernetes")
    return replace(options, worker=str(target.fetch(options.worker)))
