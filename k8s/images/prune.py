"""Removing images of earlier runs, from Docker and from the nodes."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta

from k8s.images.docker import Tell, ask, call
from k8s.images.load import Loader, NodeLoader
from k8s.images.plan import on_node

KEEP_DAYS = 7.0

_OURS = re.compile(r"(docker\.io/library/)?(mr-master:|mr-worker:(ground-)?)[0-9a-f]{20}")
# Names that containerd makes up beside the one that was given.
_ALIAS = re.compile(r"(import-[\d-]+@)?sha256:[0-9a-f]{64}")


def prune_images(
    loader: Loader, used: Collection[str], tell: Tell, *, days: float = KEEP_DAYS
) -> list[str]:
    """Remove the images that GoMR made more than `days` ago and that no pod uses.

    used: what pods have as `image`; on nodes whatever a container there runs stays anyway, as do
    images built by hand under other tags.
    Gives `where: reference` of each that went. On nodes and in Docker; a registry has rules of its
    own for what it keeps.
    """
    spared = {on_node(reference) for reference in used}
    gone = []
    if isinstance(loader, NodeLoader):
        ages, running = loader.nodes.ages(), loader.nodes.in_use()
        for node, listed in loader.nodes.listed().items():
            names, aliases = removable(listed, ages[node], spared | running[node], days)
            loader.nodes.remove(node, [*names, *aliases])
            gone += [f"{node}: {name}" for name in names]
    for reference in _old_in_docker(days):
        if on_node(reference) not in spared and not ask("docker", "rmi", reference).code:
            gone.append(f"docker: {reference}")
    if gone:
        tell(f"removed {len(gone)} images of earlier runs")
    return gone


def removable(
    listed: Sequence[tuple[str, str]],
    ages: Mapping[str, float],
    spared: Collection[str],
    days: float,
) -> tuple[list[str], list[str]]:
    """Names of a node's images to remove, and containerd's own names that keep them there.

    listed: names with digests. ages: by digest, in days.
    """
    running = {digest for name, digest in listed if name in spared}  # under any name
    old = [(n, d) for n, d in listed if _OURS.fullmatch(n) and ages.get(d, 0.0) >= days]
    names = [name for name, digest in old if digest not in running]
    held = {digest for name, digest in listed if name not in names and not _ALIAS.fullmatch(name)}
    free = {digest for name, digest in old if name in names} - held
    return names, [name for name, digest in listed if _ALIAS.fullmatch(name) and digest in free]


def _old_in_docker(days: float) -> Iterator[str]:
    form = "{{.Repository}}:{{.Tag}}\t{{.CreatedAt}}"
    filters = ("--filter", "reference=mr-master", "--filter", "reference=mr-worker")
    limit = datetime.now(UTC) - timedelta(days=days)
    for line in call("docker", "images", *filters, "--format", form).decode().splitlines():
        reference, _, created = line.partition("\t")  # 2026-01-02 03:04:05 +0100 CET
        made = datetime.strptime(" ".join(created.split()[:3]), "%Y-%m-%d %H:%M:%S %z")
        if _OURS.fullmatch(reference) and made <= limit:
            yield reference
