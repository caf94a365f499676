"""How a run is cut into tasks, for every runtime."""

from __future__ import annotations

from gomr_runtime.dataflow.input.splits import plan_sample, plan_splits
from gomr_runtime.laws.compatibility import check_content, check_output_format, check_skipping
from gomr_runtime.master.core.plan import Plan
from gomr_runtime.model.job import JobDescription, JobSpec


def make_plan(job: JobSpec, description: JobDescription) -> Plan:
    """Cut the inputs of the job into map tasks, and into a sample where the partitioner wants one.

    Args:
        job: what the person asked for.
        description: what the worker file says of itself.

    Raises:
        UsageError: the two do not go together.
    """
    check_skipping(description, job.skip_bad_records)
    check_output_format(description, job.output_format)
    check_content(description, job.files)
    splits = plan_splits(job.files, description.format, job.mappers)
    wants_sample = description.partitioner == "total_order"
    sample = plan_sample(job.files, description.format) if wants_sample else ()
    return Plan(description, tuple(splits), sample)
