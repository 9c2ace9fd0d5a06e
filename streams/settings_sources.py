"""Where settings are read, and how what is written there is understood."""

from typing import Any, Final

from pydantic import ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from streams.secret_files import WithFiles
from streams.settings_texts import value_of

MODEL_CONFIG: Final = SettingsConfigDict(
    env_file=".env", env_file_encoding="utf-8", extra="ignore", frozen=True, allow_inf_nan=False
)
"""Where settings are read, those of a venue too; the environment has precedence over ``.env``."""


class WrittenSettings(WithFiles):
    """Settings as people write them: see :mod:`streams.settings_texts`."""

    model_config = MODEL_CONFIG

    @field_validator("*", mode="before")
    @classmethod
    def _as_written(cls, value: Any, info: ValidationInfo) -> Any:
        name = info.field_name or ""
        return value_of(name, cls.model_fields[name], value)
