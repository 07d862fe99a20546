"""The operator's HTTP endpoints for probes and metrics."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import aiohttp
import pytest
import urllib3

from devstack.ports import Ports
from mljob_operator.adapters.endpoints import EVERYWHERE, Endpoints
from mljob_operator.adapters.metrics import Metrics


async def answers(host: str, url_host: str, port: int) -> int:
    endpoints = Endpoints(Metrics().registry, alive=lambda: True, ready=lambda: True)

    def ask() -> int:
        with urllib3.PoolManager(retries=False) as http:
            return http.request("GET", f"http://{url_host}:{port}/livez").status

    await endpoints.start(host, port)
    try:
        return await asyncio.to_thread(ask)
    finally:
        await endpoints.stop()


@pytest.fixture
def port(tmp_path: Path) -> int:
    return Ports(tmp_path)["http"]


@pytest.mark.parametrize("address", ["127.0.0.1", "[::1]"])
async def test_default_host_listens_on_ipv4_and_ipv6(port: int, address: str) -> None:
    if not socket.has_dualstack_ipv6() and address == "[::1]":
        pytest.skip("this machine has no IPv6")
    assert await answers(EVERYWHERE, address, port) == 200


async def test_default_host_listens_on_ipv4_on_a_machine_without_ipv6(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    assert await answers(EVERYWHERE, "127.0.0.1", port) == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_host_may_be_one_address_or_name(port: int, host: str) -> None:
    assert await answers(host, host, port) == 200


@pytest.mark.parametrize(
    ("accepted", "served"),
    [
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text; version=1.0.0"),
        ("text/plain; version=0.0.4", "text/plain; version=0.0.4"),
        ("*/*", "text/plain; version=0.0.4"),
    ],
)
async def test_metrics_are_served_in_the_requested_format(port: int, accepted: str, served: str) -> None:
    metrics = Metrics()
    metrics.event("applied")
    endpoints = Endpoints(metrics.registry, alive=lambda: True, ready=lambda: True)
    await endpoints.start("127.0.0.1", port)
    try:
        async with aiohttp.ClientSession() as http:
            answer = await http.get(f"http://127.0.0.1:{port}/metrics", headers={"Accept": accepted})
            assert answer.headers["Content-Type"].startswith(served)
            assert 'mljob_events_total{outcome="applied"} 1.0' in await answer.text()
    finally:
        await endpoints.stop()
