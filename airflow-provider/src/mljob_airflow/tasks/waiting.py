"""Waiting for what another job makes, so that both can be applied at once: the one that trains and the one that predicts.

For sensors in mode ``reschedule``, which hold no worker's slot between two looks. A run that has waited in vain fails for good, and its
MLJob says what has to run first.

Look no more often than every ten seconds: a scheduler whose loop takes longer than the time between two looks (Airflow 3.3) queues the
sensor anew before it has read how the look before ended, takes that for a loss, and fails the task.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from mljob_airflow.tasks.failing import fail_for_good


def is_there(path: os.PathLike[str] | str, *, within: float, otherwise: str) -> bool:
    """Whether a file is there, for a sensor to return::

        @task.sensor(mode="reschedule", poke_interval=10, timeout=24 * 3600)
        def wait_for_model() -> bool:
            return is_there(model_path(), within=job.params().wait_seconds, otherwise="run train_model first")

    Args:
        path: The file, complete as soon as it is there.
        within: Seconds since the run began after which there is no more waiting.
        otherwise: What to do when it does not come; the end of the error's text.

    Raises:
        AirflowFailException: It has not come.
    """
    from airflow.sdk import get_current_context

    if Path(path).exists():
        return True
    # The run's beginning, since a sensor that is rescheduled begins anew each time.
    waited = (datetime.now(UTC) - get_current_context()["dag_run"].start_date).total_seconds()
    if waited >= within:
        raise fail_for_good(f"{os.fspath(path)} is not there after {waited:.0f} s: {otherwise}")
    return False
