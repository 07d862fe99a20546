"""The operator's settings for tests: only arguments count, and the environment is ignored."""

from __future__ import annotations

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from mljob_operator.settings import Settings


class FixedSettings(Settings):
    """The operator's settings, made from keyword arguments and defaults. Environment variables are
    ignored.
    """

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let pydantic read the settings from the keyword arguments only."""
        return (init_settings,)
