"""How a setting gets its value: from an environment variable with the prefix ``MLJOB_``."""

from __future__ import annotations

from typing import Any

from pydantic import model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PREFIX = "MLJOB_"


class EnvironmentSettings(BaseSettings):
    """The base class of each group of settings. White space around a value is removed. An empty
    environment variable counts as absent.
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
        """Remove white space around all values, and drop empty values. For example, a password may
        end in a newline, because an editor added it to the file from which a Secret was created.
        """
        trimmed = {name: value.strip() if isinstance(value, str) else value for name, value in values.items()}
        return {name: value for name, value in trimmed.items() if value != ""}


def variable(name: str) -> str:
    """Return the name of the environment variable of a setting."""
    return f"{PREFIX}{name.upper()}"
