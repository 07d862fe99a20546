"""Helps a sensor in the run of one MLJob to wait for a file that the run of another MLJob writes. So
a user can create the two MLJobs at the same time.

Use a ``poke_interval`` of at least ten seconds. If a loop of the scheduler takes longer than the
``poke_interval``, the scheduler of Airflow 3.3 queues the sensor again too early, and then sets the
task to failed.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from mljob_airflow.tasks.failing import fail_for_good


def is_there(path: os.PathLike[str] | str, *, within: float, otherwise: str) -> bool:
    """Return whether a file or a directory exists. A sensor in mode ``reschedule`` returns this
    value::

        @task.sensor(mode="reschedule", poke_interval=10, timeout=24 * 3600)
        def wait_for_model() -> bool:
            return is_there("/models/digits", within=3600, otherwise="run train_model first")

    Args:
        path: The file or the directory. It must be complete as soon as it exists.
        within: The number of seconds, from the start of the run, after which the sensor gives up.
        otherwise: The end of the error message: what the user should do if ``path`` does not exist.

    Raises:
        AirflowFailException: ``path`` does not exist ``within`` seconds after the start of the run.
            The task is not retried.
    """
    from airflow.sdk import get_current_context

    if Path(path).exists():
        return True
    # The waiting time counts from the start of the run, because the start date of a rescheduled
    # sensor changes with each poke.
    waited = (datetime.now(UTC) - get_current_context()["dag_run"].start_date).total_seconds()
    if waited >= within:
        raise fail_for_good(f"{os.fspath(path)} does not exist after {waited:.0f} s: {otherwise}")
    return False
