"""Creates and changes MLJobs through a bare HTTP client that keeps its connections open."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any, Self

import aiohttp

from benchmarks.servers import MERGE_PATCH, Credentials, ServerError, path_of
from mljob_contract.mljob import KIND
from mljob_contract.resource import API_VERSION

CONNECTIONS = 32
TIMEOUT = 120.0
"""Seconds that a request may take: an overloaded API server is part of what is measured."""
JSON = "application/json"


class Writer:
    """An HTTP client that creates and cancels MLJobs, for use in an ``async with`` statement."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    async def __aenter__(self) -> Self:
        """Open an HTTP session."""
        self._session = aiohttp.ClientSession(
            self._credentials.server,
            connector=aiohttp.TCPConnector(limit=CONNECTIONS, ssl=self._credentials.tls()),
            timeout=aiohttp.ClientTimeout(TIMEOUT),
            headers={"Authorization": f"Bearer {self._credentials.token}"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections."""
        await self._session.close()

    async def create(self, namespace: str, name: str, dag_id: str) -> float:
        """Create an MLJob. Return the time of the answer, in seconds of the monotonic clock."""
        body = {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"dagId": dag_id, "type": "Training"},
        }
        await self.send("POST", path_of(namespace), body)
        return time.monotonic()

    async def create_evenly(self, namespace: str, names: Sequence[str], dag_id: str, rate: float) -> None:
        """Create an MLJob for each of ``names``, at a rate of ``rate`` MLJobs per second. Wait for
        all answers. At most ``CONNECTIONS`` (32) requests are under way at the same time.
        """
        began, waiting = time.monotonic(), []
        for number, name in enumerate(names):
            await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            waiting.append(asyncio.create_task(self.create(namespace, name, dag_id)))
        await asyncio.gather(*waiting)

    async def create_at_once(self, namespace: str, names: Sequence[str], dag_id: str) -> None:
        """Create an MLJob for each of ``names`` as fast as possible, and wait for all answers. At
        most ``CONNECTIONS`` (32) requests are under way at the same time.
        """
        await asyncio.gather(*(self.create(namespace, name, dag_id) for name in names))

    async def cancel(self, namespace: str, name: str) -> float:
        """Cancel an MLJob. Return the time of the answer, in seconds of the monotonic clock."""
        await self.send("PATCH", path_of(namespace, name), {"spec": {"cancel": True}}, MERGE_PATCH)
        return time.monotonic()

    async def send(self, method: str, path: str, body: Any, content_type: str = JSON) -> Any:
        """Send a request with a JSON body. Return the decoded JSON of the answer.

        Raises:
            ServerError: The status is neither 200 nor 201.
        """
        headers = {"Content-Type": content_type}
        async with self._session.request(method, path, data=json.dumps(body), headers=headers) as answer:
            content = await answer.read()
            if answer.status not in (200, 201):
                raise ServerError(f"the Kubernetes API answered {answer.status} to {method} {path}: {content[:300]!r}")
            return json.loads(content)
