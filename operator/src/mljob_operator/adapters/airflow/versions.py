"""What an Airflow whose version is not supported is told, and what an older one that is can't do. Nothing else asks for a version.

What differs between 3.1 and 3.3 and makes no difference here: 3.1 ignores ``cursor`` and ``run_id_prefix_pattern`` (it gives pages by ``offset``
and rows of everybody's runs), so both ways of paging are asked for at once, and rows are looked through for our own run ids. 3.1 and 3.2
have no state ``awaiting_input``: a task that asks a person is ``deferred`` there. Read from the OpenAPI documents of the three.
"""

from __future__ import annotations

import logging

from mljob_contract.airflow_versions import NEWEST, OLDEST, SUPPORTED, Version, version_number

from ...errors import AirflowUnavailable, AirflowUnsupported

log = logging.getLogger(__name__)

BACKFILLS_CAN_BE_TOLD_APART: Version = (3, 2)
"""``conf_contains`` in lists of runs; before it nothing finds the runs of one backfill among those of others."""

_TESTED = f"This operator works with {SUPPORTED}"


def supported(version: str, url: str) -> Version:
    """Major and minor of a version that Airflow says that it is.

    Raises:
        AirflowUnsupported: It is too old.
    """
    number = version_number(version)
    if number is None:
        raise AirflowUnsupported(f"{url} says that its version is {version!r}. {_TESTED}.")
    if number < OLDEST:
        raise AirflowUnsupported(f"Airflow at {url} is version {version}, which is too old. {_TESTED}: upgrade it.")
    return number


def warn_if_untested(number: Version, version: str, url: str) -> None:
    """Say that nobody has tried this one."""
    if number > NEWEST:
        log.warning(
            "Airflow at %s is version %s. %s; newer ones are used as if they were the newest.", url, version, _TESTED
        )


def without_api(answered: str) -> AirflowUnavailable:
    """There is no API of Airflow 3, for now: a proxy without a backend answers like this, too."""
    return AirflowUnavailable(
        f"{answered}: it is Airflow 2, or not the URL of an api-server, or a proxy answers in its place. {_TESTED}."
    )


def assert_backfills(number: Version, version: str, url: str) -> None:
    """Raise AirflowUnsupported where backfills are too hard to tell apart."""
    if number < BACKFILLS_CAN_BE_TOLD_APART:
        since = ".".join(map(str, BACKFILLS_CAN_BE_TOLD_APART))
        raise AirflowUnsupported(
            f"MLJobs of type Backfill need Airflow {since} or later; Airflow at {url} is version {version}. Upgrade it, or name another one."
        )
