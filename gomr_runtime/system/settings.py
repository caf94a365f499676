"""What a process is told besides its options: where its store is, who we are there, which images.

Every variable of the environment that GoMR reads, but for the options, is declared in `SETTINGS`,
and all of them, the options' too, are read through this module and nowhere else
(`tests/unit/rules/test_settings.py` looks). It needs nothing but the standard library, as masters,
workers and `python worker.py` start without pydantic; `k8s.settings` makes the typed model of the
flow from the same declarations.

What concerns S3 may also stand in the table `[s3]` of `./gomr.toml`. The environment wins over it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gomr_runtime.errors import UsageError

SETTINGS_FILE = "gomr.toml"
MOST_SETTINGS = 1 << 20  # bytes of a gomr.toml
ALIKE = 0.75  # how much of two names has to be equal for one to be taken for the other


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting that is no option.

    Attributes:
        variable: Its variable in the environment.
        meaning: What it says, for a person.
        secret: Its value is never shown.
        by_file: It may be given as `..._FILE` instead, the path of a file that holds the value.
        key: Its name in the table `[s3]` of `gomr.toml`; empty when it cannot stand there.
        number: In `[s3]` it may be a bare number.
    """

    variable: str
    meaning: str
    secret: bool = False
    by_file: bool = False
    key: str = ""
    number: bool = False


@dataclass(frozen=True, slots=True)
class Given:
    """A value as text, empty when nobody gave it. source: what to name in an error."""

    text: str = field(repr=False)
    source: str


def _s3(name: str, meaning: str, *, secret: bool = False, number: bool = False) -> Setting:
    return Setting(f"GOMR_S3_{name.upper()}", meaning, secret, True, name, number)


def _reader(name: str) -> Setting:
    meaning = "of keys that only read, by which a master signs what workers may read"
    return Setting(f"GOMR_S3_READER_{name.upper()}", meaning, secret=True, by_file=True)


SETTINGS: dict[str, Setting] = {
    "s3_endpoint": _s3("endpoint", "URL of the S3 server; none for AWS"),
    "s3_region": _s3("region", "region of the S3 server"),
    "s3_access_key": _s3("access_key", "who we are at the S3 server", secret=True),
    "s3_secret_key": _s3("secret_key", "what proves it", secret=True),
    "s3_session_token": _s3("session_token", "what comes with temporary keys", secret=True),
    "s3_connect_timeout": _s3("connect_timeout", "seconds for a connection", number=True),
    "s3_read_timeout": _s3("read_timeout", "longest silence of the server", number=True),
    "s3_retry_seconds": _s3("retry_seconds", "how long a store may stay away", number=True),
    "s3_reader_access_key": _reader("access_key"),
    "s3_reader_secret_key": _reader("secret_key"),
    "s3_reader_session_token": _reader("session_token"),
    "authorities": Setting("SSL_CERT_FILE", "PEM of who may sign certificates of servers"),
    "base_image": Setting("GOMR_BASE_IMAGE", "the Python image that images are built on"),
    "minio_image": Setting("GOMR_MINIO_IMAGE", "the image of the object store on a cluster"),
    "minio_allow_unpatched": Setting("GOMR_MINIO_ALLOW_UNPATCHED", "1: take an old MinIO"),
    "pip_index": Setting("PIP_INDEX_URL", "package index for image builds"),
    "uv_default_index": Setting("UV_DEFAULT_INDEX", "the same, where pip's is not set"),
    "uv_index": Setting("UV_INDEX_URL", "the same, by uv's old name"),
    "kubeconfig": Setting("KUBECONFIG", "files with the contexts of clusters"),
    "home": Setting("HOME", "where .kube/config is"),
    "cache": Setting("XDG_CACHE_HOME", "where environments of worker files are kept"),
    "pure": Setting("GOMR_PURE", "1: leave the compiled part out"),
    "alive_file": Setting("GOMR_ALIVE_FILE", "file that a process in a pod touches"),
    "flow_run": Setting("PREFECT__FLOW_RUN_ID", "set by Prefect in the process of a deployment"),
    "prefect_api": Setting("PREFECT_API_URL", "Prefect's server"),
    "prefect_home": Setting("PREFECT_HOME", "where Prefect keeps its files"),
    "prefect_profiles": Setting("PREFECT_PROFILES_PATH", "Prefect's profiles"),
    "prefect_profile": Setting("PREFECT_PROFILE", "the active one"),
    "prefect_authorities": Setting("PREFECT_API_SSL_CERT_FILE", "who may sign its certificate"),
    "prefect_startup": Setting(
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "how long a temporary server may take"
    ),
}
CREDENTIALS = ("s3_access_key", "s3_secret_key", "s3_session_token")
"""They come from one place, all three: keys of one owner with the token of another are none."""


