"""A Prefect server of one's own that stays: `make server` starts it, `prefect server stop` ends it.

`prefect server start -b` leaves its output in pipes that nobody reads, and dies of them. This one
writes a log. It listens on the loopback interface alone and wants a password, which is in the
person's Prefect profile, where commands and workers of theirs find it.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

from flows.listeners import listening_users
from flows.server import LOOPBACK, QUIET, answers
from flows.temporary_server import TAIL
from gomr_runtime.errors import EXIT_OK, EnvironmentFailed, GomrError
from gomr_runtime.system.streams import say_error

STARTUP_SECONDS = 300.0  # its database is made on the first start; on a busy machine that takes
LOG, PID = "server.log", "server.pid"  # the second is where `prefect server stop` looks


def main() -> int:
    """Start the server unless it runs; the exit code."""
    try:
        print(kept_server())  # noqa: T201
    except GomrError as error:
        say_error("gomr", error)
        return error.exit_code
    return EXIT_OK


def kept_server() -> str:
    """Where the server is, once it answers. Raises EnvironmentFailed when it does not."""
    from prefect.settings import PREFECT_HOME, PREFECT_SERVER_API_PORT

    home, port = Path(PREFECT_HOME.value()), PREFECT_SERVER_API_PORT.value()
    address = f"http://{LOOPBACK}:{port}"
    if (listening_users(LOOPBACK, port) or set()) - {os.geteuid()}:
        raise EnvironmentFailed(f"another user listens at {address}: set PREFECT_SERVER_API_PORT")
    if answers(f"{address}/api"):
        return f"a server answers at {address} already"
    os.umask(0o077)
    home.mkdir(parents=True, exist_ok=True)
    protect(home)
    with (home / LOG).open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "prefect", "server", "start", "--host", LOOPBACK],
            env=os.environ | QUIET | {"PREFECT_SERVER_CORS_ALLOWED_ORIGINS": address},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    (home / PID).write_text(str(process.pid))
    deadline = time.monotonic() + STARTUP_SECONDS
    while not answers(f"{address}/api"):
        if process.poll() is not None or time.monotonic() > deadline:
            (home / PID).unlink()
            process.kill()
            lines = (home / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
            raise EnvironmentFailed(
                f"the Prefect server does not start; the end of {home / LOG} follows",
                detail="\n".join(lines[-TAIL:]),
            )
        time.sleep(0.2)
    return f"{address} is up; its password is in {home / 'profiles.toml'}"


def protect(home: Path) -> None:
    """Put a password into the active profile, for server and clients, unless it has one."""
    from prefect.settings import (
        PREFECT_API_AUTH_STRING,
        PREFECT_SERVER_API_AUTH_STRING,
        update_current_profile,
    )

    if PREFECT_SERVER_API_AUTH_STRING.value() is None:
        password = f"gomr:{secrets.token_urlsafe(32)}"
        update_current_profile(
            {PREFECT_SERVER_API_AUTH_STRING: password, PREFECT_API_AUTH_STRING: password}
        )
    (home / "profiles.toml").touch()
    (home / "profiles.toml").chmod(0o600)


if __name__ == "__main__":
    sys.exit(main())
