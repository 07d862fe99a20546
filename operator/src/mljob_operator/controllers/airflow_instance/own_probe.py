"""Probes the Airflow of the operator's settings (``MLJOB_AIRFLOW_URL``) at intervals.

This Airflow has no AirflowInstance, so the log and the metric ``mljob_airflow_ready`` show its
readiness.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from ...core.run.run_key import SETTINGS_AIRFLOW
from ...errors import AirflowError
from ...ports import Airflow, Meter
from .probe_times import seconds_to_next_probe, until_next_probe
from .registry import AirflowRegistry, Changed

log = logging.getLogger(__name__)


class OwnProbe:
    """Probes the Airflow of the operator's settings.

    Args:
        registry: The registry of all Airflows.
        airflow: The adapter for this Airflow.
        meter: Records the result in the metric ``mljob_airflow_ready``.
        vanished: Returns whether many runs have vanished from the Airflow. Such an Airflow is not
            ready.
        changed: Called when the Airflow answers again. Waiting MLJobs can then continue.
    """

    def __init__(
        self, registry: AirflowRegistry, airflow: Airflow, meter: Meter, vanished: Callable[[], bool], changed: Changed
    ) -> None:
        self._registry = registry
        self._airflow = airflow
        self._meter = meter
        self._vanished = vanished
        self._changed = changed
        self._last_problem: tuple[str, str] | None = None

    async def run(self) -> None:
        """Probe the Airflow repeatedly, until this asyncio task is cancelled."""
        failures = 0
        while True:
            self._registry.own_probe_requested.clear()
            try:
                problem = await self.probe()
            except Exception:
                # A defect must not end the task, so it is logged and the next probe follows.
                log.exception("the Airflow of the settings: unexpected error")
                self._meter.airflow_ready(SETTINGS_AIRFLOW, False)
                problem = AirflowError.reason
            failures = 0 if problem is None else failures + 1
            await until_next_probe(seconds_to_next_probe(problem, failures), self._registry.own_probe_requested)

    async def probe(self) -> str | None:
        """Probe the Airflow once, and update the metric. Log a problem of the Airflow only when the
        problem begins, changes or ends. When a problem ends, let requests to the Airflow be sent at
        once, and call ``changed``.

        Returns:
            The reason why the Airflow is not ready, or None if the Airflow is ready.
        """
        problem = None
        try:
            await self._airflow.probe()
        except AirflowError as error:
            problem = error.reason, str(error)
        if problem != self._last_problem:
            self._last_problem = problem
            if problem is not None:
                log.warning("the Airflow of the settings is not ready: %s: %s", *problem)
            else:
                log.info("the Airflow of the settings is ready again")
                self._registry.resume(SETTINGS_AIRFLOW)
                self._changed(airflow=SETTINGS_AIRFLOW)
        self._meter.airflow_ready(SETTINGS_AIRFLOW, problem is None and not self._vanished())
        return problem[0] if problem is not None else None