def variables() -> Mapping[str, str]:
    """The environment as it is now, for who reads options from it or takes another in tests."""
    return os.environ


def read(name: str, environ: Mapping[str, str] | None = None) -> str:
    """Return the text of a setting of the environment, empty when it is not set.

    Args:
        name: Its name in `SETTINGS`.
        environ: Where to look instead of this process's environment.

    Raises:
        UsageError: It is given twice, or in a file that cannot be read.
    """
    setting = SETTINGS[name]
    given = variables() if environ is None else environ
    value = given.get(setting.variable, "")
    if not setting.by_file:
        return value
    return _one_of(setting.variable, value, given.get(f"{setting.variable}_FILE", ""), "_FILE")


def read_s3(environ: Mapping[str, str] | None = None, file: Path | None = None) -> dict[str, Given]:
    """Return what is said of the S3 server, by the names in `SETTINGS`.

    Args:
        environ: Where to look instead of this process's environment; then no file is read
            unless it is named.
        file: The file whose table `[s3]` counts where the environment says nothing; by default
            `./gomr.toml`.

    Raises:
        UsageError: A setting is given twice in one place, or in a file that cannot be read; the
            table holds what is no setting.
    """
    names = [name for name, setting in SETTINGS.items() if setting.key]
    found = {n: Given(read(n, environ), SETTINGS[n].variable) for n in names}
    if file is None:
        if environ is not None:
            return found
        file = Path(SETTINGS_FILE)
    table = s3_table(file)
    own_login = any(found[name].text for name in CREDENTIALS)
    for name in names:
        key = SETTINGS[name].key
        if found[name].text or (own_login and name in CREDENTIALS):
            continue
        where = f"{file}: [s3] {key}"
        if text := _one_of(where, table.get(key, ""), table.get(f"{key}_file", ""), "_file"):
            found[name] = Given(text, where)
    return found


def s3_table(file: Path) -> dict[str, str]:
    """Return the table `[s3]` of a file of settings as text; empty when there is none.

    Raises:
        UsageError: The file cannot be read, or the table holds what is no setting.
    """
    return check_s3_table(file, read_file(file).get("s3", {}))


def check_s3_table(file: Path, table: Any) -> dict[str, str]:
    """Return the table `[s3]` as text, its names with `_`. No value is ever shown.

    Raises:
        UsageError: It holds what is no setting, or a value of the wrong type.
    """
    by_key = {setting.key: setting for setting in SETTINGS.values() if setting.key}
    known = sorted([*by_key, *(f"{key}_file" for key in by_key)])
    if not isinstance(table, dict):
        raise UsageError(f"{file}: s3: write it as a table, [s3] with endpoint = … below it")
    found = {}
    for written, value in table.items():
        key = written.replace("-", "_")
        if key not in known:
            near = near_name(key, known)
            raise UsageError(
                f"{file}: [s3]: there is no setting {written!r}"
                + (f": did you mean {near!r}?" if near else f": there are {', '.join(by_key)}")
            )
        a_number = key in by_key and by_key[key].number and type(value) in {int, float}
        if not (isinstance(value, str) or a_number):
            raise UsageError(f"{file}: [s3] {written}: write it as text, in quotes")
        found[key] = str(value)
    return found


def read_file(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file with settings; nothing when there is no such file.

    Raises:
        UsageError: It cannot be read.
    """
    try:
        return read_table(path)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise UsageError(f"{path}: cannot be read: {error}") from None


def read_table(path: Path) -> dict[str, Any]:
    """The content of a TOML file with settings. OSError, or ValueError for what is no TOML."""
    import tomllib  # only where there may be one

    from gomr_runtime.system.own_files import read_settings_file

    return tomllib.loads(read_settings_file(path, MOST_SETTINGS).decode("utf-8"))


def near_name(name: str, known: Iterable[str]) -> str:
    """Return the known name that `name` was probably meant to be, "" for none.

    It is the most similar one, or the only one that begins with `name`.
    """
    import difflib

    names = list(known)
    if close := difflib.get_close_matches(name, names, 1, ALIKE):
        return close[0]
    begun = [other for other in names if len(name) >= 3 and other.startswith(name)]
    return begun[0] if len(begun) == 1 else ""


def _one_of(name: str, value: str, file: str, suffix: str) -> str:
    """The value, or what its file holds."""
    if value and file:
        raise UsageError(f"{name} and {name}{suffix} are both set: unset one")
    if not file:
        return value
    try:
        return Path(file).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise UsageError(f"{name}{suffix}: cannot read {file}: {cause}") from None
