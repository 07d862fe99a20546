from __future__ import annotations

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from mljob_operator.settings import Settings


class FixedSettings(Settings):
    """Settings of the operator that come only from the constructor's arguments, and not from
    environment variables.
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
        return (init_settings,)
