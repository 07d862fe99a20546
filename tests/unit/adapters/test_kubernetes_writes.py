from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio import client

from mljob_operator.adapters.kubernetes.client import gated
from mljob_operator.adapters.kubernetes.instances import InstanceObjects
from mljob_operator.adapters.kubernetes.jobs import Jobs
from mljob_operator.core.airflow_instance.instance import Instance
from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.status.events import NORMAL, KubeEvent
from mljob_operator.errors import Conflict, Gone, NotLeading, Refused, StoreError, StoreForbidden, StoreUnavailable

META = {"name": "churn", "namespace": "team-a", "uid": "5f2f", "resourceVersion": "7"}
OBJECT = {"metadata": META, "spec": {"type": "Training", "dagId": "train"}}
PATH = "/apis/mljob.dev/v1alpha1/namespaces/team-a/mljobs/churn"
NO_LEADER = "another process is the leader"


@dataclass
class ApiServer:
    asked: list[tuple[str, str, str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    answer: Callable[[], web.Response] = lambda: web.json_response(
        OBJECT | {"metadata": META | {"resourceVersion": "8"}}
    )

    async def handle(self, request: web.Request) -> web.Response:
        sent = request.headers.get("Content-Type", "")
        self.asked.append((request.method, str(request.rel_url), sent, await request.json()))
        self.headers.append(dict(request.headers))
        return self.answer()


@pytest.fixture
async def server() -> AsyncIterator[tuple[ApiServer, client.ApiClient]]:
    api_server, application = ApiServer(), web.Application()
    application.router.add_route("*", "/{path:.*}", api_server.handle)
    async with TestServer(application) as listening:
        configuration = client.Configuration(host=str(listening.make_url("")).rstrip("/"))
        configuration.api_key["BearerToken"] = "Bearer first"
        api = client.ApiClient(configuration)
        yield api_server, api
        await api.close()


async def test_status_is_a_merge_patch_of_exactly_this_version(server: tuple[ApiServer, client.ApiClient]) -> None:
    api_server, api = server
    written = await Jobs(api).write_status(Job.from_object(OBJECT), {"phase": "Queued", "tasks": None})
    assert written.resource_version == "8"
    exactly = {"uid": "5f2f", "resourceVersion": "7"}
    body = {"metadata": exactly, "status": {"phase": "Queued", "tasks": None}}
    assert api_server.asked == [("PATCH", f"{PATH}/status", "application/merge-patch+json", body)]


async def test_object_without_a_namespace_is_written_at_its_own_path(
    server: tuple[ApiServer, client.ApiClient],
) -> None:
    api_server, api = server
    body = {"metadata": {"name": "prod", "uid": "77", "resourceVersion": "1"}, "spec": {"url": "http://airflow"}}
    api_server.answer = lambda: web.json_response(body)
    await InstanceObjects(api, "platform").set_finalizer(Instance.from_object(body), present=True)
    (method, path, _, sent) = api_server.asked[0]
    assert (method, path) == ("PATCH", "/apis/mljob.dev/v1alpha1/airflowinstances/prod")
    assert len(sent["metadata"]["finalizers"]) == 1


async def test_event_is_created_in_the_namespace_of_its_object(server: tuple[ApiServer, client.ApiClient]) -> None:
    api_server, api = server
    api_server.answer = lambda: web.json_response({"kind": "Event"}, status=201)
    await Jobs(api).record(Job.from_object(OBJECT), KubeEvent(NORMAL, "Submitted", "The run is submitted."))
    ((method, path, content_type, body),) = api_server.asked
    assert (method, path, content_type) == ("POST", "/api/v1/namespaces/team-a/events", "application/json")
    assert body["involvedObject"]["uid"] == "5f2f"


async def test_each_write_has_the_current_token(server: tuple[ApiServer, client.ApiClient]) -> None:
    # The kubelet renews the token before it expires.
    api_server, api = server

    async def renew(configuration: client.Configuration) -> None:
        configuration.api_key["BearerToken"] = "Bearer second"

    await Jobs(api).write_status(Job.from_object(OBJECT), {})
    api.configuration.refresh_api_key_hook = renew
    await Jobs(api).write_status(Job.from_object(OBJECT), {})
    assert [headers["Authorization"] for headers in api_server.headers] == ["Bearer first", "Bearer second"]
    assert {headers["User-Agent"] for headers in api_server.headers} == {api.user_agent}


async def test_name_can_lead_to_no_other_path(server: tuple[ApiServer, client.ApiClient]) -> None:
    api_server, api = server
    job = Job.from_object({**OBJECT, "metadata": META | {"name": "a/../../b?c"}})
    await Jobs(api).write_status(job, {})
    assert api_server.asked[0][1] == f"{PATH.removesuffix('churn')}a%2F..%2F..%2Fb%3Fc/status"


def refused(status: int, reason: str = "", **headers: str) -> Callable[[], web.Response]:
    body = {"kind": "Status", "reason": reason, "message": "why it is so"}
    return lambda: web.json_response(body, status=status, headers=headers)


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        pytest.param(refused(409), Conflict, "why it is so", id="conflict"),
        pytest.param(refused(404, "NotFound"), Gone, "why it is so", id="gone"),
        pytest.param(refused(422), Refused, "why it is so", id="invalid"),
        pytest.param(refused(403), StoreForbidden, "403", id="forbidden"),
        pytest.param(refused(500), StoreUnavailable, "500", id="server error"),
        pytest.param(lambda: web.Response(text="<html>"), StoreUnavailable, "can't be read", id="no JSON"),
        pytest.param(lambda: web.json_response([]), StoreUnavailable, "no JSON object", id="no object"),
    ],
)
async def test_answer_that_is_no_success_raises(
    server: tuple[ApiServer, client.ApiClient],
    answer: Callable[[], web.Response],
    error: type[StoreError],
    text: str,
) -> None:
    api_server, api = server
    api_server.answer = answer
    with pytest.raises(error, match=text) as raised:
        await Jobs(api).write_status(Job.from_object(OBJECT), {})
    assert type(raised.value) is error


async def test_pause_that_the_api_server_asks_for_is_kept(server: tuple[ApiServer, client.ApiClient]) -> None:
    api_server, api = server
    api_server.answer = refused(429, **{"Retry-After": "3"})
    with pytest.raises(StoreUnavailable) as raised:
        await Jobs(api).write_status(Job.from_object(OBJECT), {})
    assert raised.value.retry_after == 3


async def test_nothing_is_sent_by_a_process_that_is_not_the_leader(
    server: tuple[ApiServer, client.ApiClient],
) -> None:
    api_server, api = server

    class Closed:
        def check(self) -> None:
            raise NotLeading(NO_LEADER)

    jobs = Jobs(gated(api, Closed()))
    with pytest.raises(NotLeading):
        await jobs.write_status(Job.from_object(OBJECT), {})
    with pytest.raises(NotLeading):
        await jobs.record(Job.from_object(OBJECT), KubeEvent(NORMAL, "Submitted", ""))
    assert not api_server.asked
