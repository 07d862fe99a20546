"""The usual kind of operator, to compare with: a kopf timer that asks Airflow for each MLJob's run every few seconds.

It is not a caricature: connections are kept open, requests don't block one another, and what did not change is not written.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

import aiohttp
import kopf

from mljob_contract.mljob import GROUP, PLURAL, VERSION

INTERVAL = 3.0
"""Seconds between two looks at one run."""

_PHASES = {"queued": "Queued", "running": "Running", "success": "Succeeded", "failed": "Failed"}


class Airflow:
    """Airflow's REST API."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self._url = url
        self._login = {"username": user, "password": password}

    async def connect(self) -> None:
        """Log in."""
        # As many requests at once as the operator that it is compared with: more exhaust Airflow's database connections.
        self._session = aiohttp.ClientSession(self._url, connector=aiohttp.TCPConnector(limit=8))
        async with self._session.post("/auth/token", json=self._login, raise_for_status=True) as answer:
            token = (await answer.json())["access_token"]
        self._session.headers["Authorization"] = f"Bearer {token}"

    async def close(self) -> None:
        """Close the connections."""
        await self._session.close()

    async def submit(self, dag_id: str, run_id: str) -> None:
        """Trigger a run; one that is there already is fine."""
        body = {"dag_run_id": run_id, "logical_date": None}
        async with self._session.post(f"/api/v2/dags/{dag_id}/dagRuns", json=body) as answer:
            if answer.status not in (200, 409):
                raise kopf.TemporaryError(f"Airflow answered {answer.status}", delay=2)

    async def state(self, dag_id: str, run_id: str) -> str:
        """How the run is."""
        async with self._session.get(f"/api/v2/dags/{dag_id}/dagRuns/{run_id}", raise_for_status=True) as answer:
            return str((await answer.json())["state"])


def registry(airflow: Airflow) -> kopf.OperatorRegistry:
    """The handlers."""
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
        if run_id is None:
            return
        state = await airflow.state(spec["dagId"], run_id)
        if state != status.get("dagRunState"):
            patch.status["dagRunState"] = state
            patch.status["phase"] = _PHASES[state]

    return registry


def main() -> None:
    """Run until ended."""
    logging.basicConfig(level=logging.WARNING)
    airflow = Airflow(os.environ["AIRFLOW_URL"], os.environ["AIRFLOW_USER"], os.environ["AIRFLOW_PASSWORD"])
    namespaces = [os.environ["BENCH_NAMESPACE"]]
    asyncio.run(kopf.operator(registry=registry(airflow), standalone=True, namespaces=namespaces))


if __name__ == "__main__":
    main()
