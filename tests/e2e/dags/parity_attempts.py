"""DAGs with tasks that fail, are retried, deferred or killed, or exceed a timeout."""

from __future__ import annotations

import os
import signal
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor
from airflow.providers.standard.triggers.temporal import TimeDeltaTrigger
from airflow.sdk import DAG, BaseOperator, Param, PokeReturnValue, get_current_context, setup, task, teardown
from airflow_exceptions import AirflowFailException, AirflowSkipException

ONE_SECOND = timedelta(seconds=1)


with DAG("parity_states", schedule=None, is_paused_upon_creation=False, tags=["parity"]):

    @task
    def succeeds() -> None: ...

    @task
    def skips() -> None:
        raise AirflowSkipException("nothing to do today")

    @task(retries=3)
    def fails_at_once() -> None:
        raise AirflowFailException("retrying would not help")

    @task
    def raises() -> None:
        raise ValueError("the label column is missing: " + "x" * 5000)

    @task
    def unreachable() -> None: ...

    succeeds() >> skips() >> EmptyOperator(task_id="skipped_with_it")
    fails_at_once() >> unreachable() >> EmptyOperator(task_id="unreachable_too")
    raises()


with DAG("parity_retries", schedule=None, is_paused_upon_creation=False, tags=["parity"]):

    @task(retries=2, retry_delay=ONE_SECOND)
    def second_time_lucky() -> int:
        attempt = get_current_context()["ti"].try_number
        if attempt < 2:
            raise RuntimeError(f"try {attempt} fails")
        return attempt

    @task
    def after_luck() -> None: ...

    second_time_lucky() >> after_luck()


with DAG("parity_retries_exhausted", schedule=None, is_paused_upon_creation=False, tags=["parity"]):

    @task(retries=2, retry_delay=ONE_SECOND)
    def never_lucky() -> None:
        raise RuntimeError(f"try {get_current_context()['ti'].try_number} fails")

    @task
    def after_never() -> None: ...

    never_lucky() >> after_never()


class Deferring(BaseOperator):
    def execute(self, context: Any) -> None:
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=2)), method_name="halfway")

    def halfway(self, context: Any, event: Any) -> None:
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=2)), method_name="finish")

    def finish(self, context: Any, event: Any) -> str:
        return "deferred twice"


class DeferringThenFailing(Deferring):
    def finish(self, context: Any, event: Any) -> str:
        raise ValueError("came back, and failed")


with DAG("parity_deferral", schedule=None, is_paused_upon_creation=False, tags=["parity"]):
    deferring = Deferring(task_id="defers")
    deferring >> EmptyOperator(task_id="after_deferral")
    DeferringThenFailing(task_id="defers_then_fails", retries=1, retry_delay=ONE_SECOND)
    TimeDeltaSensor(task_id="sensor", delta=timedelta(seconds=2), deferrable=True)
    Deferring.partial(task_id="defers_mapped").expand(doc=["first", "second"])


with DAG("parity_reschedule", schedule=None, is_paused_upon_creation=False, tags=["parity"]):

    @task.sensor(mode="reschedule", poke_interval=1, timeout=60)
    def third_poke() -> PokeReturnValue:
        return PokeReturnValue(is_done=get_current_context()["task_reschedule_count"] >= 2, xcom_value="done")

    @task.sensor(mode="reschedule", poke_interval=1, timeout=2)
    def never() -> bool:
        return False

    @task.sensor(mode="reschedule", poke_interval=1, timeout=2, soft_fail=True)
    def never_but_gently() -> bool:
        return False

    @task.sensor(mode="poke", poke_interval=0.5, timeout=30)
    def poked() -> bool:
        return True

    third_poke() >> EmptyOperator(task_id="after_third_poke")
    never() >> EmptyOperator(task_id="after_never")
    never_but_gently() >> EmptyOperator(task_id="after_gentle_never")
    poked()


with DAG("parity_killed", schedule=None, is_paused_upon_creation=False, tags=["parity"]):

    @task
    def killed() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    @task(retries=1, retry_delay=ONE_SECOND)
    def killed_once() -> None:
        if get_current_context()["ti"].try_number == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    @task(retries=1, retry_delay=ONE_SECOND)
    def killed_every_time() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    killed() >> EmptyOperator(task_id="after_killed")
    killed_once() >> EmptyOperator(task_id="after_killed_once")
    killed_every_time()


with DAG("parity_execution_timeout", schedule=None, is_paused_upon_creation=False, tags=["parity"]):

    @task(execution_timeout=timedelta(seconds=2))
    def too_slow() -> None:
        time.sleep(60)

    @task(execution_timeout=timedelta(seconds=2), retries=1, retry_delay=ONE_SECOND)
    def too_slow_at_first() -> None:
        if get_current_context()["ti"].try_number == 1:
            time.sleep(60)

    too_slow() >> EmptyOperator(task_id="after_too_slow")
    too_slow_at_first()


with DAG(
    "parity_dagrun_timeout",
    schedule=None,
    is_paused_upon_creation=False,
    dagrun_timeout=timedelta(seconds=8),
    tags=["parity"],
):

    @task
    def quick() -> None: ...

    @task
    def longer_than_the_run() -> None:
        time.sleep(60)

    @task
    def never_comes() -> None: ...

    quick() >> longer_than_the_run() >> never_comes()


with DAG(
    "parity_long_running",
    description="Sleeps until it is cancelled; says in a file which process it is",
    schedule=None,
    is_paused_upon_creation=False,
    tags=["parity"],
    params={
        "pid_file": Param(None, type=["null", "string"], description="File that gets the process id of the task."),
        "seconds": Param(600, type="number", minimum=0),
        "wake_file": Param(None, type=["null", "string"], description="File whose appearance ends the sleep."),
    },
):

    def sleep() -> None:
        params = get_current_context()["params"]
        wake_file, end = params["wake_file"], time.monotonic() + params["seconds"]
        while time.monotonic() < end and not (wake_file and Path(wake_file).exists()):
            time.sleep(min(0.1, params["seconds"]))

    @task
    def before() -> None: ...

    @task
    def sleeps() -> None:
        if pid_file := get_current_context()["params"]["pid_file"]:
            Path(pid_file).write_text(str(os.getpid()), encoding="utf-8")
        sleep()

    @task
    def beside(number: int) -> None:
        sleep()

    @task
    def after() -> None: ...

    started = before()
    started >> [sleeps(), beside.expand(number=[1, 2])] >> after() >> EmptyOperator(task_id="end")


with DAG(
    "parity_long_running_teardown",
    description="Holds something while it sleeps, which its teardown has to give back when it is cancelled",
    schedule=None,
    is_paused_upon_creation=False,
    tags=["parity"],
    params={
        "torn_down_file": Param(None, type=["null", "string"], description="File that the teardown writes."),
        "seconds": Param(600, type="number", minimum=0),
    },
):

    @setup
    def take() -> None: ...

    @task
    def hold() -> None:
        time.sleep(get_current_context()["params"]["seconds"])

    @task
    def use_it_more() -> None: ...

    @teardown
    def give_back() -> None:
        path = get_current_context()["params"]["torn_down_file"]
        if path:
            Path(path).write_text("torn down", encoding="utf-8")

    taken = take()
    taken >> hold() >> use_it_more() >> give_back().as_teardown(setups=taken)
