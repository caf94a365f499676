"""What can be known of a task in flight, even after its process was killed: slots of a monitor."""

from __future__ import annotations

from collections.abc import MutableSequence

# Slots of a monitor: what the parent can read even after the child was killed.
PIECE = 0  # index into TaskSpec.pieces of the input being read
BLOCK_OFFSET = 1  # offset in the (uncompressed) file of the block in hand
BLOCK_RECORD = 2  # the record in flight, counted from 0 in that block; -1 between records
RECORD = 3  # number in the task of the block's first record; for a reduce, of its first group
TICKS = 4  # grows with every block, pair emitted in bulk, ctx.progress(): a sign of life
DONE = 5  # bytes of input (map) or pairs (reduce) done so far
TOTAL = 6  # the same at the end; 0 while unknown
MISUSED = 7  # how often a ctx was used where what it takes is lost
SLOTS = 8
Monitor = MutableSequence[int]
"""`SLOTS` signed 64-bit words; a memoryview over shared memory in a worker, a list inline."""
