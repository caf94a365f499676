"""What children send and print, in bounded memory and with checks."""

from __future__ import annotations

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gomr_runtime.worker.channel import HEADER, MAX_BODY, BadFrame, Kind, frame, read_frame
from gomr_runtime.worker.output_tail import Captured


@given(st.lists(st.tuples(st.sampled_from(Kind), st.binary(max_size=200))))
def test_frames_come_back_one_by_one(frames: list[tuple[Kind, bytes]]) -> None:
    stream = io.BytesIO(b"".join(frame(kind, body) for kind, body in frames))
    assert [read_frame(stream.read) for _ in frames] == frames
    with pytest.raises(EOFError):
        read_frame(stream.read)


@given(st.binary(min_size=1, max_size=50), st.integers(0, 7), st.data())
def test_a_flipped_bit_is_never_taken_for_an_answer(
    body: bytes, bit: int, data: st.DataObject
) -> None:
    good = bytearray(frame(Kind.RESULT, body))
    # The kind is not under the checksum: an answer of another kind is checked by its reader.
    where = data.draw(st.sampled_from([n for n in range(len(good)) if n != HEADER.size - 1]))
    good[where] ^= 1 << bit
    with pytest.raises((BadFrame, EOFError)):
        read_frame(io.BytesIO(good).read)


def test_a_length_beyond_all_measure_is_refused_before_it_is_read() -> None:
    with pytest.raises(BadFrame):
        read_frame(io.BytesIO(HEADER.pack(MAX_BODY + 1, 0, Kind.RESULT)).read)


def test_scribble_is_refused() -> None:
    with pytest.raises(BadFrame):
        read_frame(io.BytesIO(b"hello from a print in user code").read)


@given(st.lists(st.binary(max_size=40)), st.integers(1, 30))
def test_the_beginning_and_the_end_are_kept(chunks: list[bytes], keep: int) -> None:
    captured = Captured(keep)
    for chunk in chunks:
        captured.add(bytes(65 + byte % 26 for byte in chunk))
    whole = bytes(65 + byte % 26 for byte in b"".join(chunks)).decode()
    if len(whole) <= 2 * keep:
        assert captured.text() == whole
    else:
        left_out = len(whole) - 2 * keep
        note = f"\n... {left_out:,} bytes left out ...\n"
        assert captured.text() == whole[:keep] + note + whole[-keep:]
