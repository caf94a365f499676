"""Which Prefect server a command-line run talks to; decided before prefect is imported."""

from __future__ import annotations

import ssl
import tomllib
import urllib.error
import urllib.request
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from gomr_runtime.errors import UsageError
from gomr_runtime.storage.causes import os_cause

LOCAL_API = "http://127.0.0.1:4200/api"
PROBE_SECONDS = 1.0
STARTUP_SECONDS = 120  # of a temporary server: 20 s are not enough on a slow or fresh machine

# On a machine without internet, telemetry only gives error messages.
QUIET = {
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": str(STARTUP_SECONDS),
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
}


def choose_server(environ: MutableMapping[str, str], *, verbose: bool) -> str:
    """Set `environ` for the server to use and return a line that says which one and why.

    An address that the person has configured wins, then a server on this machine, then a
    temporary one. Prefect's own messages on the console stay quiet unless `verbose`; they are in
    its database in any case. UsageError where `SSL_CERT_FILE`, which Prefect reads whatever the
    server, holds no certificates.
    """
    _check_authorities(environ)
    for name, value in QUIET.items():
        environ.setdefault(name, value)
    environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "INFO" if verbose else "CRITICAL")
    if configured := configured_api(environ):
        return f"Prefect: {configured}"
    if answers(LOCAL_API):
        environ["PREFECT_API_URL"] = LOCAL_API
        return f"Prefect: {LOCAL_API}"
    return (
        "Prefect: starting a temporary server, which takes a while "
        "(keep one running instead: prefect server start -b)"
    )


def _check_authorities(environ: MutableMapping[str, str]) -> None:
    for name in ("PREFECT_API_SSL_CERT_FILE", "SSL_CERT_FILE"):
        if not (path := environ.get(name)):
            continue
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        except OSError as error:
            cause = "no certificate in it" if isinstance(error, ssl.SSLError) else os_cause(error)
            raise UsageError(f"{name}={path}: {cause}") from None


def configured_api(environ: MutableMapping[str, str]) -> str:
    """The API address set in the environment, a settings file here or the active profile."""
    if address := environ.get("PREFECT_API_URL"):
        return address
    dotenv = _read(Path(".env"))
    for line in dotenv.splitlines():
        name, _, value = line.partition("=")
        if name.strip().removeprefix("export ").strip() == "PREFECT_API_URL" and value.strip():
            return value.strip().strip("\"'")
    project = _toml(Path("pyproject.toml")).get("tool", {}).get("prefect", {})
    for table in (_toml(Path("prefect.toml")), project):
        if address := table.get("api", {}).get("url"):
            return str(address)
    home = Path(environ.get("PREFECT_HOME") or Path.home() / ".prefect")
    profiles = _toml(Path(environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml"))
    active = environ.get("PREFECT_PROFILE") or profiles.get("active", "")
    return str(profiles.get("profiles", {}).get(active, {}).get("PREFECT_API_URL", ""))


def answers(api: str) -> bool:
    """Whether a Prefect server is healthy at `api`."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{api}/health", timeout=PROBE_SECONDS) as reply:
            return bool(reply.status == 200 and reply.read(16).strip() == b"true")
    except (OSError, ValueError, urllib.error.URLError):
        return False


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_read(path))
    except ValueError:
        return {}  # Prefect will complain about its own file
