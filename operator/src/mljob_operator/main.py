"""The entry point of the operator."""

from __future__ import annotations

import asyncio
import gc
import logging

from pydantic import ValidationError

from . import logs
from .adapters import proxies
from .connections import print_problems, refused_by_kafka
from .errors import CannotStart
from .json_depth import allow_deep_json
from .process import run
from .settings import Settings, explained, unusable_files
from .settings.kafka_properties import secrets as kafka_secrets

log = logging.getLogger(__name__)

OBJECTS_BETWEEN_COLLECTIONS = 10_000
"""The number of new objects after which Python collects garbage. With the default of Python 3.11,
which is 700, a tenth of the operator's processor time under load went into collections. They freed
little, because most new objects belonged to steps and requests that were still under way.
"""


def main() -> int:
    """Read the settings, and run the operator until a signal stops it.

    Returns:
        The exit code: 2 if the settings are wrong, 1 after any other error, otherwise 0.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        return print_problems(explained(error))
    if problems := proxies.problems() or unusable_files(settings) or refused_by_kafka(settings):
        return print_problems(problems)
    logs.hide("settings", *settings.airflow_login().secrets(), *kafka_secrets(settings.kafka()), *proxies.passwords())
    logs.configure(settings.log_format, settings.log_level)
    allow_deep_json()
    # The imports have created many objects that are never freed. Without the freeze, every full
    # garbage collection would visit these objects, and would delay statuses by 0.1 to 0.2 seconds.
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    try:
        asyncio.run(run(settings))
    except CannotStart as error:
        log.critical("the operator can't start: %s", error)
        return error.code
    except Exception as error:
        log.critical("the operator ends after an unexpected error: %s", error, exc_info=error)
        return 1
    return 0
