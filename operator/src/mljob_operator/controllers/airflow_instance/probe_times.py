"""The times of the probes of an Airflow. A probe is a request that checks whether Airflow answers and
accepts the credentials.
"""

from __future__ import annotations

import asyncio

from ...errors import AirflowUnavailable

PROBE_INTERVAL = 15.0
"""Seconds between two probes of an Airflow that is ready."""
UNAVAILABLE_PROBE_INTERVAL = 5.0
"""The longest time in seconds between two probes of an Airflow that gives no answer. MLJobs wait for
such an Airflow, so the operator has to notice its return soon. After other failures, the time may
grow to ``PROBE_INTERVAL``, because frequent logins with a wrong password may lock an account.
"""
PROBE_AT_MOST_EVERY = 1.0
"""The shortest time in seconds between two probes of an Airflow."""


def seconds_to_next_probe(problem: str | None, failures: int) -> float:
    """Return the seconds from one probe to the next.

    Args:
        problem: The reason why the Airflow is not ready, such as ``AirflowUnavailable``. None if
            the Airflow is ready.
        failures: The number of failed probes in a row. Each failure doubles the time, up to the
            longest time.
    """
    if problem is None:
        return PROBE_INTERVAL
    longest = UNAVAILABLE_PROBE_INTERVAL if problem == AirflowUnavailable.reason else PROBE_INTERVAL
    return min(longest, 2.0 ** min(failures - 1, 6))


async def until_next_probe(seconds: float, requested: asyncio.Event) -> None:
    """Wait for ``seconds``. Return earlier if a probe is requested, but not before
    ``PROBE_AT_MOST_EVERY`` (1) seconds.
    """
    began = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(seconds):
            await requested.wait()
    except TimeoutError:
        return
    await asyncio.sleep(began + PROBE_AT_MOST_EVERY - asyncio.get_running_loop().time())
