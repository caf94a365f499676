"""What a master asks of the store: one blocking call each, run in a thread, answered later."""

from __future__ import annotations

from dataclasses import dataclass

from gomr_runtime.errors import GomrError
from gomr_runtime.master.journal import Journal, Manifest
from gomr_runtime.model.ids import AttemptId
from gomr_runtime.model.job import ColumnType, MapOutput, Part, Summary


@dataclass(frozen=True, slots=True)
class Commit:
    """Create the manifest; answered by the one that stands."""

    attempt: AttemptId
    manifest: Manifest

    def run(self, journal: Journal) -> Manifest:
        return journal.commit(self.manifest)


@dataclass(frozen=True, slots=True)
class Seal:
    """Store the list of map outputs; answered by its key."""

    outputs: tuple[MapOutput, ...]

    def run(self, journal: Journal) -> str:
        return journal.seal_maps(self.outputs)


@dataclass(frozen=True, slots=True)
class TypeParts:
    """Store parts again with the types that their columns have in other parts; answered by them,
    in the same order."""

    parts: tuple[Part, ...]
    types: tuple[ColumnType, ...]

    def run(self, journal: Journal) -> tuple[Part, ...]:
        return journal.type_parts(self.parts, self.types)


@dataclass(frozen=True, slots=True)
class Conclude:
    """Decide how the run ends and, if it ends well, make its output of the parts stored under
    `sources`; answered by the decision that stands, which may be an earlier one."""

    summary: Summary
    sources: tuple[str, ...] = ()

    def run(self, journal: Journal) -> Summary:
        return journal.conclude(self.summary, self.sources)


@dataclass(frozen=True, slots=True)
class WriteSummary:
    """Store what the run's end was, for whoever asks later."""

    summary: Summary

    def run(self, journal: Journal) -> None:
        journal.write_summary(self.summary)


Duty = Commit | Seal | TypeParts | Conclude | WriteSummary
Answer = Manifest | Summary | tuple[Part, ...] | str | GomrError | None
