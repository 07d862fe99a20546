from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiohttp import ClientResponse

from mljob_contract.run_api import LOG_GOES_ON, LOG_NOTICE, LOG_POSITION, LogPosition, RunSubresource
from mljob_operator.api import readings, try_log
from mljob_operator.core.run.states import RunState, TaskState
from tests.fakes.airflow import FakeRun
from tests.live.eventually import until

from .conftest import ApiWorld, message_of

LOG = RunSubresource.LOG


def text_lines(text: str) -> list[str]:
    return [line.partition("INFO    ")[2] or line for line in text.splitlines()]


async def next_line(answer: ClientResponse) -> list[str]:
    return text_lines((await answer.content.readline()).decode())


async def follow_running_task(world: ApiWorld, line: str) -> tuple[FakeRun, ClientResponse]:
    await world.start()
    run = world.submitted()
    world.airflow.set_task(run, "fit", TaskState.RUNNING)
    world.airflow.write(run, "fit", line)
    answer = await world.ask(LOG, follow="true")
    assert await next_line(answer) == [line]
    return run, answer


async def test_log_of_a_failed_task_is_shown_without_naming_it(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    world.airflow.set_task(run, "extract", TaskState.SUCCESS)
    world.airflow.write(run, "extract", "fine")
    world.airflow.set_task(run, "fit", TaskState.FAILED)
    world.airflow.write(run, "fit", "epoch 1", "3 columns missing")
    world.airflow.end(run, RunState.FAILED)
    assert text_lines(await world.log()) == ["epoch 1", "3 columns missing"]
    assert text_lines(await world.log(task="extract")) == ["fine"]


async def test_tail_gives_the_last_lines(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    world.airflow.set_task(run, "fit", TaskState.RUNNING)
    world.airflow.write(run, "fit", *(f"line {n}" for n in range(50)))
    assert text_lines(await world.log(tail=2)) == ["line 48", "line 49"]
    assert await world.log(tail=0) == ""


async def test_log_is_followed_to_the_end_of_the_task(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    world.airflow.set_task(run, "fit", TaskState.RUNNING)
    world.airflow.write(run, "fit", "one", "two", "three")
    answer = await world.ask(LOG, follow="true", tail=2)
    assert await next_line(answer) == ["two"]
    assert await next_line(answer) == ["three"]
    world.airflow.write(run, "fit", "four")
    assert await next_line(answer) == ["four"]
    world.airflow.write(run, "fit", "five")
    world.airflow.set_task(run, "fit", TaskState.SUCCESS)
    assert text_lines(await answer.text()) == ["five"]


async def test_task_that_has_not_started_is_waited_for(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    code, message = await message_of(await world.ask(LOG, task="fit"))
    assert (code, "follow=true" in message) == (404 if "No task" in message else 400, True)
    answer = await world.ask(LOG, task="fit", follow="true")
    world.airflow.set_task(run, "fit", TaskState.RUNNING)
    world.airflow.write(run, "fit", "begun")
    assert await next_line(answer) == ["begun"]
    world.airflow.set_task(run, "fit", TaskState.SUCCESS)
    assert await answer.text() == ""


async def test_run_that_is_not_submitted_is_waited_for(world: ApiWorld) -> None:
    await world.start()
    world.jobs.create("churn", {"dagId": "train"})
    code, message = await message_of(await world.ask(LOG))
    assert (code, "has no run" in message) == (404, True)
    answer = await world.ask(LOG, follow="true")
    del world.jobs.objects["team-a", "churn"]
    run = world.submitted()
    world.airflow.set_task(run, "fit", TaskState.SUCCESS)
    world.airflow.write(run, "fit", "done")
    world.airflow.end(run, RunState.SUCCESS)
    assert text_lines(await answer.text()) == ["done"]


async def test_next_try_is_followed_after_a_retry_and_after_a_clear(world: ApiWorld) -> None:
    run, answer = await follow_running_task(world, "first")
    world.airflow.set_task(run, "fit", TaskState.UP_FOR_RETRY)
    assert (
        await answer.content.readline()
    ).decode() == f"{LOG_NOTICE}Try 1 of task fit is over. Another try follows.\n"
    world.airflow.set_task(run, "fit", TaskState.RUNNING, try_number=2)
    world.airflow.write(run, "fit", "second", try_number=2)
    assert "Try 2 follows" in (await answer.content.readline()).decode()
    assert await next_line(answer) == ["second"]
    world.airflow.set_task(run, "fit", TaskState.SUCCESS, try_number=2)
    assert await answer.text() == ""


async def test_one_try_is_followed_to_its_end_only(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    world.airflow.set_task(run, "fit", TaskState.RUNNING, try_number=2)
    world.airflow.write(run, "fit", "first")
    assert text_lines(await world.log(task="fit", **{"try": "1"}, follow="true")) == ["first"]
    code, message = await message_of(await world.ask(LOG, **{"task": "fit", "try": "3"}))
    assert (code, "has not started" in message) == (400, True)


async def test_rescheduled_task_keeps_its_try(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    world.airflow.set_task(run, "fit", TaskState.DEFERRED)
    world.airflow.write(run, "fit", "waits")
    answer = await world.ask(LOG, follow="true")
    assert await next_line(answer) == ["waits"]
    for state in (TaskState.SCHEDULED, TaskState.QUEUED, TaskState.RUNNING):
        world.airflow.set_task(run, "fit", state)
        await asyncio.sleep(0)
    world.airflow.write(run, "fit", "goes on")
    world.airflow.set_task(run, "fit", TaskState.SUCCESS)
    assert text_lines(await answer.text()) == ["goes on"]


async def test_instances_of_a_mapped_task_have_their_own_logs(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    del run.tasks["fit", -1]
    for index, state in enumerate((TaskState.SUCCESS, TaskState.FAILED, TaskState.SUCCESS)):
        world.airflow.set_task(run, "fit", state, map_index=index)
        world.airflow.write(run, "fit", f"instance {index}", map_index=index)
    assert text_lines(await world.log(task="fit")) == ["instance 1"]
    assert text_lines(await world.log(task="fit", mapIndex=2)) == ["instance 2"]
    code, message = await message_of(await world.ask(LOG, task="fit", mapIndex=9))
    assert (code, "no instance with map index 9" in message) == (404, True)


async def test_values_from_secrets_are_masked_in_the_log(world: ApiWorld) -> None:
    await world.start()
    world.jobs.put("ConfigMap", "defaults", {"epochs": "twenty"})
    run = world.submitted(
        conf={"password": "hunter2-and-more", "epochs": "twenty", "model": "churn-model"},
        confFrom=[{"configMapRef": {"name": "defaults"}}, {"secretRef": {"name": "warehouse"}}],
    )
    world.airflow.set_task(run, "fit", TaskState.FAILED)
    world.airflow.write(run, "fit", "login hunter2-and-more failed after twenty")
    assert text_lines(await world.log()) == ["login *** failed after twenty"]


async def test_log_is_withheld_where_airflow_masks_the_conf(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted(conf={"password": "***"}, confFrom=[{"secretRef": {"name": "warehouse"}}])
    world.airflow.set_task(run, "fit", TaskState.FAILED)
    world.airflow.write(run, "fit", "login hunter2 failed")
    code, message = await message_of(await world.ask(LOG))
    assert (code, "may quote a Secret" in message) == (403, True)


async def test_unknown_task_is_not_found_with_a_hint(world: ApiWorld) -> None:
    await world.start()
    world.submitted()
    code, message = await message_of(await world.ask(LOG, task="fitt"))
    assert (code, "did you mean fit?" in message) == (404, True)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"tail": "-1"}, "tail"),
        ({"tail": "many"}, "tail"),
        ({"tail": "9999999"}, "tail"),
        ({"follow": "perhaps"}, "follow"),
        ({"try": "0", "task": "fit"}, "try"),
        ({"try": "1"}, "try"),
        ({"mapIndex": "1"}, "mapIndex"),
        ({"task": "../../x"}, "task"),
        ({"task": "x" * 300}, "task"),
        ({"tial": "5"}, "tial"),
        ({"x": "y" * 5000}, "parameters"),
        ({"after": "fit"}, "after"),
        ({"after": "1/../../x/-1/1/0"}, "after"),
        ({"after": "1/fit/-1/1/" + "9" * 30}, "after"),
        ({"after": "1/fit/-1/9999999999/0"}, "after"),
        ({"after": "1/fit/-1/0/0"}, "after"),
        ({"after": "1/fit/-1/1/5", "tail": "5"}, "after"),
        ({"after": "1/fit/-1/1/5", "task": "extract"}, "after"),
        ({"after": "1/fit/-1/1/5", "task": "fit", "try": "2"}, "after"),
        ({"after": "1/fit/-1/1/5", "task": "fit", "mapIndex": "0"}, "after"),
        ({"after": "1/fit/-1/1/5", "attempt": "2"}, "after"),
        ({"positions": "perhaps"}, "positions"),
    ],
)
async def test_parameter_that_does_not_fit_is_refused_by_name(
    world: ApiWorld, query: dict[str, str], field: str
) -> None:
    await world.start()
    world.submitted()
    code, message = await message_of(await world.ask(LOG, **query))
    assert (code, field in message) == (400, True)


async def test_airflow_that_fails_before_the_first_line_gives_a_status(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    world.airflow.set_task(run, "fit", TaskState.RUNNING)
    world.airflow.down = True
    code, message = await message_of(await world.ask(LOG))
    assert (code, message) == (503, "Airflow is down")
    code, message = await message_of(await world.ask(LOG, follow="true"))
    assert (code, message) == (503, "Airflow is down")


async def test_follower_bears_a_failure_of_airflow(world: ApiWorld) -> None:
    run, answer = await follow_running_task(world, "one")
    world.airflow.down_for |= {"open_log": 2, "tasks": 1}
    await until(lambda: not world.airflow.down_for["open_log"], "the failures were met")
    world.airflow.write(run, "fit", "two")
    world.airflow.set_task(run, "fit", TaskState.SUCCESS)
    assert text_lines(await answer.text()) == ["two"]


async def test_end_of_a_log_is_not_lost_where_airflow_fails_at_the_end(world: ApiWorld) -> None:
    run, answer = await follow_running_task(world, "one")
    world.airflow.down_for["open_log"] = 3
    world.airflow.write(run, "fit", "two")
    world.airflow.set_task(run, "fit", TaskState.SUCCESS)
    assert text_lines(await answer.text()) == ["two"]


async def test_no_try_is_left_out_by_a_slow_follower(world: ApiWorld) -> None:
    run, answer = await follow_running_task(world, "first")
    world.airflow.write(run, "fit", "second", try_number=2)
    world.airflow.write(run, "fit", "third", try_number=3)
    world.airflow.set_task(run, "fit", TaskState.SUCCESS, try_number=3)
    assert [line for line in text_lines(await answer.text()) if not line.startswith(LOG_NOTICE)] == ["second", "third"]


def at(line: int, *, try_number: int = 1, task: str = "fit", attempt: int = 1) -> str:
    """Return the text that mljob-api inserts into a log before line number ``line``. The text gives
    the position of this line.
    """
    return f"{LOG_POSITION}{LogPosition(attempt, task, -1, try_number, line)}"


async def test_positions_say_where_lines_are(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    world.airflow.set_task(run, "fit", TaskState.RUNNING, try_number=2)
    world.airflow.write(run, "fit", "before")
    world.airflow.write(run, "fit", *(f"line {n}" for n in range(5)), try_number=2)
    answer = await world.ask(LOG, follow="true", positions="true", tail=2)
    await until(lambda: world.airflow.calls.count("open_log") > 1, "the log was read")
    world.airflow.write(run, "fit", "line 5", try_number=2)
    world.airflow.write(run, "fit", "again", try_number=3)
    world.airflow.set_task(run, "fit", TaskState.SUCCESS, try_number=3)
    assert text_lines(await answer.text()) == [
        *(at(3, try_number=2), "line 3", "line 4", "line 5"),
        f"{LOG_NOTICE}Try 2 of task fit is over. Try 3 follows.",
        *(at(0, try_number=3), "again"),
    ]


async def test_log_goes_on_after_a_position_through_the_tries_that_follow(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    world.airflow.write(run, "fit", *(f"line {n}" for n in range(5)))
    world.airflow.write(run, "fit", "again", try_number=2)
    world.airflow.set_task(run, "fit", TaskState.SUCCESS, try_number=2)
    world.airflow.set_task(run, "extract", TaskState.FAILED)
    world.airflow.end(run, RunState.FAILED)
    lines = text_lines(await world.log(follow="true", positions="true", after="1/fit/-1/1/3"))
    assert lines == [
        *(at(3), "line 3", "line 4"),
        f"{LOG_NOTICE}Try 1 of task fit is over. Try 2 follows.",
        *(at(0, try_number=2), "again"),
    ]
    assert await world.log(follow="true", after="1/fit/-1/2/1") == "", "nothing is said twice"


async def test_log_of_an_earlier_attempt_goes_on_after_its_position(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    world.airflow.set_task(run, "fit", TaskState.FAILED)
    world.airflow.write(run, "fit", "one", "two")
    world.airflow.end(run, RunState.FAILED)
    again = world.airflow.queue("train", run.run_id.removesuffix("-1") + "-2", {})
    world.airflow.set_task(again, "fit", TaskState.RUNNING)
    world.airflow.write(again, "fit", "of the second attempt")
    began = {"submitTime": "2026-01-01T00:00:00Z", "startTime": "2026-01-01T00:00:00Z"}
    entry = {"attempt": 1, "dagRunId": run.run_id, "phase": "Failed", "reason": "TaskFailed"} | began
    status = world.jobs.objects["team-a", "churn"]["status"]
    status |= {"attempts": 2, "dagRunId": again.run_id, "history": [entry | {"completionTime": "2026-01-01T00:10:00Z"}]}
    assert text_lines(await world.log(follow="true", after="1/fit/-1/1/1")) == ["two"]


async def test_position_is_the_same_when_a_source_of_the_log_becomes_readable(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    world.airflow.set_task(run, "fit", TaskState.RUNNING)
    world.airflow.unreadable_sources = ["Could not read served logs: refused"]
    answer = await world.ask(LOG, follow="true", positions="true")
    assert await next_line(answer) == [f"{LOG_NOTICE}Airflow says: Could not read served logs: refused"]
    world.airflow.unreadable_sources = []
    world.airflow.write(run, "fit", "one", "two", "three")
    world.airflow.set_task(run, "fit", TaskState.SUCCESS)
    assert text_lines(await answer.text()) == [at(0), "one", "two", "three"]
    assert text_lines(await world.log(after="1/fit/-1/1/1")) == ["two", "three"]


async def test_unreadable_source_of_a_log_with_lines_is_not_told(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    world.airflow.set_task(run, "fit", TaskState.RUNNING)
    world.airflow.write(run, "fit", "one")
    world.airflow.unreadable_sources = ["Could not read served logs: refused"]
    assert text_lines(await world.log()) == ["one"]


async def test_task_can_write_no_line_of_mljob_api(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    world.airflow.set_task(run, "fit", TaskState.SUCCESS)
    forged = f"{LOG_POSITION}1/fit/-1/1/0"
    world.airflow.write(run, "fit", f"begin\n{forged}\n\x1b[1m{LOG_NOTICE}The log ends here: go away")
    lines = (await world.log(positions="true")).splitlines()
    assert [line for line in lines if line.startswith(LOG_NOTICE)] == [at(0)]
    assert f" {forged}" in lines


async def test_log_without_a_run_goes_on_after_the_longest_time(world: ApiWorld) -> None:
    world.follow_seconds = 0.1
    await world.start()
    world.jobs.create("churn", {"dagId": "train"})
    assert await world.log(follow="true") == f"{LOG_GOES_ON}\n"


async def test_log_goes_on_after_a_failure_of_airflow(world: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readings, "PATIENCE", 0.1)
    monkeypatch.setattr(try_log, "PATIENCE", 0.1)
    _, answer = await follow_running_task(world, "one")
    world.airflow.down = True
    cause, last = (await answer.text()).splitlines()
    assert cause.startswith(f"{LOG_NOTICE}The log can't be read for the moment: ")
    assert last == LOG_GOES_ON
    assert (await world.ask(LOG, follow="true")).status == 503


async def test_log_goes_on_after_a_defect_of_mljob_api(world: ApiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    _, answer = await follow_running_task(world, "one")

    async def fail(*_: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(world.airflow, "tasks", fail)
    assert (await answer.text()).splitlines()[-1] == LOG_GOES_ON


async def test_deleted_mljob_ends_its_followers(world: ApiWorld) -> None:
    _, answer = await follow_running_task(world, "one")
    del world.jobs.objects["team-a", "churn"]
    assert await answer.text() == f"{LOG_NOTICE}The log ends here: MLJob churn was deleted.\n"


async def test_followers_of_a_run_share_its_readings(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    world.airflow.set_task(run, "fit", TaskState.RUNNING)
    world.airflow.write(run, "fit", "one")
    answers = [await world.ask(LOG, follow="true") for _ in range(10)]
    for answer in answers:
        await answer.content.readline()
    assert world.handlers._readings.count == 1
    world.airflow.set_task(run, "fit", TaskState.SUCCESS)
    await asyncio.gather(*(answer.text() for answer in answers))
    await until(lambda: world.handlers._readings.count == 0, "nobody follows any more")


async def test_client_that_leaves_ends_its_requests_to_airflow(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    world.airflow.set_task(run, "fit", TaskState.RUNNING)
    world.airflow.write(run, "fit", "one")
    answer = await world.ask(LOG, follow="true")
    await answer.content.readline()
    answer.close()
    await until(lambda: world.handlers._readings.count == 0, "nobody follows any more")


async def test_hostile_text_stays_text(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    world.airflow.set_task(run, "fit", TaskState.RUNNING)
    entries: list[Any] = ["\x1b[2Jgone", {"event": "a", "level": ["x"], "timestamp": 7}, {"no": "event"}, 12, None]
    world.airflow.write(run, "fit", *entries)
    text = await world.log()
    assert "\x1b" not in text
    assert "gone" in text


async def test_earlier_attempt_is_shown_by_its_number(world: ApiWorld) -> None:
    await world.start()
    run = world.submitted()
    world.airflow.set_task(run, "fit", TaskState.FAILED)
    world.airflow.write(run, "fit", "attempt 1")
    again = world.airflow.queue("train", run.run_id.removesuffix("-1") + "-2", {})
    world.airflow.set_task(again, "fit", TaskState.RUNNING)
    world.airflow.write(again, "fit", "attempt 2")
    status = world.jobs.objects["team-a", "churn"]["status"]
    status |= {
        "attempts": 2,
        "dagRunId": again.run_id,
        "history": [
            {
                "attempt": 1,
                "dagRunId": run.run_id,
                "phase": "Failed",
                "reason": "TaskFailed",
                "submitTime": "2026-01-01T00:00:00Z",
                "completionTime": "2026-01-01T00:10:00Z",
            }
        ],
    }
    assert text_lines(await world.log()) == ["attempt 2"]
    assert text_lines(await world.log(attempt=1)) == ["attempt 1"]
    code, message = await message_of(await world.ask(LOG, attempt=7))
    assert (code, message) == (404, "MLJob churn has no attempt 7 in its status. It has 1, 2.")
    del status["history"][0]["submitTime"]
    status["history"][0]["message"] = "DAG 'train' does not exist."
    code, message = await message_of(await world.ask(LOG, attempt=1))
    assert (code, message) == (
        404,
        "Attempt 1 of MLJob churn ended before its run began: DAG 'train' does not exist.",
    )
