"""Answers of the Kubernetes API to requests for a Lease."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio import client

from mljob_operator.adapters.kubernetes.leases import Leases
from mljob_operator.core.leadership.claims import Claims
from mljob_operator.core.leadership.lease import Lease
from mljob_operator.errors import StoreUnavailable

LEASE = Lease("mljob-operator", "5f2f", "7", "pod-1", 10, 0, None, acting=True)


@pytest.fixture
async def leases(request: pytest.FixtureRequest) -> AsyncIterator[Leases]:
    """The adapter for an API server that answers each request with the parameter of the fixture."""

    async def handle(_: web.Request) -> web.Response:
        return web.Response(text=request.param, content_type="application/json")

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", handle)
    async with TestServer(application) as listening:
        api = client.ApiClient(client.Configuration(host=str(listening.make_url("")).rstrip("/")))
        yield Leases(api, "platform", LEASE.name, seconds=10)
        await api.close()


NOT_A_LEASE = [
    "null",
    "[]",
    "5",
    '"a text"',
    "{}",
    '{"metadata": {}, "spec": {}}',
    '{"metadata": {"name": "n", "uid": "u", "resourceVersion": "1"}}',
]


@pytest.mark.parametrize("leases", NOT_A_LEASE, indirect=True)
async def test_answer_that_is_not_a_lease_is_refused(leases: Leases) -> None:
    requests: list[Any] = [
        leases.get(),
        leases.take(None, "pod-1", Claims(run_id_prefix="mljob", group_id="g")),
        leases.take(LEASE, "pod-1", Claims(run_id_prefix="mljob", group_id="g")),
        leases.renew(LEASE, acting=True),
        leases.release(LEASE),
    ]
    for request in requests:
        with pytest.raises(StoreUnavailable):
            await request
