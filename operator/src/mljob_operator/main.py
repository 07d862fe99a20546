"""The entry point of the operator: reads and checks the settings, and runs the process."""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from . import kafka_properties, logs
from .adapters import proxies
from .adapters.kafka import refusal
from .errors import CannotStart
from .kafka_properties import secrets as kafka_secrets
from .operator import kafka
from .process import run
from .settings import Settings, explained, unusable_files, variable

log = logging.getLogger(__name__)

RECURSION_LIMIT = 11_000
"""Python's recursion limit, for reading JSON.

The API server accepts objects with up to 10,000 nested levels (the limit of Go's
``encoding/json``), and Python's ``json`` recurses once per level. With a lower limit, one such
object would make the whole list of MLJobs unreadable. A main thread's stack of 8 MiB has room for
25,000 levels.
"""


def main() -> int:
    """Run the operator until a signal stops it.

    Returns:
        The exit code: 2 if the settings are wrong, 1 if the operator can't run for another reason,
        otherwise 0.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        return _print_problems(explained(error))
    if problems := proxies.problems() or unusable_files(settings) or _refused_by_kafka(settings):
        return _print_problems(problems)
    logs.hide("settings", *settings.airflow_login().secrets(), *kafka_secrets(settings.kafka()), *proxies.passwords())
    logs.configure(settings.log_format, settings.log_level)
    sys.setrecursionlimit(RECURSION_LIMIT)
    # The imports have created many objects that are never freed. Without the freeze, every full
    # garbage collection would visit these objects, and would delay statuses by 0.1 to 0.2 seconds.
    gc.collect()
    gc.freeze()
    try:
        asyncio.run(run(settings))
    except CannotStart as error:
        log.critical("the operator can't start: %s", error)
        return error.code
    except Exception as error:
        log.critical("the operator ends after an unexpected error: %s", error, exc_info=error)
        return 1
    return 0


def _refused_by_kafka(settings: Settings) -> list[str]:
    """Return a list with one sentence: why librdkafka refuses the settings, and which environment
    variables are the cause. Return an empty list if librdkafka accepts the settings.
    """
    if settings.kafka_bootstrap_servers is None:
        return []
    try:
        why = refusal(kafka(settings))
    except CannotStart as error:
        return [str(error)]
    if why is None:
        return []
    variables = [variable(name) for key, name in kafka_properties.SETTINGS.items() if key in why]
    extra = [variable(name) for name in ("kafka_extra_config", "kafka_extra_config_file") if getattr(settings, name)]
    return [f"{', '.join(variables or extra) or variable('kafka_*')}: librdkafka refuses the settings for Kafka: {why}"]


def _print_problems(problems: Sequence[str]) -> int:
    print("The operator's settings are wrong:", *(f"  {problem}" for problem in problems), sep="\n", file=sys.stderr)  # noqa: T201
    return 2
