"""MLJobs in the Kubernetes API: what can be told without one."""

from __future__ import annotations

from typing import Any

import kopf
import pytest
from kubernetes.aio import client
from kubernetes.aio.client.exceptions import ApiException

from mljob_operator.adapters.instances import read as read_instance
from mljob_operator.adapters.kubernetes import Jobs, call, read
from mljob_operator.errors import Conflict, Gone, Refused, StoreError, StoreUnavailable
from mljob_operator.handlers import registry

NO_AIRFLOW = "http://127.0.0.1:9"
"""Nothing listens there."""


async def test_an_mljob_of_a_namespace_that_is_not_watched_is_not_asked_for() -> None:
    """Two operators of one cluster may read the same topic; only one of them may act."""
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
        (403, "", StoreError),
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
async def test_what_the_api_server_answers_says_whether_the_same_may_be_tried_again(
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
    "error", [RecursionError("too deep"), ValueError("<html> is not JSON"), TimeoutError(), OSError()]
)
async def test_an_answer_that_can_not_be_read_is_none(error: Exception) -> None:
    async def fail() -> None:
        raise error

    with pytest.raises(StoreUnavailable):
        await call(fail)


@pytest.mark.parametrize("kind", [read, read_instance])
@pytest.mark.parametrize("body", [{}, {"metadata": None}, {"metadata": {"name": "x"}}, {"metadata": []}])
def test_an_object_that_can_not_be_read_at_all_is_left_out(
    kind: Any, body: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert kind(body) is None
    assert "can't be read and is left alone" in caplog.text


async def test_a_handler_keeps_what_goes_wrong_from_kopf(caplog: pytest.LogCaptureFixture) -> None:
    """kopf would deliver the same again, and complain in its own words."""

    class Broken:
        queue = instances = None

    made = registry(Broken(), lambda: None, with_instances=True)  # type: ignore[arg-type]
    handlers = [handler.fn for handler in made._watching.get_all_handlers()]
    assert len(handlers) == 3
    body = kopf.Body({"kind": "MLJob", "metadata": {"namespace": "a", "name": "b", "uid": "u"}, "spec": {}})
    for handler in handlers:
        await handler(type="ADDED", body=body)
    assert caplog.text.count("MLJob a/b: unexpected error") == 3
