"""What is done about stored bytes that are not what was stored."""

from __future__ import annotations

import dataclasses
import zlib
from collections import Counter
from typing import Any

from gomr_runtime.codec import checked
from gomr_runtime.dataflow.shuffle import run_reader
from gomr_runtime.master.core.books import Books
from gomr_runtime.master.core.core import Core
from gomr_runtime.master.core.duties import Seal
from gomr_runtime.master.journal import Journal
from gomr_runtime.model import layout, run_index
from gomr_runtime.model.map_list import encode_maps
from gomr_runtime.scheduler import damage
from gomr_runtime.scheduler.state import TaskState
from tests.simulation.mutants.registry import mutant

# Damage.


@mutant(run_reader, "read_body")
def checksums_of_frames_are_skipped(original: Any) -> Any:
    """A block is delivered whatever its checksum says."""

    def read(header: Any, body: Any, where: str) -> Any:
        crc = zlib.crc32(body, header.seed)
        return original(dataclasses.replace(header, crc=crc, stored=len(body)), body, where)

    return read


@mutant(run_index, "_crc")
def checksums_of_the_index_are_skipped(original: Any) -> Any:
    """An index is believed whatever its checksum says."""
    return lambda partitions, body: 0


@mutant(checked, "decode")
def checksums_of_the_journal_are_skipped(original: Any) -> Any:
    """Manifests and lists are believed whatever their checksum says."""

    def decode(data: bytes) -> Any:
        body = data[9:]
        return original(b"%08x\n%s" % (zlib.crc32(body), body))

    return decode


@mutant(damage, "found")
def damaged_maps_do_not_run_again(original: Any) -> Any:
    """The reducer that found the damage tries again and again."""
    return lambda run, source, failure: None


@mutant(damage, "damaged_too_often")
def damage_without_bound(original: Any) -> Any:
    """A map whose output is damaged each time runs for ever."""
    return lambda source, failure, config: None


@mutant(damage, "read_by")
def old_news_of_damage_count_again(original: Any) -> Any:
    """A map that ran again runs once more for what a reducer says of its old output."""
    return lambda reducer, source: source.state is TaskState.COMMITTED


@mutant(Core, "_commit")
def a_map_that_ran_again_commits_under_its_old_key(original: Any) -> Any:
    """Its manifest competes with the one whose data is bad."""
    return lambda core, attempt, generation: original(core, attempt, 0)


@mutant(Core, "_succeeded")
def reducers_keep_reading_the_first_list(original: Any) -> Any:
    """What ran again is committed, and nobody reads it."""

    def succeeded(core: Core, duty: Any, answer: Any) -> None:
        first = core._maps_key
        original(core, duty, answer)
        if isinstance(duty, Seal) and first:
            core._maps_key = first

    return succeeded


@mutant(Journal, "seal_maps")
def the_list_of_maps_is_overwritten(original: Any) -> Any:
    """A reduce attempt may read one list first and another one later."""

    def seal(journal: Journal, maps: Any) -> str:
        key = layout.maps(journal.run)
        journal.store.put(key, encode_maps(maps))
        return key

    return seal


@mutant(Books, "enter")
def the_first_generation_stays_in_the_books(original: Any) -> Any:
    """The list of map outputs names the damaged one for ever."""

    def enter(books: Books, manifest: Any) -> None:
        if manifest.attempt.task not in books.committed:
            original(books, manifest)

    return enter


@mutant(damage, "blamed")
def the_wrong_map_is_blamed(original: Any) -> Any:
    """Another map than the one whose output is bad runs again."""

    def blamed(task: Any, maps: Any, failure: Any) -> Any:
        found = original(task, maps, failure)
        return found and maps[(found.id.index + 1) % len(maps)]

    return blamed


@mutant(Books, "totals")
def what_ran_again_counts_twice(original: Any) -> Any:
    """The books hold the map whose output was damaged, and the one that took its place."""

    def totals(books: Books) -> Any:
        again = [manifest for manifest in books.committed.values() if manifest.generation]
        found = original(books)
        counters = Counter(found.counters)
        for manifest in again:
            counters.update(manifest.result.counters)
        return dataclasses.replace(found, counters=dict(counters))

    return totals
