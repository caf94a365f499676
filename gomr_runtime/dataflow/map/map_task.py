"""A map task: blocks of records through the user's mapper into a collector or a part."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from gomr_runtime.api.context import Context
from gomr_runtime.api.user_frames import describe, place_of, user_frames
from gomr_runtime.dataflow.emit.emitter import Drain, Emitter
from gomr_runtime.dataflow.emit.returned import emit_returned
from gomr_runtime.dataflow.input.block import Block
from gomr_runtime.dataflow.map.native_emit import Direct
from gomr_runtime.dataflow.map.set_aside import SetAside
from gomr_runtime.dataflow.output.column_types import CheckPair
from gomr_runtime.dataflow.output.native_text import DirectText
from gomr_runtime.dataflow.pairs.pair_batch import BadPair
from gomr_runtime.dataflow.pairs.pair_law import PairLaw, names
from gomr_runtime.dataflow.profile import EmitSampler, timed
from gomr_runtime.errors import GomrError, RecordFailed
from gomr_runtime.model.inputs.files import Piece
from gomr_runtime.model.monitor import (
    BLOCK_OFFSET,
    BLOCK_RECORD,
    DONE,
    PIECE,
    RECORD,
    TICKS,
    Monitor,
)
from gomr_runtime.model.task import BadRecord, Place
from gomr_runtime.user_code.declared import type_name
from gomr_runtime.user_code.program import Program

IDLE = -1
MOST_MARKS = 65_536
"""So many records begun are drained even if they emitted next to nothing."""


@dataclass(slots=True)
class MapBooks:
    """What a map task counts beside its collector (see `job.Ledger`)."""

    records_read: int = 0
    bytes_read: int = 0
    mapped: int = 0
    skipped: int = 0


Locate = Callable[[int, int, int], int]
"""(piece, block offset, record in that block) to the record's offset in its file."""


