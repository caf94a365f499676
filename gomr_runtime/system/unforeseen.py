"""Errors that nobody foresaw, in words: a limit of this machine, or a defect of ours."""

from __future__ import annotations

import errno
import os
import resource
import traceback
from pathlib import Path

from gomr_runtime.errors import EnvironmentFailed, GomrError
from gomr_runtime.model.quantities import format_size
from gomr_runtime.system.os_errors import os_cause

LEAST_ADDRESS_SPACE = 10**9  # bytes; threads of gRPC, each with a stack
_LIMITS = {errno.EMFILE, errno.EFBIG, errno.ENOMEM, errno.EAGAIN}
_THREADS = "can't start new thread"  # Python has no class of its own for it


def unforeseen(error: Exception) -> GomrError:
    """The error as one that says what to do."""
    if isinstance(error, MemoryError):
        return EnvironmentFailed("out of memory: raise the limit of this process (ulimit -v)")
    if isinstance(error, RuntimeError) and _THREADS in str(error):
        return EnvironmentFailed(
            "no thread can be started: raise the limits of this process (ulimit -u, ulimit -v)"
        )
    if isinstance(error, FileNotFoundError) and _here_is_gone():
        return EnvironmentFailed("the current directory was removed: change to another one")
    if isinstance(error, OSError):
        where = f"{error.filename}: " if isinstance(error.filename, str) else ""
        if error.errno == errno.EAGAIN:
            return EnvironmentFailed("no process can be started: raise the limit (ulimit -u)")
        cause = os_cause(error) if error.errno else str(error) or "an error of the system"
        return EnvironmentFailed(f"{where}{cause}")
    if isinstance(error, ImportError):
        return EnvironmentFailed(f"cannot import {error.name or 'a module'}: {error}")
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = "".join(f" at {Path(f.filename).name}:{f.lineno}" for f in last)
    return EnvironmentFailed(
        f"defect in gomr, please report it: {type(error).__name__}{where}: {error}"
    )


def _here_is_gone() -> bool:
    try:
        os.getcwd()
    except OSError:
        return True
    return False


def is_limit(error: Exception) -> bool:
    """Whether it is a limit of the process, which the next one of its kind would meet as well."""
    if isinstance(error, OSError):
        return error.errno in _LIMITS
    return isinstance(error, MemoryError) or _THREADS in str(error)


def check_address_space() -> None:
    """EnvironmentFailed where gRPC would end this process by SIGABRT for want of threads."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY and soft < LEAST_ADDRESS_SPACE:
        raise EnvironmentFailed(
            f"the address space of this process is limited to {format_size(soft)} (ulimit -v), and "
            f"with workers it needs {format_size(LEAST_ADDRESS_SPACE)}: raise the limit, or run in "
            "one process (python worker.py without --workers)"
        )
