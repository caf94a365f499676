"""The law of a user's partitioner: every group is in the partition that its key is assigned to.

A partitioner that answers otherwise in another process, or another time, leaves one key in several
parts of the output. So a reduce task asks it again for each of its keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from gomr_runtime.dataflow.pairs.frames import user_keys
from gomr_runtime.dataflow.reduce.groups import Giant
from gomr_runtime.dataflow.reduce.native_merge import Merged
from gomr_runtime.errors import RecordFailed

if TYPE_CHECKING:
    from gomr_runtime.dataflow.reduce.fan_in import Group
    from gomr_runtime.dataflow.shuffle.partitioner import UserPartitioner

PROBED: Final = 32
"""The first keys of a task, which are asked for `ASKED` times: where there are few keys, one answer
of a partitioner that draws lots is too likely to be right."""
ASKED: Final = 8


def in_own_partition(
    groups: Iterator[Group], partitioner: UserPartitioner, partition: int
) -> Iterator[Group]:
    """Pass on the groups of a reduce task whose partitioner agrees that they belong here.

    Args:
        groups: the groups of the task.
        partitioner: the user's, as map tasks ask it.
        partition: the number of the task.

    Raises:
        RecordFailed: for the first key that the partitioner assigns to another partition.
    """
    probed = 0
    for group in groups:
        keys = _keys_of(group)
        times = ASKED if probed < PROBED else 1
        for key in keys if times == 1 else keys[:PROBED] * (times - 1) + keys:
            answer = partitioner.ask(key)
            if answer != partition:
                raise RecordFailed(
                    f"{partitioner.task}, key {key!r:.80}: partitioner(key, "
                    f"{partitioner.partitions}) gives {answer}, but gave {partition} in a map "
                    "task: derive its answer from the key and n alone, without randomness, time, "
                    "id() or anything that a task changes"
                )
        probed += len(keys)
        yield group


def _keys_of(group: Group) -> list[Any]:
    if isinstance(group, Merged):
        return group.keys()
    return user_keys(group.kind, [group.key] if isinstance(group, Giant) else group.keys)
