"""Finds the problems of the settings. Each problem is a sentence for the user, without secrets."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from .environment import variable
from .kafka_properties import Unusable

if TYPE_CHECKING:
    from . import Settings

_FILES = {
    "airflow_ca_file": True,
    "airflow_token_file": False,
    "kafka_ssl_ca_file": True,
    "kafka_ssl_certificate_file": False,
    "kafka_ssl_key_file": False,
    "kafka_oidc_ca_file": True,
}
"""The settings that name files, each with whether the file must be a CA bundle."""
_NUMBERS = {
    "http_port": "is not a port: a number from 1 to 65535",
    "cancel_fallback_seconds": "is not a number of seconds above 0, and at most 3600",
    "resync_interval_seconds": "is not a number of seconds above 0, and at most 3600",
    "status_interval_seconds": "is not a number of seconds from 0 to 60",
    "lease_seconds": "is not a whole number of seconds from 4 to 60",
}
"""The error texts for values that are not a number or are out of range."""


def unusable_files(settings: Settings) -> list[str]:
    """Return one sentence for each problem of a file or a folder that the settings name."""
    problems = []
    try:
        settings.airflow_login()
    except ValueError as error:
        problems.append(f"{variable('airflow_headers_dir')}: {error}")
    if (tokens := settings.airflow_token_files) is not None and not Path(tokens).is_dir():
        problems.append(f"{variable('airflow_token_files')}: {tokens} is not a folder")
    for name, is_bundle in _FILES.items():
        if (path := getattr(settings, name)) is None:
            continue
        try:
            with open(path, "rb"):
                if is_bundle:
                    ssl.create_default_context(cafile=path)
        except ssl.SSLError as error:
            problems.append(f"{variable(name)}: {path} holds no CA certificate in PEM: {error.reason or error}")
        except OSError as error:
            problems.append(f"{variable(name)}: {path} can't be read: {error.strerror}")
    try:
        settings.kafka()
    except Unusable as error:
        problems.append(f"{variable('kafka_extra_config_file')}: {error}")
    return problems


def explained(error: ValidationError) -> list[str]:
    """Return a sentence for each problem in a ValidationError of the settings, without secrets. If
    a setting has several problems, only its first problem is returned.
    """
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    found: dict[str, str] = {}
    for problem in problems:
        name = str(next(iter(problem["loc"]), ""))
        sentence = _NUMBERS.get(name) or problem["msg"].removeprefix("Value error, ")
        # If several items of a list are wrong, only the first problem is reported.
        found.setdefault(name or sentence, f"{variable(name)}: {sentence}" if name else sentence)
    return list(found.values())
