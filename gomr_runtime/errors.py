"""Every error GoMR raises on purpose.

The question each branch answers is whose fault it is and whether trying again can help.

    GomrError
    ├── UsageError            the command, the options or the worker file    exit 2, nothing started
    ├── JobFailed             user code or data; no retry can help           exit 1
    │   ├── RecordFailed      one record: file, offset, task, cause
    │   ├── DataError         an input that cannot be read to its end (truncated gzip, changed file)
    │   └── LedgerMismatch    the books do not balance: a defect of GoMR itself
    ├── EnvironmentFailed     storage, processes, cluster, permissions       exit 3
    │   ├── NotPermitted      a right is missing on the cluster
    │   ├── StorageError      the store refused, vanished or broke its promise
    │   ├── ScratchFailed     the worker's own disk is full or broken
    │   └── CorruptBlock      a checksum does not match
    ├── DeadlineExceeded      --timeout                                      exit 4
    ├── RunConflict           run id in use, or a newer master took over     exit 5
    └── Cancelled             somebody asked for the end                     exit 130 or 143

`str(error)` is one line: what happened, where, what to do next. `detail` holds the lines after
it, such as the user's own traceback.
"""

from __future__ import annotations

from unicodedata import category

from gomr_runtime.model.summary import Failure, Summary
from gomr_runtime.model.task import Place

EXIT_OK = 0
EXIT_JOB_FAILED = 1
EXIT_USAGE = 2
EXIT_ENVIRONMENT = 3
EXIT_DEADLINE = 4
EXIT_CONFLICT = 5
EXIT_SIGHUP = 129
EXIT_SIGINT = 130
EXIT_SIGTERM = 143


class GomrError(Exception):
    """Root of the tree; `exit_code` is what the process ends with.

    kind: the word for it in `--json`. failure: what programs are told of it. summary: of the run
    that ended with it, where there is one.
    """

    exit_code = EXIT_ENVIRONMENT
    kind = "environment"

    def __init__(self, message: str, *, detail: str = "") -> None:
        super().__init__(one_line(message))
        self.detail = detail.rstrip("\n")
        self.failure = Failure(self.kind, str(self))
        self.summary: Summary | None = None


class UsageError(GomrError):
    """Refused before anything started."""

    exit_code = EXIT_USAGE
    kind = "usage"


class JobFailed(GomrError):
    """The user's code or data ended the run."""

    exit_code = EXIT_JOB_FAILED
    kind = "user"


class RecordFailed(JobFailed):
    """User code, or the engine on its behalf, could not take one record; `place` says which."""

    def __init__(self, message: str, *, detail: str = "", place: Place | None = None) -> None:
        super().__init__(message, detail=detail)
        self.place = place


class DataError(JobFailed):
    """An input could not be read to its end."""

    kind = "data"


class LedgerMismatch(JobFailed):
    """The records read, mapped, written and reduced do not add up."""

    kind = "books"


class EnvironmentFailed(GomrError):
    """Something around the run failed; the same run may succeed later."""

    exit_code = EXIT_ENVIRONMENT


class NotPermitted(EnvironmentFailed):
    """The cluster's access control refused a request."""

    kind = "permission"


class StorageError(EnvironmentFailed):
    """The object store failed beyond its retries."""

    kind = "storage"


class PartLost(StorageError):
    """A part is not in the store as its attempt reported it."""


class ScratchFailed(EnvironmentFailed):
    """A worker's scratch space is full, or its disk broken."""

    kind = "worker"


class CorruptBlock(EnvironmentFailed):
    """Stored data is missing or does not match its checksum.

    bad_map: the map task whose committed output it is, -1 for anything else.
    """

    kind = "corrupt"
    bad_map = -1

    def of_map(self, index: int) -> CorruptBlock:
        """This error, with the map task to blame."""
        self.bad_map = index
        return self


class DeadlineExceeded(GomrError):
    """The run's own deadline passed."""

    exit_code = EXIT_DEADLINE
    kind = "deadline"


class RunConflict(GomrError):
    """Another run, or a newer master of this run, holds the name."""

    exit_code = EXIT_CONFLICT
    kind = "conflict"


class Cancelled(GomrError):
    """The run was asked to end, by a signal or by somebody else."""

    exit_code = EXIT_SIGINT
    kind = "cancelled"

    def __init__(self, message: str, *, detail: str = "", exit_code: int = EXIT_SIGINT) -> None:
        super().__init__(message, detail=detail)
        self.exit_code = exit_code


BY_EXIT_CODE: dict[int, type[GomrError]] = {
    EXIT_JOB_FAILED: JobFailed,
    EXIT_USAGE: UsageError,
    EXIT_ENVIRONMENT: EnvironmentFailed,
    EXIT_DEADLINE: DeadlineExceeded,
    EXIT_CONFLICT: RunConflict,
    EXIT_SIGINT: Cancelled,
}


_JOINERS = "\u200c\u200d"  # parts of words, and of emoji


def one_line(text: str) -> str:
    """`text` as one line that is safe to show (CWE-117, CWE-150): control and format characters are
    escaped, what makes letters turn around or vanish included; spaces of every width stay."""
    if text.isprintable():
        return text
    return "".join(c if _is_shown(c) else c.encode("unicode_escape").decode() for c in text)


def printable(text: str) -> str:
    """`text` with its lines kept, and nothing in it that moves a terminal or cannot be written."""
    return "\n".join(one_line(line.expandtabs()) for line in text.split("\n"))


def _is_shown(character: str) -> bool:
    return character.isprintable() or character in _JOINERS or category(character) == "Zs"
