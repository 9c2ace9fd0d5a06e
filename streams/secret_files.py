"""Secrets from files: ``NAME_FILE`` names the file that holds the secret setting ``NAME``, as containers expect."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource

from streams.errors import BadSetting

SUFFIX: Final = "_file"
# A token of any service is shorter; a wrong path may name a disk.
MAX_BYTES: Final = 64 * 1024


def is_secret(field: FieldInfo) -> bool:
    """Whether a setting is, or may hold, a secret: its type says so, or it is left out of what is printed."""
    return not field.repr or "SecretStr" in str(field.annotation) or field.annotation is SecretStr


def file_names(kind: type[BaseSettings]) -> frozenset[str]:
    """Return the names, in lower case, that say in which files the secrets of these settings are."""
    return frozenset(f"{name}{SUFFIX}" for name, field in kind.model_fields.items() if is_secret(field))


class SecretFiles(PydanticBaseSettingsSource):
    """What the files hold that one source of settings names: the environment, or ``.env``.

    Raises :class:`BadSetting` where a file cannot be used, and where a secret is given in both ways.
    """

    def __init__(self, kind: type[BaseSettings], source: EnvSettingsSource) -> None:
        super().__init__(kind)
        self._given: Mapping[str, str | None] = source.env_vars

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """Return the secret of a setting, its name, and that it is not JSON."""
        path = self._given.get(f"{field_name}{SUFFIX}") if is_secret(field) else None
        if not path:
            return None, field_name, False
        name = f"{field_name}{SUFFIX}".upper()
        if self._given.get(field_name):
            raise BadSetting(f"{field_name.upper()} and {name} are both set: take one of them out")
        return _read(name, Path(path)), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the secrets that are in files, by the names of their settings."""
        found = {name: self.get_field_value(field, name)[0] for name, field in self.settings_cls.model_fields.items()}
        return {name: value for name, value in found.items() if value is not None}


def with_files(
    kind: type[BaseSettings], sources: tuple[PydanticBaseSettingsSource, ...]
) -> tuple[PydanticBaseSettingsSource, ...]:
    """Return the sources, and behind each that may name files what those hold."""
    found: list[PydanticBaseSettingsSource] = []
    for source in sources:
        found.append(source)
        if isinstance(source, EnvSettingsSource):
            # Before it: an empty value says nothing where a file has it.
            found.insert(-1, SecretFiles(kind, source))
    return tuple(found)


class WithFiles(BaseSettings):
    """Settings whose secrets may be in files."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Add files of secrets to the library's sources."""
        return with_files(settings_cls, (init_settings, env_settings, dotenv_settings, file_secret_settings))


def without_files(environment: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which these settings are given, and no file says otherwise."""
    dropped = {f"{name}{SUFFIX.upper()}" for name in given}
    return {name: value for name, value in environment.items() if name not in dropped} | dict(given)


def _read(name: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadSetting(f"{name}: {path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    try:
        text = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError:
        text = ""
    if not text or len(content) > MAX_BYTES:
        raise BadSetting(f"{name}: {path} must hold the secret as text, and nothing else")
    return text
