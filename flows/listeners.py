"""Which users listen on a port of this machine, from the kernel's own tables of sockets."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
LISTENING = "0A"
EVERY_ADDRESS = b"\0" * 4
MAPPED = b"\0" * 10 + b"\xff" * 2  # an IPv4 address among those of IPv6


def listening_users(host: str, port: int) -> set[int] | None:
    """The ids of all users with a socket that may get a connection to `host`:`port`.

    Args:
        host: an IPv4 address of this machine, in digits.
        port: a TCP port.

    Returns:
        The user ids, none where nobody listens; None on a system that does not tell.
    """
    address = socket.inet_aton(host)
    reached = {address, EVERY_ADDRESS, MAPPED + address, MAPPED + EVERY_ADDRESS, b"\0" * 16}
    users: set[int] = set()
    told = False
    for table in TABLES:
        try:
            lines = Path(table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue  # a kernel without IPv6 has no second table
        told = True
        for line in lines:
            _, local, _, state, _, _, _, user, *_ = line.split()
            where, _, number = local.partition(":")
            if state == LISTENING and int(number, 16) == port and _address(where) in reached:
                users.add(int(user))
    return users if told else None


def _address(digits: str) -> bytes:
    """The address in network order; the tables have words of 32 bits in the machine's order."""
    words = (int(digits[at : at + 8], 16) for at in range(0, len(digits), 8))
    return b"".join(struct.pack("=I", word) for word in words)
