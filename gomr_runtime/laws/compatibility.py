"""What a worker file and the rest of its job have to agree on."""

from __future__ import annotations

from collections.abc import Sequence

from gomr_runtime.errors import UsageError
from gomr_runtime.model.inputs.file_signatures import not_text
from gomr_runtime.model.inputs.file_table import with_content
from gomr_runtime.model.inputs.files import InputFile
from gomr_runtime.model.job import JobDescription
from gomr_runtime.model.output_formats import OUTPUT_FORMATS, OutputFormatName
from gomr_runtime.model.record_formats import record_format


def check_skipping(description: JobDescription, allowed: int) -> None:
    """Raise UsageError where bad records are to be set aside and a record is many lines.

    Args:
        description: What the worker file says of itself.
        allowed: The number of records that may be set aside.
    """
    if allowed and record_format(description.format).many_lines:
        raise UsageError(
            "--skip-bad-records needs single records, and this worker file takes chunks: "
            "use input=gomr.lines in its MapReduceConfig"
        )


def check_output_format(description: JobDescription, output_format: OutputFormatName) -> None:
    """Raise UsageError where a built-in reducer passes on values that the format cannot hold.

    What a reducer of the user's own emits is known only when it does.

    Args:
        description: What the worker file says of itself.
        output_format: The format of the parts.
    """
    if not OUTPUT_FORMATS[output_format].typed_columns or description.combiner != "user":
        return
    passes = description.reducer in ("identity", "min", "max", "distinct")
    passes = passes or description.reducer.startswith("top(")
    kinds = description.value_type.split("|")
    if passes and set(kinds) <= {"list", "tuple", "dict"}:
        raise UsageError(
            f"--output-format {output_format} cannot hold the values of type {' or '.join(kinds)} "
            f"that gomr.{description.reducer} passes on from the combiner: use jsonl"
        )


def check_content(description: JobDescription, files: Sequence[InputFile]) -> None:
    """Raise UsageError naming the first file that is no text, where the mapper takes text.

    Args:
        description: What the worker file says of itself.
        files: The inputs of the job.
    """
    if record_format(description.format).any_file:
        return
    for file in with_content(files):
        why = not_text(file.content)
        raise UsageError(f"--input {file.source} {why} (input=gomr.raw_bytes takes any file)")
