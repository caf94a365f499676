"""The typed settings of a flow: the values and refusals of the one reader, and no secret shown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from gomr_runtime.errors import UsageError
from gomr_runtime.storage.s3.settings import S3Settings
from gomr_runtime.system.settings import SETTINGS
from k8s.settings import ImageSettings, StoreSettings

MODELS = (ImageSettings, StoreSettings)


@pytest.fixture(autouse=True)
def _nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for setting in SETTINGS.values():
        if setting.variable.startswith("GOMR_"):
            monkeypatch.delenv(setting.variable, raising=False)
            monkeypatch.delenv(f"{setting.variable}_FILE", raising=False)


def test_fields_are_those_of_the_declarations() -> None:
    for model in MODELS:
        for name, field in model.model_fields.items():
            assert field.annotation is (SecretStr if SETTINGS[name].secret else str)
    of_table = {name for name, setting in SETTINGS.items() if setting.key}
    assert set(StoreSettings.model_fields) == of_table


@pytest.mark.parametrize("table", [False, True])
def test_both_readers_find_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: bool
) -> None:
    (tmp_path / "key").write_text("canary\n")
    monkeypatch.setenv("GOMR_S3_ENDPOINT", "http://127.0.0.1:9000")
    if table:
        (tmp_path / "gomr.toml").write_text(
            '[s3]\nendpoint = "https://other"\nregion = "eu"\naccess_key = "canary"\n'
            'secret_key_file = "key"\nsession_token = "canary"\nread_timeout = 5\n'
        )
    else:
        monkeypatch.setenv("GOMR_S3_ACCESS_KEY", "canary")
        monkeypatch.setenv("GOMR_S3_SECRET_KEY_FILE", str(tmp_path / "key"))
        monkeypatch.setenv("GOMR_S3_RETRY_SECONDS", "7")
    found = StoreSettings()
    assert found.for_clients() == S3Settings.configured()
    assert found.for_clients().secret_key == "canary"
    assert found.for_clients().endpoint == "http://127.0.0.1:9000"
    shown = [
        str(found),
        repr(found),
        found.model_dump_json(),
        json.dumps(found.model_dump(), default=str),
    ]
    assert not [words for words in shown if "canary" in words]


def test_nothing_else_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("GOMR_BASE_IMAGE=a\nbase_image=b\n")
    monkeypatch.setenv("BASE_IMAGE", "c")
    assert ImageSettings().base_image == ""
    monkeypatch.setenv("GOMR_BASE_IMAGE", "d")
    monkeypatch.setenv("GOMR_MINIO_IMAGE", "e")
    assert (ImageSettings().base_image, ImageSettings().minio_image) == ("d", "e")
    with pytest.raises(ValidationError):
        ImageSettings(other="x")  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("GOMR_S3_SECRET_KEY", "both GOMR_S3_ACCESS_KEY and"),
        ("GOMR_S3_READ_TIMEOUT", "GOMR_S3_READ_TIMEOUT='canary': write seconds"),
        ("GOMR_S3_ENDPOINT", "S3 endpoint 'canary': write http"),
        ("GOMR_S3_REGION_FILE", "GOMR_S3_REGION_FILE: cannot read canary"),
    ],
)
def test_what_the_reader_refuses_is_refused_in_its_words(
    monkeypatch: pytest.MonkeyPatch, variable: str, words: str
) -> None:
    monkeypatch.setenv(variable, "canary")
    with pytest.raises(UsageError, match=words):
        StoreSettings()
