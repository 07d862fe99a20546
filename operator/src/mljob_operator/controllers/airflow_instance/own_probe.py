"""How the Airflow of the operator's settings is: asked at intervals, for the metric that alerts are made of.

An AirflowInstance has a status that says whether it is ready. The settings' Airflow has no object, so the metric and the log say it.
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
"""Seconds between two looks, as for an AirflowInstance."""


class OwnProbe:
    """Asks the settings' Airflow how it is.

    Args:
        airflow: That Airflow.
        vanished: Whether many runs have vanished from it at once: it answers, and must not be used.
    """

    def __init__(self, airflow: Airflow, meter: Meter, vanished: Callable[[], bool]) -> None:
        self._airflow = airflow
        self._meter = meter
        self._vanished = vanished
        self._told = ""

    async def run(self) -> None:
        """One look after another, until cancelled."""
        while True:
            try:
                await self.look()
            except Exception:
                # A defect must not be silent, nor end the looks.
                log.exception("the Airflow of the settings: unexpected error")
                self._meter.airflow_ready(SETTINGS_AIRFLOW, False)
            await asyncio.sleep(INTERVAL)

    async def look(self) -> None:
        """Ask once, and say what came of it; each cause once in the log."""
        why = ""
        try:
            await self._airflow.probe()
        except AirflowError as error:
            why = f"{error.reason}: {error}"
        if why != self._told:
            if why:
                log.warning("the Airflow of the settings is not ready: %s", why)
            else:
                log.info("the Airflow of the settings is ready again")
            self._told = why
        self._meter.airflow_ready(SETTINGS_AIRFLOW, not why and not self._vanished())
