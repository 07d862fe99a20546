"""DAGs whose runs the tests cancel."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
from airflow.sdk import DAG, Param, get_current_context, setup, task, teardown

HOUR = timedelta(hours=1)

with DAG(
    "cancelled_waiting",
    description="Has a task in each state that is not the end",
    schedule=None,
    is_paused_upon_creation=False,
    tags=["cancelled"],
):

    @task(retries=1, retry_delay=HOUR)
    def retries() -> None:
        raise RuntimeError("meant to fail")

    @task.sensor(mode="reschedule", poke_interval=HOUR.total_seconds(), timeout=86400)
    def reschedules() -> bool:
        return False

    # A pool for this test alone, without slots.
    @task(pool="cancelled_no_slots")
    def gets_no_slot() -> None: ...

    @task
    def works(number: int) -> None:
        time.sleep(HOUR.total_seconds())

    @task
    def numbers() -> list[int]:
        return [1, 2, 3]

    @task
    def is_not_expanded(number: int) -> None: ...

    [
        ApprovalOperator(task_id="asks", subject="Go on?"),
        TimeDeltaSensor(task_id="defers", delta=HOUR, deferrable=True),
        reschedules(),
        retries(),
        gets_no_slot(),
        works.expand(number=[1, 2]),
    ] >> EmptyOperator(task_id="end")
    given = numbers.override(task_id="gives_numbers_never", pool="cancelled_no_slots")()
    is_not_expanded.expand(number=given)


with DAG(
    "cancelled_teardown",
    description="Holds something until its teardown gives it back",
    schedule=None,
    is_paused_upon_creation=False,
    tags=["cancelled"],
    params={
        "file": Param(type="string", description="What the teardown writes."),
        "seconds": Param(0, type="number", minimum=0, description="How long the teardown takes before it does."),
    },
):

    @setup
    def take() -> None: ...

    @task
    def hold() -> None:
        time.sleep(HOUR.total_seconds())

    @teardown
    def give_back() -> None:
        params = get_current_context()["params"]
        time.sleep(params["seconds"])
        Path(params["file"]).write_text("given back", encoding="utf-8")

    taken = take()
    taken >> hold() >> give_back().as_teardown(setups=taken)


with DAG(
    "cancelled_queued",
    description="Is paused by the test, and so never begins",
    schedule=None,
    is_paused_upon_creation=False,
    tags=["cancelled"],
):

    @setup
    def never_takes() -> None: ...

    @task
    def never_works() -> None: ...

    @teardown
    def never_gives_back() -> None: ...

    never_taken = never_takes()
    never_taken >> never_works() >> never_gives_back().as_teardown(setups=never_taken)
