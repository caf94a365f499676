"""What the operating system refused, in plain words."""

from __future__ import annotations

import errno
import os

_PLAIN = {
    errno.ENOSPC: "the disk is full: free some space or choose another place",
    errno.EDQUOT: "the disk quota is used up",
    errno.EROFS: "the file system is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "not permitted here (a file system without hard links, or an immutable file)",
    errno.EOPNOTSUPP: "the file system cannot do this (no hard links?): choose another place",
    errno.ELOOP: "a symbolic link is in the way",
    errno.ENOTDIR: "a file is where a folder should be",
    errno.EISDIR: "a folder is where the file should be",
    errno.EMFILE: "too many open files: raise `ulimit -n`",
    errno.EFBIG: "the file would be larger than this process may write: raise `ulimit -f`",
    errno.ENOMEM: "out of memory: raise the limit of this process, `ulimit -v`",
    errno.ENFILE: "too many open files on this machine",
    errno.ENAMETOOLONG: "the name is too long",
    errno.EIO: "the disk reports an error",
    errno.ESTALE: "the network file system lost the file",
}


def os_cause(error: OSError) -> str:
    """One phrase for `error`, without paths."""
    code = error.errno or 0
    if not code and isinstance(error, TimeoutError):  # of a socket
        return "no answer in time"
    return _PLAIN.get(code) or error.strerror or os.strerror(code)
