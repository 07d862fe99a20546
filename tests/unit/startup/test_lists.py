"""The operator reads lists from the Kubernetes API page by page."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from pathlib import Path

import pytest
from kubernetes.aio.client import ApiClient

from mljob_contract.airflow_instance import LabelSelector
from mljob_operator.adapters.kubernetes.client import connect
from mljob_operator.adapters.kubernetes.instances import InstanceObjects
from mljob_operator.adapters.kubernetes.jobs import Jobs
from mljob_operator.adapters.kubernetes.lists import PAGE
from mljob_operator.errors import StoreError, StoreForbidden, StoreUnavailable
from tests.fakes.kubernetes_api import (
    INSTANCES,
    MLJOBS,
    NAMESPACES,
    Answer,
    KubernetesApi,
    Query,
    finished,
    kubeconfig,
    status,
)

NAMES = [f"job-{number}" for number in range(2 * PAGE + PAGE // 2)]


@pytest.fixture
def api() -> Iterator[KubernetesApi]:
    with KubernetesApi() as api:
        api.objects[MLJOBS] = [finished(name) for name in NAMES]
        yield api


@pytest.fixture
async def client(api: KubernetesApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ApiClient]:
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "config", api.url)))
    client = await connect()
    yield client
    await client.close()


async def names(client: ApiClient, *namespaces: str) -> list[str]:
    return [job.name async for job in Jobs(client, namespaces).list()]


async def test_mljobs_are_listed_once_each_in_pages(api: KubernetesApi, client: ApiClient) -> None:
    assert await names(client) == NAMES
    assert [query for _, query in api.lists] == [
        {"limit": str(PAGE)},
        {"limit": str(PAGE), "continue": str(PAGE)},
        {"limit": str(PAGE), "continue": str(2 * PAGE)},
    ]


async def test_next_page_is_requested_when_the_previous_one_is_used_up(api: KubernetesApi, client: ApiClient) -> None:
    listing = Jobs(client).list()
    assert isinstance(listing, AsyncGenerator)
    for _ in range(PAGE):
        await anext(listing)
    assert len(api.lists) == 1
    await anext(listing)
    assert len(api.lists) == 2
    await listing.aclose()


async def test_first_page_of_a_complete_list_tells_where_a_watch_continues(
    api: KubernetesApi, client: ApiClient
) -> None:
    told: list[tuple[str, str]] = []
    pages = [("11", "more"), ("12", ""), ("13", "more")]

    def page(_path: str, _query: Query) -> Answer:
        if not pages:
            return status(503, "busy")
        version, token = pages.pop(0)
        return 200, json.dumps({"metadata": {"resourceVersion": version, "continue": token}, "items": []})

    def note(path: str, version: str) -> None:
        told.append((path, version))

    api.refuse = page
    assert [job async for job in Jobs(client).list(note)] == []
    assert told == [(MLJOBS, "11")]
    with pytest.raises(StoreUnavailable):
        [job async for job in Jobs(client).list(note)]
    assert told == [(MLJOBS, "11")], "a list that breaks off tells nothing"


async def test_each_namespace_is_listed_in_its_own_pages(api: KubernetesApi, client: ApiClient) -> None:
    for name in ("a", "b"):
        path = f"/apis/mljob.dev/v1alpha1/namespaces/{name}/mljobs"
        api.objects[path] = [finished(f"{name}-{number}", name) for number in range(PAGE + 1)]
    assert await names(client, "a", "b") == [f"{name}-{number}" for name in ("a", "b") for number in range(PAGE + 1)]
    assert len(api.lists) == 4


async def test_list_with_an_expired_token_continues_with_the_new_token(api: KubernetesApi, client: ApiClient) -> None:
    expired = {str(PAGE)}

    def refuse(_: str, query: Query) -> Answer | None:
        if (token := query.get("continue")) not in expired:
            return None
        expired.clear()
        return status(410, "The provided continue parameter is too old", **{"continue": str(token)})

    api.refuse = refuse
    assert await names(client) == NAMES


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        (status(401, "Unauthorized"), StoreError, "the Kubernetes API answered 401 Unauthorized: Unauthorized"),
        (
            status(403, 'mljobs.mljob.dev is forbidden: User "system:anonymous" cannot list'),
            StoreForbidden,
            'the Kubernetes API answered 403 Forbidden: mljobs.mljob.dev is forbidden: User "system:anonymous" cannot list',
        ),
        (
            (404, "404 page not found\n"),
            StoreUnavailable,
            "the Kubernetes API answered 404 Not Found: 404 page not found",
        ),
        (status(410, "too old"), StoreError, "the Kubernetes API answered 410 Gone: too old"),
        ((429, '{"error": 1}'), StoreUnavailable, "the Kubernetes API answered 429 Too Many Requests"),
        ((502, "<html>\n<b>Bad Gateway"), StoreUnavailable, "the Kubernetes API answered 502 Bad Gateway"),
        (
            (200, "<html>Welcome"),
            StoreUnavailable,
            "the Kubernetes API answered a list request with something else than a list",
        ),
        ((200, "{}"), StoreUnavailable, "the Kubernetes API answered a list request with something else than a list"),
        ((200, "[]"), StoreUnavailable, "the Kubernetes API answered a list request with something else than a list"),
        (
            (200, '{"items": null}'),
            StoreUnavailable,
            "the Kubernetes API answered a list request with something else than a list",
        ),
    ],
)
@pytest.mark.parametrize("page", ["the first page", "a later page"])
async def test_invalid_answer_to_a_list_is_a_store_error(
    api: KubernetesApi, client: ApiClient, page: str, answer: Answer, error: type[StoreError], says: str
) -> None:
    api.refuse = lambda _, query: answer if ("continue" in query) == (page == "a later page") else None
    with pytest.raises(StoreError) as raised:
        await names(client)
    assert type(raised.value) is error
    assert str(raised.value).startswith(says)
    assert "{" not in str(raised.value)
    assert "<" not in str(raised.value)


async def test_airflow_instances_and_namespaces_are_listed_in_pages(api: KubernetesApi, client: ApiClient) -> None:
    api.objects[INSTANCES] = [
        {
            "metadata": {"name": f"airflow-{number}", "uid": str(number), "resourceVersion": "1"},
            "spec": {"url": "http://airflow", "credentials": {"tokenSecretRef": {"name": "airflow"}}},
        }
        for number in range(PAGE + 1)
    ]
    api.objects[NAMESPACES] = [{"metadata": {"name": f"team-{number}"}} for number in range(PAGE)]
    api.objects[NAMESPACES].append({"metadata": {"name": "team-ml", "labels": {"team": "ml"}}})
    store = InstanceObjects(client, "mljob-system")
    assert [instance.name for instance in await store.list()] == [f"airflow-{number}" for number in range(PAGE + 1)]
    labels = await store.namespaces()
    assert (len(labels), labels["team-1"], labels["team-ml"]) == (PAGE + 1, {}, {"team": "ml"})
    assert all(query["limit"] == str(PAGE) for _, query in api.lists)


CHURN = LabelSelector(match_labels={"team": "churn"})


async def test_list_requests_only_the_mljobs_that_the_selector_selects(api: KubernetesApi, client: ApiClient) -> None:
    [job async for job in Jobs(client, selector=CHURN).list()]
    assert {query["labelSelector"] for _, query in api.lists} == {"team in (churn)"}


@pytest.mark.parametrize(
    ("labels", "is_selected"),
    [({"team": "churn"}, True), ({"team": "fraud"}, False), ({}, False)],
    ids=["selected", "of another operator", "of no operator"],
)
async def test_mljob_that_the_selector_does_not_select_counts_as_missing(
    api: KubernetesApi, client: ApiClient, labels: dict[str, str], is_selected: bool
) -> None:
    job = finished("one")
    job["metadata"]["labels"] = labels
    api.objects[MLJOBS] = [job]
    jobs = Jobs(client, selector=CHURN)
    assert (await jobs.get(("team-a", "one")) is not None) is is_selected
    assert await jobs.find(("team-a", "one")) is not None
