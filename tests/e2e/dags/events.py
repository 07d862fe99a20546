"""DAGs for tests/e2e/test_events.py. The table "What comes by which" in docs/spec/events.md lists
what can happen to a task or a run. The test makes each row of the table happen to a task or a run
of these DAGs.
"""

from __future__ import annotations

import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.providers.standard.triggers.file import FileTrigger
from airflow.sdk import DAG, BaseOperator, Param, get_current_context, task
from airflow_exceptions import AirflowSkipException

DIRECTORY = Param(
    "", type="string", description="Where tasks say which processes they are, and look for what to wait for."
)
NO_SUCH_POOL = "events_no_such_pool"
"""A pool that does not exist. A task with this pool is scheduled and never gets a slot."""


def wait_to_be_killed() -> None:
    """Write this process's id to a file for the test, and sleep for 10 minutes."""
    context = get_current_context()
    Path(context["params"]["directory"], context["ti"].task_id).write_text(str(os.getpid()), encoding="utf-8")
    time.sleep(600)


class WaitsForFile(BaseOperator):
    """Defers its task until the file ``go`` exists in the folder of the param ``directory``."""

    def execute(self, context: Any) -> None:
        path = str(Path(context["params"]["directory"], "go"))
        self.defer(trigger=FileTrigger(filepath=path, poke_interval=0.5), method_name="finish")

    def finish(self, context: Any, event: Any) -> None: ...


with DAG(
    "events_tasks", schedule=None, is_paused_upon_creation=False, tags=["events"], params={"directory": DIRECTORY}
):

    @task
    def succeeds() -> None: ...

    @task
    def fails() -> None:
        raise ValueError("meant to fail")

    @task
    def skips() -> None:
        raise AirflowSkipException("nothing to do today")

    @task
    def each(number: int) -> None: ...

    @task(execution_timeout=timedelta(seconds=1))
    def too_slow() -> None:
        time.sleep(600)

    @task(retries=1, retry_delay=timedelta(seconds=1))
    def second_time_lucky() -> None:
        if get_current_context()["ti"].try_number == 1:
            raise RuntimeError("the first try fails")

    @task
    def killed() -> None:
        wait_to_be_killed()

    @task(retries=1, retry_delay=timedelta(seconds=1))
    def killed_once() -> None:
        if get_current_context()["ti"].try_number == 1:
            wait_to_be_killed()

    @task.branch
    def choose() -> str:
        return "empty"

    @task.short_circuit
    def stop_here() -> bool:
        return False

    succeeds()
    fails() >> EmptyOperator(task_id="unreachable")
    skips()
    each.expand(number=[0, 1])
    too_slow()
    second_time_lucky()
    killed()
    killed_once()
    choose() >> [EmptyOperator(task_id="empty"), EmptyOperator(task_id="not_chosen")]
    stop_here() >> EmptyOperator(task_id="cut_off")
    WaitsForFile(task_id="defers")
    ApprovalOperator(task_id="asks", subject="Go on?")


with DAG(
    "events_held",
    description="Runs until something is done to it",
    schedule=None,
    is_paused_upon_creation=False,
    tags=["events"],
    params={"directory": DIRECTORY},
):

    @task
    def held() -> None:
        wait_to_be_killed()

    [held(), WaitsForFile(task_id="deferred")] >> EmptyOperator(task_id="pending")


with DAG("events_quick", schedule=None, is_paused_upon_creation=False, tags=["events"]):

    @task
    def quick() -> None: ...

    quick()


with DAG(
    "events_timeout",
    schedule=None,
    is_paused_upon_creation=False,
    dagrun_timeout=timedelta(seconds=5),
    tags=["events"],
):

    @task(pool=NO_SUCH_POOL)
    def never_begins() -> None: ...

    never_begins()


with DAG("events_no_slot", schedule=None, is_paused_upon_creation=False, tags=["events"]):

    @task(pool=NO_SUCH_POOL)
    def no_slot() -> None: ...

    no_slot()


with DAG("events_paused", schedule=None, is_paused_upon_creation=True, tags=["events"]):
    EmptyOperator(task_id="nothing")
