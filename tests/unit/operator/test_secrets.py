"""No value of a Secret appears in a status, an Event or a log line."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mljob_contract.events import EventName, TaskError, TaskEvent
from mljob_contract.mljob import Phase
from mljob_operator import logs
from mljob_operator.core.conf.redaction import WITHHELD, Redaction
from mljob_operator.core.run.events import read
from mljob_operator.core.run.facts import Failure, Report
from mljob_operator.core.run.states import RunState, TaskState
from mljob_operator.errors import AirflowError, AirflowUnavailable, ValidationFailed
from tests.strategies import EPOCH, event

from .backfill import backfills
from .conftest import KEY, World
from .runs import begin, edit, end, newest

PASSWORD = "hunter2-correct-horse"
ROTATED = "battery-staple-9"
SECRET = [{"secretRef": {"name": "warehouse"}}]
QUOTES = f"could not connect to postgresql://ml:{PASSWORD}@warehouse"


async def apply(world: World, **spec: Any) -> None:
    world.jobs.data["Secret", "warehouse"] = {"password": PASSWORD}
    await world.apply(confFrom=SECRET, **spec)
    await begin(world)


async def restart(world: World) -> None:
    await world.restart()
    world.clock.tick(1)
    await world.look()


def everything(world: World, caplog: pytest.LogCaptureFixture) -> str:
    statuses = [body.get("status") for body in world.jobs.objects.values()]
    told = [notice.message for _, notice in world.jobs.kube_events]
    return json.dumps([statuses, world.jobs.patches, told], ensure_ascii=False, default=str) + caplog.text


# Ways on which a value comes back


async def our_event_of_a_failure(world: World, text: str) -> None:
    message = TaskEvent(
        event=EventName.TASK_FAILED,
        timestamp=world.clock(),
        dag_id="train",
        run_id=newest(world).run_id,
        task_id="fit",
        try_number=1,
        max_tries=0,
        error=TaskError(type=f"Error_{text}"[:40], message=text),
    )
    await _hear(world, message.model_dump_json())


async def our_event_of_a_retry(world: World, text: str) -> None:
    failure = Failure(1, world.clock(), text, "ConnectionError")
    now = world.clock()
    await world.tell(event("fit", TaskState.UP_FOR_RETRY, seconds=_seconds(world), failure=failure, observed_at=now))


async def our_event_of_metrics(world: World, text: str) -> None:
    report = Report(1, world.clock(), metrics={text: 0.5})
    await world.tell(
        event("fit", TaskState.RUNNING, seconds=_seconds(world), metrics=report, observed_at=world.clock())
    )


async def airflows_own_event_of_a_failure(world: World, text: str) -> None:
    message = {
        "schema_version": 1,
        "event": "task_instance.failed",
        "timestamp": world.clock().isoformat(),
        "dag_id": "train",
        "run_id": newest(world).run_id,
        "task_id": "fit",
        "try_number": 1,
        "error": text,
    }
    await _hear(world, json.dumps(message))


async def a_question_for_a_person(world: World, text: str) -> None:
    run = newest(world)
    world.clock.tick(1)
    world.airflow.set_task(run, "fit", TaskState.AWAITING_INPUT)
    run.questions["fit", -1] = text
    await world.look()


async def an_output(world: World, text: str) -> None:
    newest(world).outputs = {"dsn": text, text: [1], "deep": [{"text": text}]}


async def a_refusal_of_the_cancellation(world: World, text: str) -> None:
    async def refuse(*_: Any, **__: Any) -> None:
        raise AirflowError(f"Airflow answered 400 to cancel: {text}")

    world.airflow.trigger_cancellation = refuse
    world.airflow.cancel = refuse
    await edit(world, cancel=True)
    await world.later(11)


async def an_exception_in_the_operator(world: World, text: str) -> None:
    write_status, failed = world.jobs.write_status, asyncio.Event()

    async def fail(*_: Any) -> None:
        world.jobs.write_status = write_status
        failed.set()
        raise RuntimeError(text)

    world.jobs.write_status = fail
    world.clock.tick(1)
    world.airflow.set_task(newest(world), "fit", TaskState.RUNNING)
    await world.resync.pass_once()
    await failed.wait()
    # The operator waits two seconds before it retries; here, whatever arrives next begins a new
    # step.
    (step,) = world.job_controller.tasks
    step.cancel()
    await world.settle()


WAYS_IN = [
    our_event_of_a_failure,
    our_event_of_a_retry,
    our_event_of_metrics,
    airflows_own_event_of_a_failure,
    a_question_for_a_person,
    an_output,
    a_refusal_of_the_cancellation,
    an_exception_in_the_operator,
]
Way = Callable[[World, str], Awaitable[None]]


async def _hear(world: World, message: str) -> None:
    envelope = read(message.encode(), world.clock())
    assert envelope.fact is not None
    await world.tell(envelope.fact, run_id=envelope.run_id)


def _seconds(world: World) -> float:
    return (world.clock() - EPOCH).total_seconds()


@pytest.fixture(params=WAYS_IN, ids=lambda way: way.__name__)
def way(request: pytest.FixtureRequest) -> Way:
    found: Way = request.param
    return found


class TestWaysBack:
    async def test_value_is_redacted_by_the_process_that_submitted_the_run(
        self, world: World, way: Way, caplog: pytest.LogCaptureFixture
    ) -> None:
        await apply(world)
        await way(world, QUOTES)
        await end(world, RunState.FAILED)
        told = everything(world, caplog)
        assert PASSWORD not in told
        if way is not an_exception_in_the_operator:
            assert "could not connect to postgresql://ml:***@warehouse" in told, "what is no secret is told"
        assert WITHHELD not in told

    async def test_value_is_redacted_after_a_restart(
        self, world: World, way: Way, caplog: pytest.LogCaptureFixture
    ) -> None:
        await apply(world)
        await world.restart()
        await way(world, QUOTES)
        await end(world, RunState.FAILED)
        told = everything(world, caplog)
        assert PASSWORD not in told
        assert "ml:***@warehouse" in told or way is an_exception_in_the_operator

    async def test_value_is_redacted_after_a_restart_and_a_rotation(
        self, world: World, way: Way, caplog: pytest.LogCaptureFixture
    ) -> None:
        await apply(world)
        world.jobs.data["Secret", "warehouse"] = {"password": ROTATED}
        await world.restart()
        await way(world, f"{QUOTES}, and {ROTATED}")
        await end(world, RunState.FAILED)
        told = everything(world, caplog)
        assert PASSWORD not in told
        assert ROTATED not in told or way is an_exception_in_the_operator

    async def test_value_is_redacted_after_a_restart_and_the_deletion_of_the_secret(
        self, world: World, way: Way, caplog: pytest.LogCaptureFixture
    ) -> None:
        await apply(world)
        del world.jobs.data["Secret", "warehouse"]
        await world.restart()
        await way(world, QUOTES)
        await end(world, RunState.FAILED)
        assert PASSWORD not in everything(world, caplog)

    async def test_value_is_redacted_after_a_restart_with_an_invalid_spec(
        self, world: World, way: Way, caplog: pytest.LogCaptureFixture
    ) -> None:
        await apply(world)
        # The part that the operator can't read may name a Secret.
        world.jobs.edit(KEY, {"confFrom": [{"secretReference": {"name": "warehouse"}}]})
        await restart(world)
        assert world.condition("SpecApplied") == "False"
        await way(world, QUOTES)
        await end(world, RunState.FAILED)
        assert PASSWORD not in everything(world, caplog)

    async def test_value_is_redacted_after_a_restart_with_a_removed_reference_and_a_forged_hash(
        self, world: World, way: Way, caplog: pytest.LogCaptureFixture
    ) -> None:
        await apply(world)
        world.jobs.edit(KEY, {"confFrom": []})
        job = await world.jobs.get(KEY)
        assert job is not None
        # The run now seems to have been started with the new spec.
        world.jobs.objects[KEY]["status"]["specHash"] = job.parsed.hash
        await restart(world)
        await way(world, QUOTES)
        await end(world, RunState.FAILED)
        assert PASSWORD not in everything(world, caplog)

    async def test_value_is_redacted_while_airflow_is_unreachable(
        self, world: World, way: Way, caplog: pytest.LogCaptureFixture
    ) -> None:
        await apply(world)
        await world.restart()
        world.airflow.down_for = {"inputs": 1000}
        await way(world, QUOTES)
        await end(world, RunState.FAILED)
        await world.later(31)
        assert PASSWORD not in everything(world, caplog)

    async def test_value_that_the_sender_truncated_is_redacted(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        await apply(world)
        await our_event_of_a_failure(world, QUOTES[: QUOTES.index(PASSWORD) + 9] + "…")
        await end(world, RunState.FAILED)
        told = everything(world, caplog)
        assert "ml:***…" in told
        assert PASSWORD[:9] not in told

    async def test_value_that_the_operator_truncates_is_redacted(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        await apply(world)
        # The status shows 400 characters of an error.
        await our_event_of_a_failure(world, f"{'x' * 390} {PASSWORD}")
        await end(world, RunState.FAILED)
        assert PASSWORD[:4] not in everything(world, caplog)


class TestSubmission:
    @pytest.mark.parametrize("error", [ValidationFailed, AirflowUnavailable, AirflowError])
    async def test_value_is_redacted_in_the_refusal_of_a_conf(
        self, world: World, error: type[AirflowError], caplog: pytest.LogCaptureFixture
    ) -> None:
        async def refuse(dag_id: str, run_id: str, conf: dict[str, Any], *_: Any) -> None:
            raise error(f"Airflow refused {json.dumps(conf)}")

        world.airflow.submit = refuse  # type: ignore[assignment]
        world.jobs.data["Secret", "warehouse"] = {"password": PASSWORD}
        await world.apply(confFrom=SECRET, preRunningDeadlineSeconds=60)
        world.jobs.data["Secret", "warehouse"] = {"password": ROTATED}
        await world.later(30)
        await world.later(31)
        told = everything(world, caplog)
        assert '{\\"password\\": \\"***\\"}' in told
        assert PASSWORD not in told
        assert ROTATED not in told

    async def test_value_of_an_earlier_attempt_is_redacted(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        await apply(world, backoffLimit=1, retryStrategy="NewRun")
        del world.jobs.data["Secret", "warehouse"]
        # With runPolicy Once, the next attempt runs with the conf of the first attempt.
        await edit(world, confFrom=[])
        await world.restart()
        await our_event_of_a_failure(world, QUOTES)
        await end(world, RunState.FAILED)

        async def refuse(dag_id: str, run_id: str, conf: dict[str, Any], *_: Any) -> None:
            raise ValidationFailed(f"Airflow refused {json.dumps(conf)}")

        world.airflow.submit = refuse  # type: ignore[assignment]
        await world.later(11)
        told = everything(world, caplog)
        assert world.status.attempts == 2
        assert '{\\"password\\": \\"***\\"}' in told
        assert PASSWORD not in told


class TestBackfills:
    @pytest.mark.parametrize("restarted", [False, True], ids=["same process", "after a restart"])
    async def test_value_is_redacted_in_the_refusal_of_a_backfill(
        self, world: World, restarted: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.jobs.data["Secret", "warehouse"] = {"password": PASSWORD}
        await backfills.apply(world, confFrom=SECRET)
        if restarted:
            world.jobs.data["Secret", "warehouse"] = {"password": ROTATED}
            await world.restart()

        async def refuse(*_: Any, **__: Any) -> None:
            raise AirflowError(f"Airflow answered 400 to cancel: {QUOTES}")

        world.airflow.backfills.cancel = refuse
        await edit(world, cancel=True)
        await world.later(11)
        told = everything(world, caplog)
        assert PASSWORD not in told
        assert "ml:***@warehouse" in world.message


class TestWithheld:
    """While the operator does not know which Secret values a run's conf has, the operator shows no
    new text from the run's tasks.
    """

    async def test_error_is_shown_once_airflow_is_reachable_again(self, world: World) -> None:
        await apply(world)
        await restart(world)
        world.airflow.down_for = {"inputs": 1}
        await our_event_of_a_failure(world, QUOTES)
        assert WITHHELD in str(world.status.tasks)
        await world.later(11)
        assert "ml:***@warehouse" in str(world.status.tasks)
        assert WITHHELD not in str(world.status)

    async def test_text_that_the_status_shows_already_stays(self, world: World) -> None:
        await apply(world)
        await our_event_of_a_retry(world, QUOTES)
        before = world.status.tasks
        assert "ml:***@warehouse" in str(before)
        await world.restart()
        world.airflow.down = True
        await world.later(30)
        assert world.status.tasks == before

    async def test_states_and_messages_of_the_operator_are_shown(self, world: World) -> None:
        await apply(world)
        await restart(world)
        world.airflow.down_for = {"inputs": 1000}
        await our_event_of_a_failure(world, QUOTES)
        states = {task.task_id: task.state for task in world.status.tasks or ()}
        assert states == {"extract": "running", "fit": "failed"}

    async def test_outputs_are_withheld_until_the_conf_is_known(self, world: World) -> None:
        await apply(world)
        newest(world).outputs = {"score": 0.9, "dsn": QUOTES}
        world.airflow.down_for = {"inputs": 2}
        await end(world, RunState.SUCCESS)
        assert world.status.outputs is None
        await world.later(2)
        await world.later(4)
        assert world.status.phase is Phase.SUCCEEDED
        assert world.status.outputs == {"score": 0.9, "dsn": QUOTES.replace(PASSWORD, "***")}

    async def test_text_of_a_deleted_run_stays_withheld(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        await apply(world)
        run_id = newest(world).run_id
        await restart(world)
        world.airflow.runs.clear()
        world.clock.tick(1)
        failure = Failure(1, world.clock(), QUOTES)
        await world.tell(
            event("fit", TaskState.FAILED, seconds=_seconds(world), failure=failure, observed_at=world.clock()),
            run_id=run_id,
        )
        assert PASSWORD not in everything(world, caplog)
        assert WITHHELD in everything(world, caplog)

    async def test_finished_mljob_is_not_tracked_until_its_conf_is_known(self, world: World) -> None:
        await apply(world)
        await restart(world)
        world.airflow.down_for = {"inputs": 1000}
        await our_event_of_a_failure(world, QUOTES)
        world.airflow.runs.clear()
        for _ in range(4):
            world.clock.tick(60)
            await world.look()
            await world.later(1)
        assert (world.status.phase, world.status.reason) == (Phase.FAILED, "DagRunDeleted")
        assert not world.job_controller.workers.tracked

    async def test_nothing_is_shown_if_airflow_masks_the_conf(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        await apply(world)
        newest(world).conf = {"password": "***"}
        world.jobs.data["Secret", "warehouse"] = {"password": ROTATED}
        await world.restart()
        await our_event_of_a_failure(world, QUOTES)
        assert PASSWORD not in everything(world, caplog)


class TestCost:
    async def test_conf_is_not_read_without_a_secret(self, world: World) -> None:
        world.jobs.data["ConfigMap", "defaults"] = {"region": "eu-west"}
        await world.apply(confFrom=[{"configMapRef": {"name": "defaults"}}])
        await begin(world)
        await world.restart()
        await our_event_of_a_failure(world, "no data for eu-west")
        await end(world, RunState.FAILED)
        assert "inputs" not in world.airflow.calls
        assert "no data for eu-west" in world.message

    async def test_conf_with_a_secret_is_read_once_for_each_process(self, world: World) -> None:
        await apply(world)
        for _ in range(3):
            world.clock.tick(1)
            await our_event_of_a_retry(world, QUOTES)
            await world.look()
        assert world.airflow.calls.count("inputs") == 1
        await world.restart()
        await our_event_of_a_failure(world, QUOTES)
        await end(world, RunState.FAILED)
        assert world.airflow.calls.count("inputs") == 2

    async def test_values_of_configmaps_and_the_spec_are_not_redacted(self, world: World) -> None:
        world.jobs.data["ConfigMap", "defaults"] = {"region": "eu-west", "more.json": '{"rows": 100000}'}
        world.jobs.data["Secret", "warehouse"] = {"password": PASSWORD}
        await world.apply(conf={"table": "churn"}, confFrom=[{"configMapRef": {"name": "defaults"}}, *SECRET])
        await begin(world)
        await our_event_of_a_failure(world, f"{PASSWORD}: 100000 rows of churn in eu-west")
        await end(world, RunState.FAILED)
        assert "***: 100000 rows of churn in eu-west" in world.message

    async def test_withheld_text_does_not_cause_repeated_writes(self, world: World) -> None:
        await apply(world)
        await our_event_of_a_retry(world, QUOTES)
        written = len(world.jobs.patches)
        for _ in range(3):
            await world.later(6)
        assert len(world.jobs.patches) <= written + 1

    async def test_each_attempt_is_redacted_by_its_own_conf(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        await apply(world, backoffLimit=1, retryStrategy="NewRun")
        await our_event_of_a_failure(world, QUOTES)
        await end(world, RunState.FAILED)
        world.jobs.data["Secret", "warehouse"] = {"password": ROTATED}
        await world.later(11)
        await begin(world)
        await our_event_of_a_failure(world, QUOTES.replace(PASSWORD, ROTATED))
        await end(world, RunState.FAILED)
        told = everything(world, caplog)
        assert world.status.reason == "BackoffLimitExceeded"
        assert PASSWORD not in told
        assert ROTATED not in told
        assert WITHHELD not in told


def test_credentials_of_the_operator_are_in_no_log_line(caplog: pytest.LogCaptureFixture) -> None:
    log = logs.redacted_logger("mljob_operator.test")
    logs.hide("test", "pa55 word\n", None)
    try:
        log.warning("login with %s", "pa55 word")
        log.warning("Invalid header value b'Bearer eyJhbGciOi.eyJzdWIi.c2lnbmF0dXJl'")
        log.warning("token eyJhbGciOi.eyJzdWIi.c2lnbmF0dXJl, Basic dXNlcjpwYXNz")
        try:
            raise ValueError("pa55 word")
        except ValueError:
            log.exception("it failed")
    finally:
        logs.hide("test")
    assert "pa55" not in caplog.text
    assert "eyJ" not in caplog.text
    assert "dXNlcjpwYXNz" not in caplog.text
    assert "ValueError: ***" in caplog.text
    assert caplog.messages[:2] == ["login with ***", "Invalid header value b'Bearer ***'"]


def test_exception_is_logged_by_class_and_place_if_secrets_are_unknown() -> None:
    record = logging.LogRecord("x", 40, "x.py", 1, "%s failed", ("team-a/churn",), None)
    try:
        raise KeyError(PASSWORD)
    except KeyError as error:
        record.exc_info = (KeyError, error, error.__traceback__)
    token = logs.redacting.set(lambda: Redaction(complete=False))
    try:
        assert logs.RedactingFilter().filter(record)
    finally:
        logs.redacting.reset(token)
    line = json.loads(logs.JsonFormatter().format(record))
    assert PASSWORD not in line["exception"]
    assert "KeyError" in line["exception"]
    assert "test_secrets.py" in line["exception"]
    assert line["message"] == "team-a/churn failed"
