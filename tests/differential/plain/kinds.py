"""The kinds of refusal: the exit code, and what the one line must say."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    exit_code: int
    says: str

    def fits(self, exit_code: int, message: str) -> bool:
        return exit_code == self.exit_code and re.search(self.says, message) is not None


RAISED = "LookupError: .*on purpose"
KINDS = {
    "key_kind": Kind(1, "a key may not (be|hold) "),
    "key_nan": Kind(1, "a key may not be NaN"),
    "key_surrogate": Kind(1, "lone surrogate"),
    "value_kind": Kind(1, "a value may not (be|hold) |needs str keys"),
    "value_surrogate": Kind(1, "lone surrogate"),
    "value_type": Kind(1, "is no (int|float)|the annotation says "),
    "raised": Kind(1, RAISED),
    "partitioner": Kind(1, r"partitioner\(.* returned .*an int from 0 to "),
    "combiner_key": Kind(1, "a combiner keeps the key"),
    "combiner_nothing": Kind(1, "combiner"),
    "second_pass": Kind(1, "values can be read once"),
    "no_number": Kind(1, "needs int or float values"),
    "no_order": Kind(1, "not supported between instances|NaN has no place"),
    "json_nan": Kind(1, "cannot hold NaN or an infinity"),
    "column_types": Kind(1, "column (key|value) holds both "),
    "column_containers": Kind(1, "a csv (key|value) cannot be a (tuple|list|dict)"),
    "column_known": Kind(2, "csv cannot hold the values of type (tuple|list|dict)"),
    "not_utf8": Kind(1, "invalid UTF-8 at byte "),
    "not_json": Kind(1, "not JSON|is not JSON"),
    "csv_row": Kind(1, "the row has . fields, the header has "),
    "no_pair": Kind(1, "pair"),
    "returned": Kind(1, "return|yield"),
    "counter": Kind(1, r"add\(\) takes an int"),
    "annotation": Kind(2, "annotation"),
    "async": Kind(2, "async def"),
    "no_config": Kind(2, "never calls gomr.run"),
    "sum_range": Kind(1, "beyond what a float holds"),
    "skip_chunk": Kind(2, "--skip-bad-records needs "),
}
