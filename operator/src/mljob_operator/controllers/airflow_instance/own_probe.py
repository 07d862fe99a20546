"""Sends a probe, at intervals, to the Airflow that the operator's settings name.

The operator's settings (``MLJOB_AIRFLOW_URL``) may name an Airflow. This Airflow has no
AirflowInstance, so no status shows whether the Airflow is ready. Instead, the log and the metric
``mljob_airflow_ready`` show whether the Airflow is ready. Alerts depend on the metric.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ...core.run.run_key import SETTINGS_AIRFLOW
from ...errors import AirflowError
from ...ports import Airflow, Meter

log = logging.getLogger(__name__)

INTERVAL = 15.0
"""Seconds between two probes. An AirflowInstance is probed at the same interval."""


class OwnProbe:
    """Probes the Airflow that the operator's settings name.

    Args:
        airflow: The adapter that sends requests to this Airflow.
        meter: Records the result of each probe in the metric ``mljob_airflow_ready``.
        vanished: Returns whether many runs have vanished from the Airflow at once. An Airflow that
            has lost many runs counts as not ready, even if the Airflow answers the probe.
    """

    def __init__(self, airflow: Airflow, meter: Meter, vanished: Callable[[], bool]) -> None:
        self._airflow = airflow
        self._meter = meter
        self._vanished = vanished
        self._last_problem = ""

    async def run(self) -> None:
        """Probe the Airflow repeatedly, until this asyncio task is cancelled."""
        while True:
            try:
                await self.probe()
            except Exception:
                # A defect must not end the task, so it is logged and the next probe follows.
                log.exception("the Airflow of the settings: unexpected error")
                self._meter.airflow_ready(SETTINGS_AIRFLOW, False)
            await asyncio.sleep(INTERVAL)

    async def probe(self) -> None:
        """Probe once, and set the metric. Log a problem if the previous probe did not find the same
        problem. When the problem is over, log once that the Airflow is ready again.
        """
        problem = ""
        try:
            await self._airflow.probe()
        except AirflowError as error:
            problem = f"{error.reason}: {error}"
        if problem != self._last_problem:
            if problem:
                log.warning("the Airflow of the settings is not ready: %s", problem)
            else:
                log.info("the Airflow of the settings is ready again")
            self._last_problem = problem
        self._meter.airflow_ready(SETTINGS_AIRFLOW, not problem and not self._vanished())
