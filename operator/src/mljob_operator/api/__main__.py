"""``python -m mljob_operator.api`` runs mljob-api."""

from __future__ import annotations

import asyncio
import logging
import sys

from pydantic import ValidationError

from .. import logs
from ..adapters import proxies
from ..connections import print_problems, refused_by_kafka
from ..errors import CannotStart
from ..json_depth import allow_deep_json
from ..settings import explained
from ..settings.kafka_properties import secrets as kafka_secrets
from .server import serve
from .settings import ApiSettings, problems

log = logging.getLogger("mljob_operator.api")


def main() -> int:
    """Run mljob-api until a signal stops the process.

    Returns:
        The exit code: 0, 1 after an error, or 2 if the settings are wrong.
    """
    try:
        settings = ApiSettings()
    except ValidationError as error:
        return print_problems(explained(error), "mljob-api")
    if found := proxies.problems() or problems(settings) or refused_by_kafka(settings):
        return print_problems(found, "mljob-api")
    logs.hide("settings", *settings.airflow_login().secrets(), *kafka_secrets(settings.kafka()), *proxies.passwords())
    logs.configure(settings.log_format, settings.log_level)
    allow_deep_json()
    try:
        asyncio.run(serve(settings))
    except CannotStart as error:
        log.critical("mljob-api can't start: %s", error)
        return error.code
    except Exception as error:
        log.critical("mljob-api ends after an unexpected error: %s", error, exc_info=error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
