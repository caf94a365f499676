"""The settings of a flow on a cluster, as models that show no secret wherever they are printed.

Their values and refusals are those of `gomr_runtime.system.settings`, which declares the settings
and is the only source here: pydantic-settings reads no environment and no file by itself.
"""

from __future__ import annotations

from typing import Any

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from gomr_runtime.storage.s3.settings import S3Settings
from gomr_runtime.system.settings import SETTINGS, Given, read, read_s3

NOTHING = SecretStr("")


class _Declared(PydanticBaseSettingsSource):
    """What the one reader finds for a model's fields, which have the names of `SETTINGS`."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return read(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        names = self.settings_cls.model_fields
        if any(SETTINGS[name].key for name in names):
            given = read_s3()
            S3Settings.of(given)  # refuses what is wrong, in the reader's words
            return {name: given[name].text for name in names}
        return {name: read(name) for name in names}


class _FromDeclarations(BaseSettings):
    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, _Declared(settings_cls)


class ImageSettings(_FromDeclarations):
    """Images of a person's own, empty for the usual ones."""

    base_image: str = ""
    minio_image: str = ""


class StoreSettings(_FromDeclarations):
    """The S3 server of a run and who we are there, as text.

    Raises:
        UsageError: What `S3Settings.configured` refuses.
    """

    s3_endpoint: str = ""
    s3_region: str = ""
    s3_access_key: SecretStr = NOTHING
    s3_secret_key: SecretStr = NOTHING
    s3_session_token: SecretStr = NOTHING
    s3_connect_timeout: str = ""
    s3_read_timeout: str = ""
    s3_retry_seconds: str = ""

    def for_clients(self) -> S3Settings:
        """Return them as a client of the store takes them, secrets in plain text."""
        return S3Settings.of(
            {
                name: Given(
                    value.get_secret_value() if isinstance(value, SecretStr) else value, name
                )
                for name, value in self
            }
        )
