"""Checks whether the operator supports Airflow's version, and whether this version supports
backfills.

Only this module compares version numbers. These differences between 3.1 and 3.3 need no comparison:

- 3.1 ignores ``cursor`` and uses ``offset``. So the operator's requests have both.
- 3.1 ignores ``run_id_prefix_pattern``. So the operator itself leaves out runs whose id has another
  prefix.
- 3.1 and 3.2 have no state ``awaiting_input``. A task that asks a person is ``deferred`` there.

Source: the OpenAPI documents of 3.1, 3.2 and 3.3.
"""

from __future__ import annotations

import logging

from mljob_contract.airflow_versions import NEWEST, OLDEST, SUPPORTED, Version, version_number

from ...errors import AirflowUnavailable, AirflowUnsupported

log = logging.getLogger(__name__)

BACKFILLS_CAN_BE_TOLD_APART: Version = (3, 2)
"""The version that added ``conf_contains`` to lists of runs. Earlier versions have no way to find
the runs of one backfill."""

LOGS_GO_ON: Version = (3, 2)
"""The version since which a log that is requested with a token goes on after the position of the
token. Earlier versions begin the log again, without its header. Source: ``FileTaskHandler._read``
in ``airflow/utils/log/file_task_handler.py``.
"""

_TESTED = f"This operator works with {SUPPORTED}"


def supported(version: str, url: str) -> Version:
    """Check that the operator supports the version that an Airflow reports. Return the version's
    major and minor number.

    Raises:
        AirflowUnsupported: The version is too old, or is not a version number.
    """
    number = version_number(version)
    if number is None:
        raise AirflowUnsupported(f"{url} says that its version is {version!r}. {_TESTED}.")
    if number < OLDEST:
        raise AirflowUnsupported(f"Airflow at {url} is version {version}, which is too old. {_TESTED}: upgrade it.")
    return number


def warn_if_untested(number: Version, version: str, url: str) -> None:
    """Log a warning if this version is newer than all versions in the tests."""
    if number > NEWEST:
        log.warning(
            "Airflow at %s is version %s. %s; newer versions are treated like the newest of these.",
            url,
            version,
            _TESTED,
        )


def without_api(summary: str) -> AirflowUnavailable:
    """Return the error for a server that answers 404 to a request that every Airflow 3 accepts.

    Args:
        summary: The beginning of the error's message: :attr:`.Reply.summary`, which names the URL
            and quotes the answer.
    """
    return AirflowUnavailable(
        f"{summary}: it is Airflow 2, or not the URL of an api-server, or a proxy answers instead of Airflow. {_TESTED}."
    )


def repeats_logs(number: Version) -> bool:
    """Return whether this version sends a log from the beginning, even if the request has a
    continuation token.
    """
    return number < LOGS_GO_ON


def assert_backfills(number: Version, version: str, url: str) -> None:
    """Raise AirflowUnsupported if this Airflow version has no way to find the runs of one
    backfill.
    """
    if number < BACKFILLS_CAN_BE_TOLD_APART:
        since = ".".join(map(str, BACKFILLS_CAN_BE_TOLD_APART))
        raise AirflowUnsupported(
            f"MLJobs of type Backfill need Airflow {since} or later; Airflow at {url} is version {version}. Upgrade it, or name another one."
        )
