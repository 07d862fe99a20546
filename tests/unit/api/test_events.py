from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from types import SimpleNamespace

import pytest

from mljob_contract.events import EventName, TaskError
from mljob_contract.history import (
    EndReason,
    HistoryEnd,
    HistoryNotice,
    MetricsReport,
    ProgressReport,
    RunChange,
    TaskChange,
    parse_entry,
)
from mljob_contract.run_api import RunSubresource, run_path
from mljob_operator.api import events, handlers, output
from mljob_operator.core.run.states import RunState, TaskState
from tests.fakes.airflow import FakeRun
from tests.live.eventually import until

from .conftest import TOPIC, ApiWorld, message_of, now

EVENTS = RunSubresource.EVENTS


def run_event(state: str, run: FakeRun) -> str:
    return json.dumps(
        {
            "schema_version": 1,
            "event": f"dag_run.{state}",
            "timestamp": now().isoformat(),
            "dag_id": run.dag_id,
            "run_id": run.run_id,
        }
    )


async def test_history_has_every_metric_point_in_order(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    world.send(run, run_event("running", run))
    world.report(run, EventName.TASK_RUNNING, start_date=now())
    for epoch in range(250):
        world.report(run, metrics={"loss": 1 / (epoch + 1), "epoch": float(epoch)}, progress=epoch / 250)
    world.report(run, EventName.TASK_FAILED, error=TaskError(type="ValueError", message="3 columns missing"))
    found = await world.events()
    assert isinstance(found[0], RunChange)
    assert found[0].state == "running"
    changes = [entry for entry in found if isinstance(entry, TaskChange)]
    assert [entry.state for entry in changes] == ["running", "failed"]
    assert changes[1].error is not None
    assert (changes[1].error.type, changes[1].error.message) == ("ValueError", "3 columns missing")
    points = [entry for entry in found if isinstance(entry, MetricsReport)]
    assert [point.metrics["epoch"] for point in points] == list(range(250))
    assert len([entry for entry in found if isinstance(entry, ProgressReport)]) == 250
    assert found[-1] == HistoryEnd(reason=EndReason.COMPLETE, message="These are all events.", cursor=f"0:{253}")


async def test_history_has_the_events_of_this_run_only(world: ApiWorld) -> None:
    await world.start()
    run, other = world.submitted(), world.submitted("other", "team-b")
    world.report(other, metrics={"loss": 9.0})
    world.report(run, metrics={"loss": 1.0})
    # A message with the key of the run, and another run in it.
    world.send(run, run_event("failed", other))
    found = await world.events()
    assert [entry.metrics for entry in found if isinstance(entry, MetricsReport)] == [{"loss": 1.0}]
    assert len(found) == 2


async def test_failure_that_both_producers_report_is_told_once_and_exactly(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    world.report(run, EventName.TASK_UP_FOR_RETRY, max_tries=2, error=TaskError(type="E", message="m"))
    official = {"schema_version": 1, "event": "task_instance.failed", "timestamp": now().isoformat()}
    about = {"dag_id": run.dag_id, "run_id": run.run_id, "task_id": "fit", "map_index": -1}
    world.send(run, json.dumps(official | about | {"try_number": 1}))
    world.send(run, json.dumps(official | about | {"try_number": 2}))
    found = [entry for entry in await world.events() if isinstance(entry, TaskChange)]
    assert [(entry.try_number, entry.state) for entry in found] == [(1, "up_for_retry"), (2, "failed")]


async def test_messages_that_cannot_be_read_are_left_out(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    for value in ("{", "[]", '{"mljob_version": 1}', '{"mljob_version": 7}', "x" * 2_000_000):
        world.send(run, value)
    world.topics.send(TOPIC, f"train/{run.run_id}".encode(), None)
    world.report(run, progress=0.5)
    assert [entry.kind for entry in await world.events()] == ["progress", "end"]


async def test_watch_goes_on_until_the_run_has_ended(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    world.report(run, metrics={"loss": 1.0})
    answer = await world.get(run_path("team-a", "churn", EVENTS, watch=True))
    assert parse_entry(await answer.content.readline()) is not None
    world.report(run, metrics={"loss": 0.5})
    point = parse_entry(await answer.content.readline())
    assert isinstance(point, MetricsReport)
    assert point.metrics == {"loss": 0.5}
    world.airflow.end(run, RunState.SUCCESS)
    world.report(run, EventName.TASK_SUCCESS)
    rest = [parse_entry(line) for line in (await answer.text()).splitlines()]
    assert [entry.kind for entry in rest if entry is not None] == ["task", "end"]
    assert world.topics.open_readers == 0


async def test_get_ends_in_time_and_goes_on_from_its_cursor(world: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "GET_SECONDS", 0.2)
    await world.start()
    run = world.submitted()
    world.report(run, metrics={"loss": 1.0})
    found = await world.events(follow="true")
    assert isinstance(found[-1], HistoryEnd)
    assert (found[-1].reason, found[-1].cursor) == (EndReason.LIMIT, "0:1")
    world.report(run, metrics={"loss": 0.5})
    again = await world.events(after="0:1")
    assert [entry.metrics for entry in again if isinstance(entry, MetricsReport)] == [{"loss": 0.5}]


async def test_time_to_wait_for_the_run_counts_as_time_of_the_answer(
    world: ApiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    for module in (events, handlers):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    await world.start()
    run = world.submitted(status={"attempts": 0, "phase": "Pending", "dagRunId": None})
    answer = await world.get(run_path("team-a", "churn", EVENTS, watch=True))
    assert await answer.content.readline() == b"\n", "the answer waits for the run"
    clock[0] = 1.0
    world.jobs.objects["team-a", "churn"]["status"] |= {"attempts": 1, "phase": "Running", "dagRunId": run.run_id}
    world.report(run, metrics={"loss": 1.0})
    assert isinstance(parse_entry(await answer.content.readline()), MetricsReport)
    clock[0] = world.follow_seconds
    last = [entry for line in (await answer.text()).splitlines() if (entry := parse_entry(line)) is not None][-1]
    assert isinstance(last, HistoryEnd)
    assert last.reason is EndReason.LIMIT


async def test_quiet_watch_sends_heartbeats(world: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "HEARTBEAT_SECONDS", 0.05)
    await world.start()
    world.submitted()
    answer = await world.get(run_path("team-a", "churn", EVENTS, watch=True))
    assert [await answer.content.readline() for _ in range(3)] == [b"\n"] * 3


async def test_history_begins_with_the_first_submission_of_the_run(world: ApiWorld) -> None:
    await world.start()
    long_ago = now() - timedelta(days=2)
    run = world.submitted(status={"submitTime": long_ago.isoformat()})
    world.jobs.objects["team-a", "churn"]["metadata"]["creationTimestamp"] = long_ago.isoformat()
    world.send(run, run_event("running", run), at=long_ago - timedelta(hours=1))
    world.send(run, run_event("running", run), at=long_ago + timedelta(seconds=1))
    assert [entry.kind for entry in await world.events()] == ["run", "end"]
    assert world.topics.begun_at == [1]


async def test_history_says_that_kafka_has_deleted_its_beginning(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    world.report(run, progress=0.1)
    world.report(run, progress=0.2)
    world.topics.deleted = 1
    found = await world.events()
    assert isinstance(found[0], HistoryNotice)
    assert [entry.progress for entry in found if isinstance(entry, ProgressReport)] == [0.2]


@pytest.mark.parametrize(("deleted", "is_said"), [(1, False), (2, True)], ids=["already read", "not read yet"])
async def test_continued_history_says_that_kafka_has_deleted_unread_events(
    world: ApiWorld, deleted: int, is_said: bool
) -> None:
    await world.start()
    run = world.submitted()
    for progress in (0.1, 0.2, 0.3):
        world.report(run, progress=progress)
    world.topics.deleted = deleted
    found = await world.events(after="0:1")
    assert isinstance(found[0], HistoryNotice) is is_said


async def test_values_from_secrets_are_masked_in_errors_and_names(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted(conf={"password": "hunter2-and-more"}, confFrom=[{"secretRef": {"name": "warehouse"}}])
    world.report(run, EventName.TASK_FAILED, error=TaskError(type="Login", message="bad hunter2-and-more"))
    world.report(run, metrics={"hunter2-and-more": 1.0})
    text = await (await world.ask(EVENTS)).text()
    assert "hunter2" not in text
    assert '"message":"bad ***"' in text


async def test_without_kafka_the_rest_api_tells_the_newest_tries(world: ApiWorld) -> None:
    world.has_kafka = False
    await world.start()
    run = world.submitted()
    world.airflow.set_task(run, "extract", TaskState.SUCCESS)
    world.airflow.set_task(run, "fit", TaskState.RUNNING)
    answer = await world.get(run_path("team-a", "churn", EVENTS, watch=True))
    lines = [await answer.content.readline() for _ in range(4)]
    found = [parse_entry(line) for line in lines]
    assert [entry.kind for entry in found if entry is not None] == ["notice", "task", "task", "run"]
    world.airflow.set_task(run, "fit", TaskState.SUCCESS)
    await until(lambda: world.airflow.calls.count("tasks") > 3, "the run is read again")
    world.airflow.end(run, RunState.SUCCESS)
    rest = [parse_entry(line) for line in (await answer.text()).splitlines()]
    states = [entry.state for entry in rest if isinstance(entry, TaskChange | RunChange)]
    assert states == ["success", "success"]
    end = rest[-1]
    assert isinstance(end, HistoryEnd)
    assert (end.reason, end.cursor) == (EndReason.COMPLETE, None)


async def test_failure_of_kafka_is_told(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    world.report(run, progress=0.1)
    answer = await world.get(run_path("team-a", "churn", EVENTS, watch=True))
    await answer.content.readline()
    world.topics.down = True
    end = parse_entry((await answer.text()).splitlines()[-1])
    assert isinstance(end, HistoryEnd)
    assert (end.reason, end.cursor) == (EndReason.FAILED, "0:1")
    assert world.topics.open_readers == 0
    assert await message_of(await world.ask(EVENTS)) == (503, "Kafka can't be read")


async def test_client_that_leaves_closes_its_reader(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    world.report(run, progress=0.1)
    answer = await world.get(run_path("team-a", "churn", EVENTS, watch=True))
    await answer.content.readline()
    assert world.topics.open_readers == 1
    answer.close()
    await until(lambda: world.topics.open_readers == 0, "the reader is closed")


async def test_namespace_leaves_readers_to_other_namespaces(world: ApiWorld) -> None:
    world.readers = 4
    await world.start()
    for namespace in ("team-a", "team-b"):
        world.report(world.submitted(namespace=namespace), progress=0.1)
    of_a, of_b = (run_path(namespace, "churn", EVENTS, watch=True) for namespace in ("team-a", "team-b"))
    for user in ("ada", "bob"):
        await (await world.get(of_a, headers={"X-Remote-User": user})).content.readline()
    code, message = await message_of(await world.get(of_a, headers={"X-Remote-User": "eve"}))
    assert (code, "For MLJobs of namespace team-a, 2 readers of events are open" in message) == (429, True)
    other = await world.get(of_b, headers={"X-Remote-User": "eve"})
    assert (other.status, await other.content.readline() != b"") == (200, True)


async def test_sixty_watchers_of_one_run_ask_airflow_as_one_does(world: ApiWorld) -> None:
    world.streams = world.readers = 1_000
    await world.start()
    run = world.submitted()
    world.report(run, progress=0.1)
    answers = [await world.get(run_path("team-a", "churn", EVENTS, watch=True)) for _ in range(60)]
    world.airflow.end(run, RunState.SUCCESS)
    texts = await asyncio.gather(*(answer.text() for answer in answers))
    assert all('"reason":"Complete"' in text for text in texts)
    assert world.airflow.calls.count("tasks") < 60


@pytest.mark.parametrize("cursor", ["x", "0", "0:", "0:1,", "-1:2", "0:1;1:2", "9" * 3000, "0:" + "9" * 30])
async def test_text_that_is_no_cursor_is_refused(world: ApiWorld, cursor: str) -> None:
    await world.start()
    world.submitted()
    code, message = await message_of(await world.ask(EVENTS, after=cursor))
    assert (code, message.startswith("after: is no cursor")) == (400, True)
