"""Reads settings from environment variables with the prefix ``MLJOB_``."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "MLJOB_"


class EnvironmentSettings(BaseSettings):
    """The base class of each group of settings. White space around a value is removed. An empty
    value counts as absent.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _trimmed(cls, values: Any) -> Any:
        # Editors add a newline to files, and a Secret may come from such a file.
        trimmed = {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}
        return {name: value for name, value in trimmed.items() if value != ""}


def variable(name: str) -> str:
    """Return the name of the environment variable of a setting."""
    return f"{PREFIX}{name.upper()}"
