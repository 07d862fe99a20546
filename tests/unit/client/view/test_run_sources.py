"""The sources of the view that read a run from mljob-api: its history, graph and logs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

import pytest

from mljob.aio.run_api import RunApi
from mljob.aio.transport import AsyncTransport
from mljob.errors import Unavailable
from mljob.kubeconfig import ClusterConfig
from mljob.resource import MLJob
from mljob.view.feeds import Source
from mljob.view.person import Lookup, RunHistory
from tests.fakes.mljob_cluster import Answer, Asked, MLJobCluster
from tests.unit.client.statuses import running

UNAVAILABLE = Answer(503, b"service unavailable\n")


@pytest.fixture
async def transport(config: ClusterConfig, quick_retries: None) -> AsyncIterator[AsyncTransport]:
    transport = AsyncTransport(config)
    yield transport
    await transport.aclose()


@pytest.fixture
def job(cluster: MLJobCluster) -> MLJob:
    return MLJob(cluster.put("train", status=running()))


def losses(*values: float, complete: bool = True) -> Answer:
    entries = [
        {
            "kind": "metrics",
            "time": f"2026-01-01T00:00:{second:02}Z",
            "source": "Kafka",
            "taskId": "fit",
            "tryNumber": 1,
            "metrics": {"loss": value},
        }
        for second, value in enumerate(values)
    ]
    end = [{"kind": "end", "reason": "Complete"}] if complete else []
    lines = "".join(f"{json.dumps(entry)}\n" for entry in (*entries, *end))
    return Answer(200, lines.encode(), then_cut=not complete)


async def until(source: Source, condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(180):
        while not condition():
            await source.changed(source.version)


async def test_history_goes_on_after_mljob_api_was_unavailable_for_long(
    cluster: MLJobCluster, transport: AsyncTransport, job: MLJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The client itself goes on after a shorter outage.
    monkeypatch.setattr("mljob.reader_retries.PATIENCE_SECONDS", 0.0)
    answers = iter([losses(3.0, 2.0, complete=False), UNAVAILABLE, UNAVAILABLE])
    is_back = False

    def answer(_: Asked) -> Answer:
        return losses(3.0, 2.0, 1.0) if is_back else next(answers, UNAVAILABLE)

    cluster.runs["team-a/train/events"] = answer
    history = RunHistory(transport, job)
    await until(history, lambda: history.refusal is not None)
    assert isinstance(history.refusal, Unavailable)
    assert history.has_reports
    assert [report.metrics["loss"] for report in history.reports] == [3.0, 2.0]
    is_back = True
    await until(history, lambda: history.ended_at is not None)
    assert history.refusal is None
    assert [report.metrics["loss"] for report in history.reports] == [3.0, 2.0, 1.0]


async def test_history_that_gets_no_further_is_read_less_and_less_often(
    cluster: MLJobCluster, transport: AsyncTransport, job: MLJob, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mljob.reader_retries.PATIENCE_SECONDS", 0.0)
    failures: list[int] = []

    def no_wait(number: int, _: float | None) -> float:
        failures.append(number)
        return 0.0

    monkeypatch.setattr("mljob.view.feeds.wait_seconds", no_wait)
    longer = losses(3.0, 2.0, 1.0, complete=False)
    # In each read, the second request of the client fails, and ends the read.
    answers = iter(
        [losses(3.0, 2.0, complete=False), UNAVAILABLE] * 3 + [longer, UNAVAILABLE] * 2 + [losses(3.0, 2.0, 1.0)]
    )
    cluster.runs["team-a/train/events"] = lambda _: next(answers)

    history = RunHistory(transport, job)
    await until(history, lambda: history.ended_at is not None)

    assert history.refusal is None
    assert failures == [1, 2, 3, 1, 2]


async def test_history_that_was_never_read_has_no_reports(
    cluster: MLJobCluster, transport: AsyncTransport, job: MLJob
) -> None:
    cluster.runs["team-a/train/events"] = lambda _: UNAVAILABLE
    history = RunHistory(transport, job)
    await until(history, lambda: history.refusal is not None)
    assert not history.has_reports
    assert history.ended_at is None
    await history.aclose()


async def test_graph_is_read_again_after_mljob_api_was_unavailable(
    cluster: MLJobCluster, transport: AsyncTransport, job: MLJob
) -> None:
    graph = {
        "apiVersion": "run.mljob.dev/v1alpha1",
        "kind": "RunGraph",
        "dagId": "d",
        "dagRunId": "r",
        "tasks": [],
        "edges": [],
    }
    is_back = False
    cluster.runs["team-a/train/graph"] = lambda _: Answer(200, json.dumps(graph).encode()) if is_back else UNAVAILABLE
    lookup = Lookup("graph", lambda: RunApi(transport).graph(job))
    await until(lookup, lambda: lookup.refusal is not None)
    is_back = True
    await until(lookup, lambda: lookup.ended_at is not None)
    assert (lookup.answer is not None, lookup.refusal) == (True, None)
