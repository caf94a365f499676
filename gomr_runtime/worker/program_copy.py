"""How a worker comes by the program of its run: from the store, whatever its machine holds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from gomr_runtime.errors import EnvironmentFailed
from gomr_runtime.model import layout
from gomr_runtime.model.job import JobSpec
from gomr_runtime.storage.base import Store
from gomr_runtime.user_code.loading import write_folder
from gomr_runtime.user_code.program_files import ProgramFiles, decode


def bring_program(store: Store, job: JobSpec, worker_file: Path | None, folder: Path) -> None:
    """Write the run's program into `folder`, for children to execute.

    Args:
        worker_file: the one in the image of this worker, if it was made for one. The modules
            beside it have their names in the image's folder then.

    Raises:
        EnvironmentFailed: the program is not in the store, or it is damaged; the image was made
            for another worker file.
    """
    try:
        program = decode(store.get(layout.program(job.run)), job.worker_sha256)
    except KeyError:
        raise EnvironmentFailed(
            f"the program of run {job.run} is not in {store.url}: it was removed"
        ) from None
    except ValueError as error:
        raise EnvironmentFailed(
            f"{layout.program(job.run)} in {store.url} is not readable: {error}: start a new run"
        ) from None
    write_folder(folder, program if worker_file is None else _in_image(program, job, worker_file))


def _in_image(program: ProgramFiles, job: JobSpec, worker_file: Path) -> ProgramFiles:
    try:
        same = worker_file.read_bytes() == program.main.source
    except OSError as error:
        raise EnvironmentFailed(
            f"{worker_file}: the image's worker file cannot be read: {error.strerror}"
        ) from None
    if not same:
        raise EnvironmentFailed(
            f"the image was made for another {job.worker_name} than the run was started with: "
            "build it again, or start a new run"
        )
    return replace(program, root=str(worker_file.parent), file=str(worker_file))
