"""An operator that polls, for a comparison with the operator of this project. A kopf timer reads
each MLJob's active run from Airflow every three seconds. The timer writes the status of an MLJob
only if the state of the run has changed.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

import aiohttp
import kopf

from mljob_contract.mljob import PLURAL
from mljob_contract.resource import GROUP, VERSION

INTERVAL = 3.0
"""Seconds between two reads of one run."""

_PHASES = {"queued": "Queued", "running": "Running", "success": "Succeeded", "failed": "Failed"}


_ENDED = ("success", "failed")


class Airflow:
    """A client of Airflow's REST API."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._url = url
        self._login = {"username": user, "password": password}

    async def connect(self) -> None:
        """Open a session, and log in."""
        # As many concurrent requests as the real operator. More would exhaust Airflow's database
        # connections.
        self._session = aiohttp.ClientSession(self._url, connector=aiohttp.TCPConnector(limit=8))
        async with self._session.post("/auth/token", json=self._login, raise_for_status=True) as answer:
            token = (await answer.json())["access_token"]
        self._session.headers["Authorization"] = f"Bearer {token}"

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def submit(self, dag_id: str, run_id: str) -> None:
        """Trigger a run without conf. Do nothing if Airflow already has a run with this id.

        Raises:
            kopf.TemporaryError: Airflow answered with an HTTP status other than 200 and 409. kopf
                calls the handler again after two seconds.
        """
        body = {"dag_run_id": run_id, "logical_date": None}
        async with self._session.post(f"/api/v2/dags/{dag_id}/dagRuns", json=body) as answer:
            if answer.status not in (200, 409):
                raise kopf.TemporaryError(f"Airflow answered {answer.status}", delay=2)

    async def state(self, dag_id: str, run_id: str) -> str:
        """Return the state of the run, in Airflow's words."""
        async with self._session.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}", raise_for_status=True) as answer:
            return str((await answer.json())["state"])


def registry(airflow: Airflow) -> kopf.OperatorRegistry:
    """Return a kopf registry with the operator's handlers."""
    registry = kopf.OperatorRegistry()

    @kopf.on.startup(registry=registry)
    async def begin(settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.posting.enabled = False
        await airflow.connect()

    @kopf.on.login(registry=registry)
    def log_in(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_kubeconfig(**kwargs)

    @kopf.on.cleanup(registry=registry)
    async def end(**_: Any) -> None:
        await airflow.close()

    @kopf.on.create(GROUP, VERSION, PLURAL, registry=registry)
    async def submit(spec: kopf.Spec, uid: str, patch: kopf.Patch, **_: Any) -> None:
        await airflow.submit(spec["dagId"], f"polling.{uid}")
        patch.status["dagRunId"] = f"polling.{uid}"

    @kopf.timer(GROUP, VERSION, PLURAL, interval=INTERVAL, registry=registry)
    async def poll(spec: kopf.Spec, status: kopf.Status, patch: kopf.Patch, **_: Any) -> None:
        run_id = status.get("dagRunId")
        if run_id is None or status.get("dagRunState") in _ENDED:
            return
        state = await airflow.state(spec["dagId"], run_id)
        if state != status.get("dagRunState"):
            patch.status["dagRunState"] = state
            patch.status["phase"] = _PHASES[state]

    return registry


def main() -> None:
    """Run the operator until the process is terminated."""
    logging.basicConfig(level=logging.WARNING)
    airflow = Airflow(os.environ["AIRFLOW_URL"], os.environ["AIRFLOW_USER"], os.environ["AIRFLOW_PASSWORD"])
    namespaces = [os.environ["BENCH_NAMESPACE"]]
    asyncio.run(kopf.operator(registry=registry(airflow), standalone=True, namespaces=namespaces))


if __name__ == "__main__":
    main()
