"""The books of a run: whatever was read went somewhere, whatever is in the output came from there.

records read  = mapped + skipped + set aside
bytes read    = bytes of the input files
pairs emitted = pairs combined away + pairs in the map output
map output    = pairs read by the reducers
parts         = records the reducers wrote (map-only: pairs in the map output)
"""

from __future__ import annotations

from dataclasses import dataclass

from gomr_runtime.job import Ledger


@dataclass(frozen=True, slots=True)
class Facts:
    """What the books must agree with, known without reading a record.

    input_bytes: the sum of the input files' sizes as stored. part_records: the sum over the
    output's parts.
    """

    map_only: bool
    input_bytes: int
    part_records: int


def check_books(ledger: Ledger, facts: Facts) -> list[str]:
    """Every difference in words; an empty list when the books balance."""
    used = ledger.mapped + ledger.skipped + ledger.set_aside
    # Pairs may be combined in several rounds, or not at all (floats are not summed early), so the
    # law is about what combining took away.
    kept = ledger.map_out - (ledger.combine_in - ledger.combine_out)
    claims = [
        ("records read", ledger.records_read, "mapped + skipped + set aside", used),
        ("pairs emitted less those combined away", kept, "pairs written", ledger.written),
        ("bytes read", ledger.bytes_read, "bytes of the input files", facts.input_bytes),
    ]
    if facts.map_only:
        claims.append(("pairs written", ledger.written, "records in the parts", facts.part_records))
    else:
        claims += [
            ("pairs written", ledger.written, "pairs read by reducers", ledger.reduce_in),
            ("records reduced", ledger.reduce_out, "records in the parts", facts.part_records),
        ]
    return [f"{a} {x} != {b} {y}" for a, x, b, y in claims if x != y]
