"""Settings that are no options: from the environment, files, and the table [s3] of gomr.toml."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from flows.clean import clean_command
from gomr_runtime.errors import UsageError
from gomr_runtime.options.declared import parse
from gomr_runtime.storage.inputs.s3_files import list_inputs
from gomr_runtime.storage.open_store import open_store
from gomr_runtime.storage.s3.settings import S3Settings
from gomr_runtime.system.settings import SETTINGS, SETTINGS_FILE, read, read_s3

S3 = [setting for setting in SETTINGS.values() if setting.variable.startswith("GOMR_S3_")]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, which is empty; no variable is set."""
    monkeypatch.chdir(tmp_path)
    for setting in S3:
        monkeypatch.delenv(setting.variable, raising=False)
        monkeypatch.delenv(f"{setting.variable}_FILE", raising=False)
    return tmp_path


def write(text: str) -> None:
    Path(SETTINGS_FILE).write_text(f"[s3]\n{text}\n", encoding="utf-8")


FULL = """
endpoint = "http://127.0.0.1:9000"
region = "eu-north-1"
access-key = "who"
secret_key_file = "key"
session_token = "token"
connect_timeout = 3
read_timeout = "4.5"
retry_seconds = 0.5
"""


def test_the_table_says_what_the_environment_can(folder: Path) -> None:
    write(FULL)
    (folder / "key").write_text("hush\n")
    assert S3Settings.configured() == S3Settings(
        "http://127.0.0.1:9000",
        "eu-north-1",
        "who",
        "hush",
        "token",
        allow_http=True,
        connect_timeout=3.0,
        read_timeout=4.5,
        retry_seconds=0.5,
    )
    assert S3Settings.configured({}) == S3Settings(), "who names an environment reads no file"


def test_the_store_is_opened_by_the_table() -> None:
    write(FULL.replace('_file = "key"', ' = "hush"'))
    assert open_store("s3://bucket/x").url == "s3://bucket/x"
    write('endpoint = "nowhere:9000"')
    with pytest.raises(UsageError, match="S3 endpoint 'nowhere:9000': write http"):
        open_store("s3://bucket/x")


def test_the_environment_wins_name_by_name(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    write(FULL.replace('_file = "key"', ' = "hush"'))
    (folder / "region").write_text("us-west-2")
    monkeypatch.setenv("GOMR_S3_ENDPOINT", "https://other")
    monkeypatch.setenv("GOMR_S3_REGION_FILE", str(folder / "region"))
    found = S3Settings.configured()
    assert (found.endpoint, found.region, found.allow_http) == ("https://other", "us-west-2", False)
    assert (found.access_key, found.secret_key, found.read_timeout) == ("who", "hush", 4.5)


@pytest.mark.parametrize("by_file", [False, True])
def test_keys_of_the_environment_do_not_go_with_the_token_of_the_file(
    monkeypatch: pytest.MonkeyPatch, folder: Path, by_file: bool
) -> None:
    write('access_key = "who"\nsecret_key = "hush"\nsession_token = "token"')
    for name in ("ACCESS_KEY", "SECRET_KEY"):
        value = folder / name
        value.write_text("mine")
        variable = f"GOMR_S3_{name}" + ("_FILE" if by_file else "")
        monkeypatch.setenv(variable, str(value) if by_file else "mine")
    found = S3Settings.configured()
    assert (found.access_key, found.secret_key, found.session_token) == ("mine", "mine", "")


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ('region = "a"\nregion_file = "b"', "region and gomr.toml: [s3] region_file are both set"),
        ('secret_key_file = "/nonexistent"', "[s3] secret_key_file: cannot read /nonexistent"),
        ('retry_seconds = "soon"', "gomr.toml: [s3] retry_seconds='soon': write seconds above 0"),
        ("read_timeout = 0", "gomr.toml: [s3] read_timeout='0': write seconds above 0"),
        ('secret_keys = "canary"', "there is no setting 'secret_keys': did you mean 'secret_key'?"),
        ('secret_key = ["canary"]', "[s3] secret_key: write it as text"),
        ('password = "canary"', "there is no setting 'password': there are endpoint, region"),
        ('reader_access_key = "canary"', "there is no setting 'reader_access_key'"),
        ('access_key = "canary"', "set both GOMR_S3_ACCESS_KEY and"),
        ('endpoint = "http://me:canary@host"', "no credentials in the URL"),
    ],
)
def test_a_wrong_table_is_a_usage_error_that_shows_no_secret(table: str, words: str) -> None:
    write(table)
    with pytest.raises(UsageError) as caught:
        S3Settings.configured()
    assert words in str(caught.value)
    assert "canary" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_commands_check_the_table_and_leave_its_values_alone(folder: Path) -> None:
    write('secret_key_file = "/nonexistent/canary"')  # of a store that this run does not use
    assert parse(["--input", "a"], inline=True, worker="w.py").store == ""
    assert parse(["--input", "a", "w.py"], inline=False).store == ""
    assert clean_command([]) == 0
    write('secret_keys = "canary"')
    for inline in (True, False):
        with pytest.raises(UsageError, match="did you mean 'secret_key'"):
            parse(["--input", "a"], inline=inline, worker="w.py")
    with pytest.raises(UsageError, match="did you mean 'secret_key'"):
        clean_command([])


def test_inputs_in_a_store_are_listed_by_the_table() -> None:
    write('endpoint = "nowhere:9000"')
    with pytest.raises(UsageError, match="S3 endpoint 'nowhere:9000': write http"):
        list(list_inputs("s3://bucket/in", own_store=""))


def test_the_readers_keys_are_no_business_of_the_table() -> None:
    write('access_key = "who"\nsecret_key = "hush"')
    assert S3Settings.of_reader() is None
    given = {"GOMR_S3_READER_ACCESS_KEY": "r", "GOMR_S3_READER_SECRET_KEY": "s"}
    reader = S3Settings.of_reader(given)
    assert reader == S3Settings(access_key="r", secret_key="s")


def test_secrets_are_shown_nowhere(folder: Path) -> None:
    write('access_key = "canary"\nsecret_key = "canary"\nsession_token = "canary"')
    assert "canary" not in repr(S3Settings.configured())
    assert "canary" not in repr(read_s3())


def test_a_setting_is_read_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOMR_BASE_IMAGE", "a")
    assert read("base_image") == "a"
    monkeypatch.setenv("GOMR_BASE_IMAGE", "b")
    assert read("base_image") == "b"
    assert read("base_image", {}) == ""


def test_the_reader_needs_nothing_but_the_standard_library() -> None:
    script = (
        "import sys; before = set(sys.modules); from gomr_runtime.system.settings import read_s3\n"
        "read_s3()\n"
        "names = {name.partition('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(names - set(sys.stdlib_module_names)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "['gomr_runtime']\n"
