"""Removes the test cluster and the Docker engine that was started for it, and says what is left.

python -m tests.cluster.take_down
"""

from __future__ import annotations

import shutil
import sys

from tests.build_cache import BuildFailed, cache_folder, locked, output
from tests.cluster.progress import say
from tests.cluster.support import engine
from tests.cluster.support.layout import CLUSTER, CLUSTER_LABEL, cluster_folder
from tests.cluster.support.nodes import DOCKER_SECONDS, remove_nodes
from tests.cluster.support.usage import refuse_while_in_use


def take_down() -> list[str]:
    """What could not be removed or belongs to others, one line each; empty: nothing is left."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with locked(cache_folder() / "cluster.lock"):
        refuse_while_in_use()
        if engine.answers():
            for thing in remove_nodes():
                say(f"removed {thing}")
        if cluster_folder().exists():
            shutil.rmtree(cluster_folder())
            say(f"removed {cluster_folder()}")
        left = _left_in_engine()
        if not left and engine.has_remains():
            how = "stopped" if engine.is_ours() else "cleaned up after"
            left = engine.stop_engine()
            say(f"{how} the Docker engine of the cluster, with its folders, rules and bridges")
    return left


def _left_in_engine() -> list[str]:
    """What of the cluster is still there, and what else keeps an engine of ours running."""
    if not engine.answers():
        return []
    label = ["--filter", f"label={CLUSTER_LABEL}={CLUSTER}"]
    left = []
    for kind, command in (("container", ["ps", "--all"]), ("network", ["network", "ls"])):
        format_ = ["--format", "{{.Names}}" if kind == "container" else "{{.Name}}"]
        names = output(["docker", *command, *label, *format_], DOCKER_SECONDS).split()
        left += [f"{kind} {name}" for name in names]
    if engine.is_ours():
        others = output(["docker", "ps", "--format", "{{.Names}}"], DOCKER_SECONDS).split()
        left += [f"dockerd, which still runs the container {name}" for name in others]
    return left


def main() -> None:
    try:
        left = take_down()
    except BuildFailed as error:
        sys.exit(f"make cluster-down: {error}")
    if left:
        sys.exit("make cluster-down: left are " + "; ".join(left))
    say("nothing is left but the cache, " + str(cache_folder()))


if __name__ == "__main__":
    main()
