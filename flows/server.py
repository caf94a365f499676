"""Which Prefect server a command-line run talks to; decided before prefect is imported."""

from __future__ import annotations

import os
import ssl
import tomllib
import urllib.error
import urllib.request
from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flows.listeners import listening_users
from gomr_runtime.errors import UsageError
from gomr_runtime.system.os_errors import os_cause
from gomr_runtime.system.settings import SETTINGS, read

LOCAL_API = "http://127.0.0.1:4200/api"
PROBE_SECONDS = 1.0
LOOPBACK = "127.0.0.1"
PROXIES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
KEEP = "keep one running instead: docs/prefect.md"

# On a machine without internet, telemetry only gives error messages.
QUIET = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
# For requests before the job runs; afterwards nothing waits for Prefect. Its own defaults make a
# server that accepts and never answers cost seven minutes.
BOUNDS = {"PREFECT_API_REQUEST_TIMEOUT": "20", "PREFECT_CLIENT_MAX_RETRIES": "2"}


@dataclass(frozen=True, slots=True)
class Choice:
    """The server of a run. line: says which one and why. temporary: it is still to be started."""

    line: str
    temporary: bool = False


def choose_server(environ: MutableMapping[str, str], *, verbose: bool) -> Choice:
    """Choose the server of a run, and set `environ` for it.

    An address that the person has configured wins, then a server of theirs on this machine, then a
    temporary one. Prefect's own messages on the console stay quiet unless `verbose`; they are in
    its database in any case.

    Args:
        environ: what Prefect will read when it is imported.
        verbose: whether the console shows what Prefect says.

    Raises:
        UsageError: `SSL_CERT_FILE`, which Prefect reads whatever the server, holds no certificates.
    """
    _check_authorities(environ)
    for name, value in (QUIET | BOUNDS).items():
        environ.setdefault(name, value)
    environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "INFO" if verbose else "CRITICAL")
    if configured := configured_api(environ):
        return Choice(f"Prefect: {without_login(configured)}")
    _pass_proxies(environ)
    users = _users_of(LOCAL_API)
    if users == {os.geteuid()} and answers(LOCAL_API):
        environ["PREFECT_API_URL"] = LOCAL_API
        return Choice(f"Prefect: {LOCAL_API}")
    why = ""
    if users is None and answers(LOCAL_API):
        why = f"; whose server is at {LOCAL_API} is not known: set PREFECT_API_URL if you trust it"
    elif users and users != {os.geteuid()}:
        why = f"; another user listens at {LOCAL_API}: set PREFECT_API_URL if you trust them"
    return Choice(
        f"Prefect: starting a temporary server, which takes a while ({KEEP}){why}", temporary=True
    )


def _users_of(api: str) -> set[int] | None:
    """Who may answer at the address; whoever it is learns what a run is told, so that a server
    that nobody has configured counts only when nobody else can."""
    parts = urlsplit(api)
    assert parts.hostname is not None
    assert parts.port is not None
    return listening_users(parts.hostname, parts.port)


def _pass_proxies(environ: MutableMapping[str, str]) -> None:
    """Requests to this machine go to no proxy, which would learn passwords and knows no way."""
    if not any(environ.get(name) for name in PROXIES):
        return
    given = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if LOOPBACK not in given.split(","):
        environ["no_proxy"] = environ["NO_PROXY"] = ",".join(filter(None, [given, LOOPBACK]))


def _check_authorities(environ: MutableMapping[str, str]) -> None:
    for setting in ("prefect_authorities", "authorities"):
        name = SETTINGS[setting].variable
        if not (path := read(setting, environ)):
            continue
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(path)
        except OSError as error:
            cause = "no certificate in it" if isinstance(error, ssl.SSLError) else os_cause(error)
            raise UsageError(f"{name}={path}: {cause}") from None


def configured_api(environ: MutableMapping[str, str]) -> str:
    """The API address set in the environment, a settings file here or the active profile."""
    if address := read("prefect_api", environ):
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
    home = Path(read("prefect_home", environ) or Path.home() / ".prefect")
    profiles = _toml(Path(read("prefect_profiles", environ) or home / "profiles.toml"))
    active = read("prefect_profile", environ) or profiles.get("active", "")
    return str(profiles.get("profiles", {}).get(active, {}).get("PREFECT_API_URL", ""))


def without_login(api: str) -> str:
    """The address as it may be shown: without the user and password that it may hold."""
    parts = urlsplit(api)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


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
