from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pandas
import pytest
from pydantic import BaseModel

from devstack.stack import Stack
from mljob import AsyncClient, Client, JobCancelled, JobDeleted, JobFailed, JobStalled
from mljob.sync.run_api import RunApi
from mljob_contract.run_api import LOG_NOTICE
from tests.conftest import NewInstallation
from tests.live.installation import Installation


class Params(BaseModel):
    rate: float = 0.1
    epochs: int = 3
    data: str | None = None


DAG = "client_training"
LIMIT = 300.0
"""Seconds until a run must have ended."""


@pytest.fixture(scope="module")
def installation_of_client(new_installation: NewInstallation) -> Installation:
    # mljob-api reads runs with the prefix of the chart's default.
    return new_installation("client", MLJOB_RUN_ID_PREFIX="mljob")


@pytest.fixture(scope="module")
def client(installation_of_client: Installation, stack: Stack) -> Iterator[Client]:
    client = Client(installation_of_client.jobs.namespace, kubeconfig=stack.kubeconfig)
    yield client
    client.close()


def test_submitted_job_is_followed_to_its_outputs(client: Client) -> None:
    job = client.submit(DAG, Params(rate=0.3, epochs=5), name="first")

    phases = list(dict.fromkeys(state.phase for state in job.stream(timeout=LIMIT)))

    assert phases[-1] == "Succeeded"
    assert "Running" in phases
    assert job.wait(timeout=LIMIT).outputs == {"accuracy": 1.0}
    assert "✔ Succeeded" in job._repr_html_()


def test_every_point_of_the_curve_is_a_row(client: Client) -> None:
    job = client.submit(DAG, {"epochs": 4}, name="curve").wait(timeout=LIMIT)

    frame = job.metrics()

    assert isinstance(frame, pandas.DataFrame)
    assert set(frame["task"]) == {"fit"}
    # The provider may merge reports that follow each other within half a second.
    assert frame["loss"].iloc[-1] == 0.25
    assert frame["time"].is_monotonic_increasing


def test_failed_job_says_why_with_its_log_and_a_retry_succeeds_after_the_repair(client: Client, tmp_path: Path) -> None:
    data = tmp_path / "data.csv"
    job = client.submit(DAG, {"data": str(data)}, name="mended")

    with pytest.raises(JobFailed, match="no data at") as raised:
        job.wait(timeout=LIMIT)
    assert (raised.value.task, raised.value.reason) == ("prepare", "TaskFailed")
    assert raised.value.error is not None
    assert "FileNotFoundError" in raised.value.error
    assert any("no data at" in line for line in raised.value.log)

    data.touch()
    job.retry().wait(timeout=LIMIT)
    assert job.state.status.attempts == 2
    assert job.outputs == {"accuracy": 0.8}


def test_log_history_and_graph_of_a_run(client: Client) -> None:
    job = client.submit(DAG, name="read")
    log = list(job.logs("prepare", follow=True))
    job.wait(timeout=LIMIT)

    assert any("looking for the data" in line for line in log)
    assert {entry.kind for entry in job.history(follow=True)} >= {"task", "metrics"}
    graph = job.graph()
    assert [(task.id, task.state) for task in graph.tasks] == [("prepare", "success"), ("fit", "success")]
    assert [(edge.source, edge.target) for edge in graph.edges] == [("prepare", "fit")]


def test_log_goes_on_after_each_line_with_the_lines_after_it(client: Client) -> None:
    job = client.submit(DAG, name="position")
    runs = RunApi(client.transport)
    followed = [
        line for line in runs.log_lines(job.state, "prepare", follow=True) if not line.text.startswith(LOG_NOTICE)
    ]
    job.wait(timeout=LIMIT)
    # Airflow sorts lines by their times. While a log grows, a line may arrive before an earlier one.
    lines = list(runs.log_lines(job.state, "prepare", follow=True))

    assert len(lines) > 1
    assert sorted(line.text for line in lines) == sorted(line.text for line in followed)
    for number, line in enumerate(lines, 1):
        rest = runs.log_lines(job.state, "prepare", follow=True, after=line.after)
        assert [each.text for each in rest] == [each.text for each in lines[number:]]


def test_sweep_is_compared_best_first(client: Client) -> None:
    jobs = client.sweep(DAG, {"rate": [0.1, 0.3, 0.9]}, name="rates", conf={"epochs": 1})
    for job in jobs:
        job.wait(timeout=LIMIT)

    found = client.compare("mljob.dev/sweep=rates", by="accuracy")

    assert found.params == ["rate"]
    assert [(row["rate"], row["accuracy"]) for row in found.to_rows()] == [(0.3, 1.0), (0.1, 0.8), (0.9, 0.4)]
    again = client.sweep(DAG, {"rate": [0.1, 0.3, 0.9]}, name="rates", conf={"epochs": 1})
    assert [job.state.uid for job in again] == [job.state.uid for job in jobs]


def test_refused_conf_ends_the_wait(client: Client) -> None:
    job = client.submit(DAG, {"rate": 7}, name="refused")

    with pytest.raises(JobStalled, match="rate"):
        job.wait(timeout=LIMIT)


def test_cancelled_and_deleted_jobs_end_the_wait(client: Client) -> None:
    waiting = client.submit("not_deployed_yet", name="cancelled").cancel()
    with pytest.raises(JobCancelled):
        waiting.wait(timeout=LIMIT)

    deleted = client.submit("not_deployed_yet", name="deleted")
    deleted.delete()
    with pytest.raises(JobDeleted):
        deleted.wait(timeout=LIMIT)


async def test_asyncio_half_runs_a_job_too(installation_of_client: Installation, stack: Stack) -> None:
    async with AsyncClient(installation_of_client.jobs.namespace, kubeconfig=stack.kubeconfig) as client:
        job = await client.submit(DAG, {"rate": 0.2}, name="asynchronous")
        await job.wait(timeout=LIMIT)

        assert job.outputs == {"accuracy": 0.9}