class MapTask:
    """Feeds records to the mapper; `books` and `set_aside` are the result beside the pairs."""

    def __init__(
        self,
        name: str,
        program: Program,
        ctx: Context,
        pieces: Sequence[Piece],
        drain: Drain,
        monitor: Monitor,
        locate: Locate,
        *,
        allowed_bad: int = 0,
        known_bad: frozenset[int] = frozenset(),
        law: PairLaw | None = None,
        direct: Direct | DirectText | None = None,
        attempt: int = 1,
        check: CheckPair | None = None,
        set_aside: SetAside | None = None,
    ) -> None:
        """name: the task's, for errors. allowed_bad: bad records to set aside. known_bad: record
        numbers that killed earlier attempts; they are set aside without being tried. law: of the
        pairs. direct: takes pairs past the emitter, where no record has to be taken back. attempt:
        of the task. check: of pairs as they are emitted. set_aside: takes bad records, by default
        the first few."""
        self.books = MapBooks()
        self.set_aside = set_aside or SetAside(None)
        self._block_in_hand: Block | None = None
        self._name = name
        self._program = program
        self._ctx = ctx
        self._pieces = pieces
        self._monitor = monitor
        self._locate = locate
        self._allowed = allowed_bad
        self._known_bad = known_bad
        self._attempt = attempt
        self._number = 0
        self._starts: list[tuple[int, int, int]] = []  # (number, piece, offset) of blocks
        self._mapper = partial(program.config.mapper, ctx)
        self.emitter = Emitter(drain, whole_records=allowed_bad > 0, check=check)
        self._law = law or PairLaw()
        self.emitter.bind(ctx, self._law, self._tick)
        if direct is not None and not self.emitter.whole_records:
            direct.bind(self.emitter, ctx, monitor)
        self._sampler = EmitSampler(ctx)

    def run(self, blocks: Iterable[Block]) -> None:
        """All of it: setup, every block, finish. Raises RecordFailed."""
        self._edge("setup", self._program.config.setup)
        for block in blocks:
            self._block(block)
        self._edge("finish", self._program.config.finish)
        self._drain()

    def _block(self, block: Block) -> None:
        block = self._typed(block)
        self._note(block)
        if block.bad or self._known_bad:
            self._sampler.run(lambda: self._carefully(block))
        else:
            self._sampler.run(lambda: self._records(block, 0, len(block.records)))
        if self.emitter.whole_records or len(self.emitter.marks) > MOST_MARKS:
            self._drain()  # while the bytes of the block are there, for records that are bad
        self._number += len(block.records)
        monitor = self._monitor
        monitor[BLOCK_RECORD] = IDLE
        monitor[DONE] = self.books.bytes_read
        monitor[TICKS] += 1

    def _typed(self, block: Block) -> Block:
        """The block; records that are not of the annotated types are bad."""
        types = self._program.declared.records
        if types is None or types.issuperset(map(type, block.records)):
            return block
        bad = dict(block.bad)
        for i, record in enumerate(block.records):
            if i not in bad and type(record) not in types:
                cause = (
                    f"the record is {type_name(type(record))}, the annotation says {names(types)}"
                )
                offset = self._locate(block.piece, block.offset, i)
                source = self._pieces[block.piece].file.source
                place = place_of(self._program.config.mapper)
                bad[i] = BadRecord(source, offset, i, cause, place)
        return replace(block, bad=bad)

    def _note(self, block: Block) -> None:
        books = self.books
        books.records_read += block.lines + block.skipped
        books.bytes_read += block.bytes_read
        books.mapped += block.lines
        books.skipped += block.skipped
        self._ctx.source = self._pieces[block.piece].file.source
        self._block_in_hand = block
        self._forget_starts()
        self._starts.append((self._number, block.piece, block.offset))
        monitor = self._monitor
        monitor[PIECE] = block.piece
        monitor[BLOCK_OFFSET] = block.offset
        monitor[RECORD] = self._number

    def _forget_starts(self) -> None:
        """Drop blocks none of whose records has pairs that are not drained."""
        if not self.emitter.marks:
            self._starts.clear()
        elif isinstance(oldest := self.emitter.origins[0], int):
            del self._starts[: self._start_of(oldest)]

    def _start_of(self, number: int) -> int:
        return bisect_right(self._starts, number, key=lambda start: start[0]) - 1

    def _records(self, block: Block, start: int, end: int) -> None:
        """Records [start, end) of the block; the one loop whose cost counts."""
        emitter, mapper, monitor, ctx = self.emitter, self._mapper, self._monitor, self._ctx
        function = self._program.config.mapper
        keys, records, number = emitter.keys, block.records, self._number
        begin_mark, begin_origin = emitter.marks.append, emitter.origins.append
        i = start
        while i < end:
            try:
                for i in range(i, end):  # noqa: B020
                    monitor[BLOCK_RECORD] = i
                    begin_mark(len(keys))
                    begin_origin(number + i)
                    returned = mapper(records[i])
                    if returned is not None:
                        emit_returned(ctx, returned, "mapper", function)
                    if len(keys) > emitter.limit:
                        emitter.check()
            except BadPair as error:
                if emitter.whole_records:
                    self._drain()
                else:
                    self._bad_pair(error)
            except GomrError:
                raise
            except KeyboardInterrupt:
                raise
            except BaseException as error:
                if emitter.failed is not None:
                    raise emitter.failed from None
                emitter.drop_last()
                self._set_aside(number + i, describe(error), user_frames(error))
            i += 1

    def _carefully(self, block: Block) -> None:
        """A block with records that are bad before the mapper sees them."""
        for i in range(len(block.records)):
            number = self._number + i
            if (bad := block.bad.get(i)) is not None:
                bad = BadRecord(bad.source, bad.offset, number, bad.cause, bad.detail)
                self._refuse(bad, block.raw()[i][1] if block.raw is not None else None)
            elif number in self._known_bad:
                self._set_aside(number, "it ended the process of an earlier attempt", "")
            else:
                self._records(block, i, i + 1)

    def _tick(self) -> None:
        self._monitor[TICKS] += 1

    def _drain(self) -> None:
        if self.emitter.whole_records:
            self.emitter.drain_records(lambda number, cause: self._set_aside(number, cause, ""))
            return
        while True:
            try:
                self.emitter.drain()
            except BadPair as error:
                self._bad_pair(error)
            else:
                return

    def _bad_pair(self, error: BadPair) -> None:
        origin = self.emitter.drop(error.index)
        if not isinstance(origin, int):
            raise RecordFailed(f"{self._name}, {origin}(ctx): {error.reason}") from None
        self._set_aside(origin, error.reason, "")

    def _set_aside(self, number: int, cause: str, detail: str) -> None:
        block = self._block_in_hand
        if block is not None and block.raw is not None and number >= self._number:
            offset, raw = block.raw()[number - self._number]
            piece = block.piece
        else:
            first, piece, block_offset = self._starts[self._start_of(number)]
            offset, raw = self._locate(piece, block_offset, number - first), None
        source = self._pieces[piece].file.source
        self._refuse(BadRecord(source, offset, number, cause, detail), raw)

    def _refuse(self, bad: BadRecord, raw: bytes | None) -> None:
        self.set_aside.add(bad, raw)
        self.books.mapped -= 1
        if self.set_aside.count <= self._allowed:
            return
        first, *others = self.set_aside.first[:3]
        then = "".join(f"; then {b.source} at byte {b.offset}: {b.cause}" for b in others)
        raise RecordFailed(
            f"{first.source}, record at byte {first.offset} (record {first.record} of "
            f"{self._name}): {first.cause}{then}",
            detail=first.detail,
            place=Place(first.source, first.offset, first.record),
        )

    def _edge(self, which: str, function: Callable[[Context], Any] | None) -> None:
        """setup or finish, whose emits belong to no record."""
        if function is None:
            return
        self._drain()
        self._ctx.source = ""
        whole, self.emitter.whole_records = self.emitter.whole_records, False
        self.emitter.begin(which)
        try:
            with timed("user"):
                emit_returned(self._ctx, function(self._ctx), which, function)
            self.emitter.drain()
        except GomrError:
            raise
        except BadPair as error:
            self._bad_pair(error)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            if self.emitter.failed is not None:
                raise self.emitter.failed from None
            raise RecordFailed(
                f"{self._name}, {which}(ctx): {describe(error)}", detail=user_frames(error)
            ) from None
        self.emitter.whole_records = whole
