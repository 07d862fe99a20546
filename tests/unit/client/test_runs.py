"""Logs, history, metrics and graphs, which the client reads from mljob-api."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from mljob import Client, Job, RunApiMissing, errors
from mljob.aio.run_api import RunApi
from mljob.aio.transport import AsyncTransport
from mljob.kubeconfig import ClusterConfig
from mljob.metrics import rows_of_status, table_of
from mljob.resource import MLJob
from mljob_contract.run_api import LOG_GOES_ON, LOG_NOTICE, LOG_POSITION
from tests.fakes.mljob_cluster import Answer, Asked, MLJobCluster, refusal
from tests.unit.client.statuses import running, succeeded

KEY = "team-a/train"


@pytest.fixture
def job(cluster: MLJobCluster, client: Client) -> Job:
    cluster.put("train", status=running())
    return client.get("train")


def entry(kind: str, **fields: Any) -> bytes:
    whole = {"kind": kind, "time": "2026-01-01T00:00:00Z", "source": "Kafka", **fields}
    return json.dumps(whole).encode() + b"\n"


def metrics(loss: float, task: str = "fit") -> bytes:
    return entry("metrics", taskId=task, tryNumber=1, metrics={"loss": loss})


def end(reason: str = "Complete", message: str = "", **fields: str) -> bytes:
    return json.dumps({"kind": "end", "reason": reason, "message": message, **fields}).encode() + b"\n"


def in_turn(*answers: Answer) -> Callable[[Asked], Answer]:
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def test_log_is_given_line_by_line_without_control_characters(cluster: MLJobCluster, job: Job) -> None:
    text = "one\r\n\x1b]0;title\x07two\x1b[2J\n\u202ethree\nü\tx\n".encode() + b"\xff\n"
    cluster.runs[f"{KEY}/log"] = lambda _: Answer(200, text)

    assert list(job.logs("fit")) == ["one", "two", "three", "ü    x", "\ufffd"]


async def test_raw_log_keeps_its_colours(cluster: MLJobCluster, config: ClusterConfig) -> None:
    cluster.put("train", status=running())
    cluster.runs[f"{KEY}/log"] = lambda _: Answer(200, b"\x1b[31mred\x1b[0m\n")

    async with AsyncTransport(config) as transport:
        lines = [line async for line in RunApi(transport).log(MLJob(cluster.get("train")), raw=True)]

    assert lines == ["\x1b[31mred\x1b[0m"]


def test_log_asks_for_what_was_given(cluster: MLJobCluster, job: Job) -> None:
    cluster.runs[f"{KEY}/log"] = lambda _: Answer(200, b"")

    list(job.logs("a.b", map_index=0, try_number=2, tail=5, follow=True))

    asked = cluster.asked[-1].query
    of_task = {"task": "a.b", "mapIndex": "0", "try": "2"}
    assert dict(asked) == of_task | {"tail": "5", "follow": "true", "positions": "true"}


def at(line: int, try_number: int = 1) -> str:
    """Return the line that mljob-api inserts into a log to tell the client the position of the next
    line. ``line`` is the index of the next line in the log of the try.
    """
    return f"{LOG_POSITION}1/fit/-1/{try_number}/{line}\n"


def test_followed_log_continues_after_a_lost_connection(cluster: MLJobCluster, job: Job) -> None:
    told = f"{LOG_NOTICE}Try 1 of task fit is over. Another try follows."
    cluster.runs[f"{KEY}/log"] = in_turn(
        Answer(200, f"{at(38)}one\none\n".encode(), then_cut=True),
        Answer(200, b"", then_cut=True),
        Answer(200, f"{at(40)}three\n{told}\n".encode(), then_cut=True),
        Answer(200, f"{told}\n{at(0, 2)}four\n".encode(), then_cut=True),
        Answer(200, f"{at(1, 2)}five\n".encode()),
    )

    assert list(job.logs(tail=2, follow=True)) == ["one", "one", "three", told, "four", "five"]

    queries = [asked.query for asked in cluster.asked if asked.path.endswith("/log")]
    assert [query.get("tail") for query in queries] == ["2", None, None, None, None]
    after = [query.get("after") for query in queries]
    assert after == [None, "1/fit/-1/1/40", "1/fit/-1/1/40", "1/fit/-1/1/41", "1/fit/-1/2/1"]


def test_log_that_mljob_api_follows_no_longer_goes_on(cluster: MLJobCluster, job: Job) -> None:
    cluster.runs[f"{KEY}/log"] = in_turn(
        Answer(200, f"{at(0)}one\n{LOG_GOES_ON}\n".encode()), Answer(200, f"{at(1)}two\n".encode())
    )

    assert list(job.logs(follow=True)) == ["one", "two"]


def test_log_without_positions_that_mljob_api_follows_no_longer_ends_with_a_notice(
    cluster: MLJobCluster, job: Job
) -> None:
    cluster.runs[f"{KEY}/log"] = in_turn(Answer(200, f"one\n{LOG_GOES_ON}\n".encode()), Answer(200, b"one\ntwo\n"))

    assert list(job.logs(follow=True)) == ["one", LOG_GOES_ON]


def test_log_that_has_not_begun_goes_on_without_a_position(cluster: MLJobCluster, job: Job) -> None:
    told = f"{LOG_NOTICE}Airflow can't read the log."
    cluster.runs[f"{KEY}/log"] = in_turn(
        Answer(200, f"{told}\n{LOG_GOES_ON}\n".encode()), Answer(200, f"{told}\n{at(0)}one\n".encode())
    )

    assert list(job.logs(follow=True)) == [told, "one"]


def test_followed_log_survives_a_restart_of_the_api_server(cluster: MLJobCluster, job: Job) -> None:
    away = [Answer(503, b"")] * 12
    cluster.runs[f"{KEY}/log"] = in_turn(
        Answer(200, f"{at(0)}one\n".encode(), then_cut=True), *away, Answer(200, f"{at(1)}two\n".encode())
    )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mljob.retries.MAX_WAIT_SECONDS", 0.001)
        assert list(job.logs(follow=True)) == ["one", "two"]


def test_followed_log_that_does_not_come_back_is_given_up(cluster: MLJobCluster, job: Job) -> None:
    cluster.runs[f"{KEY}/log"] = in_turn(
        Answer(200, f"{at(0)}one\n".encode(), then_cut=True), refusal(503, "Busy", "no mljob-api here")
    )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("mljob.reader_retries.PATIENCE_SECONDS", 0.05)
        with pytest.raises(errors.Unavailable, match="no mljob-api here"):
            list(job.logs(follow=True))


def test_followed_log_without_positions_is_not_repeated(cluster: MLJobCluster, job: Job) -> None:
    cluster.runs[f"{KEY}/log"] = lambda _: Answer(200, b"one\n", then_cut=True)

    lines = job.logs(follow=True)

    assert next(lines) == "one"
    with pytest.raises(errors.Unavailable):
        next(lines)


def test_position_that_is_none_is_told(cluster: MLJobCluster, job: Job) -> None:
    cluster.runs[f"{KEY}/log"] = lambda _: Answer(200, f"{LOG_POSITION}x\n".encode())

    with pytest.raises(errors.BadAnswer, match="position"):
        list(job.logs(follow=True))


def test_log_that_is_not_followed_says_that_it_was_cut(cluster: MLJobCluster, job: Job) -> None:
    cluster.runs[f"{KEY}/log"] = lambda _: Answer(200, b"one\n", then_cut=True)

    with pytest.raises(errors.Unavailable):
        list(job.logs())


@pytest.mark.parametrize("code", [429, 503])
def test_busy_mljob_api_is_asked_again_when_it_says(cluster: MLJobCluster, job: Job, code: int) -> None:
    busy = refusal(code, "Busy", "too many readers", retry_after="0")
    cluster.runs[f"{KEY}/log"] = in_turn(busy, Answer(200, b"one\n"))
    cluster.runs[f"{KEY}/events"] = in_turn(busy, busy, Answer(200, metrics(1.0) + end()))

    assert list(job.logs()) == ["one"]
    assert len(list(job.history())) == 1


AWAY = Answer(503, b"service unavailable\n")
"""What kube-aggregator answers while the Service of mljob-api has no endpoint."""


def test_rollout_of_mljob_api_is_waited_for(cluster: MLJobCluster, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mljob.metrics.find_spec", lambda _: None)
    whole = Answer(200, metrics(1.0) + metrics(0.5) + end())
    cut = Answer(200, metrics(1.0), then_cut=True)
    for first in (AWAY, cut):
        cluster.runs[f"{KEY}/events"] = in_turn(first, AWAY, AWAY, whole)
        assert [row["loss"] for row in job.metrics()] == [1.0, 0.5]
        cluster.runs[f"{KEY}/events"] = in_turn(first, AWAY, AWAY, whole)
        assert len(list(job.history(follow=True))) == 2
    cluster.runs[f"{KEY}/log"] = in_turn(AWAY, Answer(200, b"one\n"))
    assert list(job.logs()) == ["one"]


def test_followed_history_survives_a_long_outage(
    cluster: MLJobCluster, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mljob.retries.MAX_WAIT_SECONDS", 0.001)
    cut = Answer(200, metrics(1.0), then_cut=True)
    cluster.runs[f"{KEY}/events"] = in_turn(cut, *[AWAY] * 12, Answer(200, metrics(1.0) + metrics(0.5) + end()))

    assert len(list(job.history(follow=True))) == 2


def test_metrics_are_not_cut_short_while_mljob_api_is_away(cluster: MLJobCluster, job: Job) -> None:
    cluster.runs[f"{KEY}/events"] = lambda _: AWAY

    with pytest.raises(errors.RunApiUnavailable):
        job.metrics()


def test_history_skips_heartbeats_and_unknown_kinds(cluster: MLJobCluster, job: Job) -> None:
    body = b"\n" + metrics(1.0) + entry("future", x=1) + b"\n" + end()
    cluster.runs[f"{KEY}/events"] = lambda _: Answer(200, body)

    assert [found.kind for found in job.history()] == ["metrics"]


def test_followed_history_that_was_cut_goes_on_without_repetition(cluster: MLJobCluster, job: Job) -> None:
    cluster.runs[f"{KEY}/events"] = in_turn(
        Answer(200, metrics(1.0), then_cut=True),
        Answer(200, metrics(1.0) + metrics(0.5)),
        Answer(200, metrics(1.0) + metrics(0.5) + end("Limit")),
        Answer(200, metrics(1.0) + metrics(0.5) + metrics(0.2) + end()),
    )

    found = [point.metrics["loss"] for point in job.history(follow=True) if point.kind == "metrics"]

    assert found == [1.0, 0.5, 0.2]


@pytest.mark.parametrize("follow", [False, True])
def test_long_history_is_read_on_from_each_cursor(cluster: MLJobCluster, job: Job, follow: bool) -> None:
    pages = {
        None: metrics(1.0) + metrics(0.9) + end("Limit", cursor="7"),
        "7": metrics(0.8) + end("Limit", cursor="9"),
        "9": metrics(0.7) + end(cursor="10"),
    }
    cluster.runs[f"{KEY}/events"] = lambda asked: Answer(200, pages[asked.query.get("after")])

    found = [point.metrics["loss"] for point in job.history(follow=follow) if point.kind == "metrics"]

    assert found == [1.0, 0.9, 0.8, 0.7]
    assert all(("/watch/" in asked.path) == follow for asked in cluster.asked if asked.path.endswith("/events"))


@pytest.mark.parametrize("body", [metrics(1.0), metrics(1.0) + end("Limit", "so far", cursor="7")])
def test_history_that_never_moves_on_is_not_taken_for_complete(cluster: MLJobCluster, job: Job, body: bytes) -> None:
    cluster.runs[f"{KEY}/events"] = lambda _: Answer(200, body)

    with pytest.raises(errors.Unavailable, match="is not complete"):
        list(job.history())


def test_followed_history_ends_with_its_job_also_without_an_end(
    cluster: MLJobCluster, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.runs[f"{KEY}/events"] = lambda _: Answer(200, metrics(1.0))
    cluster.put("train", status=succeeded())

    assert len(list(job.history(follow=True))) == 1


@pytest.mark.parametrize("reason", ["Failed", "Limit"])
def test_history_that_is_not_complete_is_an_error(cluster: MLJobCluster, job: Job, reason: str) -> None:
    cluster.runs[f"{KEY}/events"] = lambda _: Answer(200, metrics(1.0) + end(reason, "Kafka does not answer"))

    with pytest.raises(errors.Unavailable, match="Kafka does not answer"):
        list(job.history())


@pytest.mark.parametrize("line", [b"{}\n", b"no json\n", b'{"kind": "metrics"}\n', b"[" * 10_000 + b"\n"])
def test_line_that_is_no_entry_is_refused(cluster: MLJobCluster, job: Job, line: bytes) -> None:
    cluster.runs[f"{KEY}/events"] = lambda _: Answer(200, line)

    with pytest.raises(errors.BadAnswer, match="events of team-a/train"):
        list(job.history())


def test_metrics_are_a_frame_with_a_row_for_each_report(cluster: MLJobCluster, job: Job) -> None:
    pandas = pytest.importorskip("pandas")
    body = metrics(1.0) + entry("metrics", taskId="eval", tryNumber=1, metrics={"accuracy": 0.9, "task": 7}) + end()
    cluster.runs[f"{KEY}/events"] = lambda _: Answer(200, body)

    frame = job.metrics()

    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == ["time", "task", "map_index", "try_number", "loss", "accuracy", "metric_task"]
    assert list(frame["task"]) == ["fit", "eval"]
    assert frame["loss"][0] == 1.0


def test_metrics_tell_the_instances_of_a_mapped_task_apart(
    cluster: MLJobCluster, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mljob.metrics.find_spec", lambda _: None)
    reports = [entry("metrics", taskId="fit", mapIndex=index, tryNumber=1, metrics={"loss": index}) for index in (0, 1)]
    cluster.runs[f"{KEY}/events"] = lambda _: Answer(200, b"".join(reports) + end())

    assert [(row["task"], row["map_index"], row["loss"]) for row in job.metrics()] == [("fit", 0, 0), ("fit", 1, 1)]


def test_metrics_without_pandas_are_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mljob.metrics.find_spec", lambda _: None)

    assert table_of([{"loss": 1.0}]) == [{"loss": 1.0}]


def test_metrics_without_mljob_api_are_the_last_ones_of_the_status(
    cluster: MLJobCluster, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mljob.metrics.find_spec", lambda _: None)
    tasks = [
        {"taskId": "fit", "state": "running", "tryNumber": 1, "metrics": {"loss": 0.3}},
        {"taskId": "x", "state": "none"},
    ]
    cluster.put("train", status=running(tasks=tasks))

    with pytest.warns(UserWarning, match="only the last report of each task"):
        rows = job.metrics()

    assert rows == rows_of_status(job.state)
    assert [(row["task"], row["loss"]) for row in rows] == [("fit", 0.3)]


@pytest.mark.parametrize("answer", [Answer(404, b"404 page not found\n"), Answer(503, b"service unavailable")])
def test_missing_mljob_api_is_told_with_the_value_of_the_chart(cluster: MLJobCluster, job: Job, answer: Answer) -> None:
    for part in ("log", "events", "graph"):
        cluster.runs[f"{KEY}/{part}"] = lambda _: answer

    for ask in (lambda: list(job.logs()), lambda: list(job.history()), job.graph):
        with pytest.raises(RunApiMissing, match=r"api\.enabled=true"):
            ask()


def test_missing_task_and_missing_right_are_no_missing_mljob_api(cluster: MLJobCluster, job: Job) -> None:
    cluster.runs[f"{KEY}/log"] = lambda _: refusal(404, "NotFound", "the run has no task 'fitt'")
    with pytest.raises(errors.NotFound, match="fitt") as raised:
        list(job.logs("fitt"))
    assert not isinstance(raised.value, RunApiMissing)

    cluster.runs[f"{KEY}/log"] = lambda _: refusal(403, "Forbidden", "cannot get mljobs/log")
    with pytest.raises(errors.NotAllowed, match="mljobs/log"):
        list(job.logs())


def test_graph_has_tasks_and_edges(cluster: MLJobCluster, job: Job) -> None:
    graph = {
        "apiVersion": "run.mljob.dev/v1alpha1",
        "kind": "RunGraph",
        "dagId": "train",
        "dagRunId": "r",
        "tasks": [{"id": "load", "label": "load", "state": "success"}, {"id": "fit", "label": "fit"}],
        "edges": [{"source": "load", "target": "fit"}],
    }
    cluster.runs[f"{KEY}/graph"] = lambda _: Answer(200, json.dumps(graph).encode())

    found = job.graph()

    assert [task.id for task in found.tasks] == ["load", "fit"]
    assert found.edges[0].target == "fit"


def test_graph_of_another_form_is_refused(cluster: MLJobCluster, job: Job) -> None:
    cluster.runs[f"{KEY}/graph"] = lambda _: Answer(200, b'{"tasks": 7}')

    with pytest.raises(errors.BadAnswer, match="graph of team-a/train"):
        job.graph()
