"""The list of map outputs that reducers read."""

from __future__ import annotations

import pytest

from gomr_runtime.codec import checked
from gomr_runtime.model.map_list import decode_maps, encode_maps
from gomr_runtime.model.task import MapOutput

OUTPUTS = [MapOutput(0, "runs/r/data/map-0/1-aa/map", 10, 4), MapOutput(1, "ключ", 1 << 40, 9)]


def test_they_come_back_in_task_order() -> None:
    assert decode_maps(encode_maps(reversed(OUTPUTS))) == OUTPUTS


def test_equal_lists_give_equal_bytes() -> None:
    assert encode_maps(OUTPUTS) == encode_maps(reversed(OUTPUTS))


OTHERS = [[], {"version": 1, "maps": []}, {"maps": []}]


@pytest.mark.parametrize("data", [b"", b"[]", *map(checked.encode, OTHERS)])
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        decode_maps(data)


def test_S6_a_flipped_bit_anywhere_is_noticed() -> None:
    good = encode_maps(OUTPUTS)
    for position in range(8 * len(good)):
        bad = bytearray(good)
        bad[position // 8] ^= 1 << position % 8
        with pytest.raises(ValueError):
            decode_maps(bytes(bad))
