"""The temporary Prefect server as a process: `server_process.py SOCKET PARENT`.

It serves the listening socket that it inherits, and is gone as soon as the process that started
it is, however that one ended. What it prints goes where that one says.
"""

from __future__ import annotations

import socket
import sys

from gomr_runtime.system.lifeline import die_with_parent, hide_from_user_code


def main(listener: int, parent: int) -> None:
    """Serve until SIGTERM or the end of `parent`, a process id; listener: a descriptor."""
    die_with_parent(parent)  # before what takes long
    hide_from_user_code()  # which has the same user
    import uvicorn
    from prefect.server.api.server import create_app

    with socket.socket(fileno=listener) as sock:
        app = create_app(ephemeral=True, final=True)
        uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on")).run(sockets=[sock])


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
