"""Regularly reads the logins of the access rules in the operator's settings.

An access rule lets namespaces run DAGs in an Airflow. An access rule can have its own login in
Secrets, such as a user and a password. For the access rules of an AirflowInstance, see
:mod:`.controller`.
"""

from __future__ import annotations

import logging

from ...core.run.run_key import SETTINGS_AIRFLOW
from ...errors import StoreError
from .probe_times import PROBE_INTERVAL, until_next_probe
from .registry import AirflowRegistry, Changed

log = logging.getLogger(__name__)


class OwnLogins:
    """Regularly reads the logins of the access rules in the operator's settings. With a login, such
    as a user and a password, the operator sends requests to Airflow.

    Args:
        registry: The registry of all Airflows.
        changed: Called when a login was read for the first time, has become usable or unusable, or
            has another problem than before. Waiting MLJobs may then be able to continue.
    """

    def __init__(self, registry: AirflowRegistry, changed: Changed) -> None:
        self._registry = registry
        self._changed = changed

    async def run(self) -> None:
        """Call :meth:`refresh` repeatedly, until this asyncio task is cancelled. Errors are
        logged.
        """
        while True:
            self._registry.own_refresh_requested.clear()
            try:
                await self.refresh()
            except StoreError as error:
                log.warning("access rules of the settings: %s", error)
            except Exception:
                # A defect must not stop the task, so it is logged and the next refresh follows.
                log.exception("access rules of the settings: unexpected error")
            await until_next_probe(PROBE_INTERVAL, self._registry.own_refresh_requested)

    async def refresh(self) -> None:
        """Read all logins again. If a request with a login has failed, test this login.

        Call ``changed`` if a login was read for the first time, has become usable or unusable, or
        has another problem than before.

        Raises:
            StoreError: The Kubernetes API fails.
        """
        if await self._registry.refresh_own_logins():
            self._changed(airflow=SETTINGS_AIRFLOW)
