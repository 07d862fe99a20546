"""The adapters for MLJobs and AirflowInstances in the Kubernetes API, and the handlers that kopf
calls.
"""

from __future__ import annotations

from typing import Any

import kopf
import pytest
from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException

from mljob_contract.mljob import ConfSource
from mljob_operator.adapters.kubernetes.instances import InstanceObjects
from mljob_operator.adapters.kubernetes.instances import read as read_instance
from mljob_operator.adapters.kubernetes.jobs import Jobs, read
from mljob_operator.adapters.kubernetes.requests import LONGEST_PAUSE, call
from mljob_operator.errors import (
    Conflict,
    Gone,
    ReferenceMissing,
    Refused,
    StoreError,
    StoreForbidden,
    StoreUnavailable,
)
from mljob_operator.handlers import registry
from tests.fakes.kubernetes_api import KubernetesApi, status

NO_AIRFLOW = "http://127.0.0.1:9"
"""A URL on which no server listens."""


async def test_mljob_of_an_unwatched_namespace_is_not_requested() -> None:
    api = client.ApiClient(client.Configuration(host=NO_AIRFLOW))
    try:
        jobs = Jobs(api, ("team-a",))
        assert await jobs.get(("team-b", "churn")) is None
        with pytest.raises(StoreUnavailable):
            await jobs.get(("team-a", "churn"))
    finally:
        await api.close()


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, "", Refused),
        (401, "", StoreError),
        (403, "", StoreForbidden),
        (404, '{"kind": "Status", "reason": "NotFound"}', Gone),
        (404, "404 page not found", StoreUnavailable),
        (404, "<html>", StoreUnavailable),
        (409, "", Conflict),
        (409, '{"details": {"causes": [{"message": "Precondition failed: uid"}]}}', Gone),
        (413, "", Refused),
        (422, '{"message": "status.tasks[0].tryNumber: Invalid value"}', Refused),
        (429, "", StoreUnavailable),
        (500, "", StoreUnavailable),
        (503, "<html>", StoreUnavailable),
    ],
)
async def test_status_code_decides_whether_a_request_may_be_retried(
    status: int, body: str, kind: type[StoreError]
) -> None:
    async def refuse() -> None:
        error = ApiException(status, "no")
        error.body = body
        raise error

    with pytest.raises(StoreError) as caught:
        await call(refuse)
    assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("3", 3.0),
        (None, 0.0),
        ("86400", LONGEST_PAUSE),
        ("-1", 0.0),
        ("Fri, 31 Dec 2027 23:59:59 GMT", 0.0),
        ("²", 0.0),
        ("9" * 5000, 0.0),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_busy_api_server_says_for_how_long_to_leave_it_alone(
    status: int, header: str | None, seconds: float
) -> None:
    async def refuse() -> None:
        error = ApiException(status, "no")
        error.headers = {"Retry-After": header} if header is not None else None
        raise error

    with pytest.raises(StoreUnavailable) as caught:
        await call(refuse)
    assert caught.value.retry_after == seconds


@pytest.mark.parametrize(
    "error", [RecursionError("too deep"), ValueError("<html> is not JSON"), TimeoutError(), OSError()]
)
async def test_unreadable_response_counts_as_unavailable(error: Exception) -> None:
    async def fail() -> None:
        raise error

    with pytest.raises(StoreUnavailable):
        await call(fail)


@pytest.mark.parametrize(
    ("code", "is_forbidden"), [(400, False), (401, False), (403, True), (409, False), (418, False), (422, False)]
)
async def test_object_that_cannot_be_read_is_named_with_the_true_cause(code: int, is_forbidden: bool) -> None:
    with KubernetesApi() as server:
        server.refuse = lambda _path, _query: status(code, "the cause")
        api = client.ApiClient(client.Configuration(host=server.url))
        try:
            for reference in ({"secretRef": {"name": "passwords"}}, {"configMapRef": {"name": "passwords"}}):
                with pytest.raises(ReferenceMissing, match="passwords") as of_conf:
                    await Jobs(api).source("team-a", ConfSource.model_validate(reference))
                assert ("may not read" in str(of_conf.value)) is is_forbidden
                assert f"answered {code}" in str(of_conf.value)
                assert "the cause" in str(of_conf.value)
            with pytest.raises(ReferenceMissing, match="passwords") as of_instance:
                await InstanceObjects(api, credentials_namespace="team-a").secret("passwords")
            assert ("may not read" in str(of_instance.value)) is is_forbidden
            assert is_forbidden or "the cause" in str(of_instance.value)
        finally:
            await api.close()


@pytest.mark.parametrize("kind", [read, read_instance])
@pytest.mark.parametrize("body", [{}, {"metadata": None}, {"metadata": {"name": "x"}}, {"metadata": []}])
def test_unreadable_object_is_logged_and_skipped(kind: Any, body: Any, caplog: pytest.LogCaptureFixture) -> None:
    assert kind(body) is None
    assert "can't be read and is left alone" in caplog.text


async def test_handler_does_not_pass_errors_to_kopf(caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        job_controller = instances = None

    made = registry(Broken(), lambda: None, with_instances=True, prefix="mljob")  # type: ignore[arg-type]
    handlers: list[Any] = [handler.fn for handler in made._watching.get_all_handlers()]
    assert len(handlers) == 3
    body = kopf.Body({"kind": "MLJob", "metadata": {"namespace": "a", "name": "b", "uid": "u"}, "spec": {}})
    for handler in handlers:
        await handler(type="ADDED", body=body)
    assert caplog.text.count("MLJob a/b: unexpected error") == 3
    fields = [(vars(record).get("namespace"), vars(record).get("job")) for record in caplog.records]
    assert fields == [("a", "b")] * 3
