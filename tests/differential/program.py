"""What a random program is made of: every feature with the value that leaves it out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class File:
    """An input: its name below the program's folder, its content and how that is compressed."""

    name: str
    content: bytes
    compression: str = ""


@dataclass(frozen=True)
class Program:
    """One job. Text fields are Python that goes into worker.py as it stands.

    record: the record format, as in `gomr.<record>`. atoms: of a record, the strings that pairs are
    made of. key, value: of an atom `a`. style: how the mapper gives its pairs. shape: what kind of
    callable it is. tables: literal keys and values by name. domain: of the values (vocabulary).
    reducer, combiner: names of recipes.py, or `gomr.` something. give: how they give their
    pairs. stream, annotated: of the reducer's `values`. sort: `values`, or a key function.
    state: module globals that the mapper uses. side: where helper functions live. fault: what is
    wrong on purpose. plain: whether keys are in the parts that the plain version puts them in.
    """

    seed: int = 0
    record: str = "lines"
    atoms: str = "record.split()"
    key: str = "a"
    value: str = "1"
    keys: str = ""
    values: str = ""
    domain: str = "int"
    style: str = "emit"
    shape: str = "def"
    twice: bool = False
    counts: bool = False
    state: str = ""
    reducer: str = "list"
    combiner: str = ""
    give: str = "emit"
    stream: bool = False
    annotated: str = ""
    combiner_stream: bool = False
    combiner_annotated: str = ""
    sort: str = ""
    partitioner: str = ""
    edges: str = ""
    side: str = ""
    fault: str = ""
    params: tuple[tuple[str, str], ...] = ()
    files: tuple[File, ...] = ()
    arguments: tuple[str, ...] = ("in",)
    reducers: int = 1
    output_format: str = "text"
    skip: int = 0
    tight: bool = False

    @property
    def placed(self) -> bool:
        """Whether it is known which part a key belongs to."""
        return self.partitioner not in ("hash", "gomr.total_order")
