"""DAGs with branches, short circuits, trigger rules, setup and teardown. This file doesn't
import ``mljob_airflow``. The cluster policy ``mljob_airflow.policy`` adds the callbacks that send
events.
"""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, TaskGroup, TriggerRule, get_current_context, setup, task, teardown
from airflow_exceptions import AirflowFailException, AirflowSkipException

with DAG("parity_branch", schedule=None, is_paused_upon_creation=False, tags=["parity"]):

    @task.branch
    def choose() -> list[str]:
        return ["left", "right.inner"]

    @task
    def left() -> None: ...

    @task
    def middle() -> None: ...

    @task
    def after_middle() -> None: ...

    with TaskGroup("right") as right:

        @task
        def inner() -> None: ...

        @task
        def second() -> None: ...

        inner() >> second()

    chosen = choose()
    join = EmptyOperator(task_id="join", trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS)
    chosen >> left() >> join
    chosen >> middle() >> after_middle() >> join
    chosen >> right >> join


with DAG("parity_short_circuit", schedule=None, is_paused_upon_creation=False, tags=["parity"]):

    @task.short_circuit
    def stop_here() -> bool:
        return False

    @task.short_circuit(ignore_downstream_trigger_rules=False)
    def stop_gently() -> bool:
        return False

    @task.short_circuit
    def go_on() -> bool:
        return True

    @task
    def skipped() -> None: ...

    @task
    def skipped_gently() -> None: ...

    @task
    def reached() -> None: ...

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def in_any_case() -> None: ...

    stop_here() >> skipped() >> EmptyOperator(task_id="skipped_too")
    stop_gently() >> skipped_gently() >> in_any_case()
    go_on() >> reached()


with DAG(
    "parity_trigger_rules",
    description="Every trigger rule over every mix of upstream states",
    schedule=None,
    is_paused_upon_creation=False,
    tags=["parity"],
):

    @task
    def succeeds() -> None: ...

    @task
    def succeeds_as_well() -> None: ...

    @task
    def fails() -> None:
        raise AirflowFailException("meant to fail")

    @task
    def skips() -> None:
        raise AirflowSkipException("meant to skip")

    @task
    def never_starts() -> None: ...

    ok, ok_too, bad, skip = succeeds(), succeeds_as_well(), fails(), skips()
    upstream_failed = never_starts()
    bad >> upstream_failed

    mixes = {
        "good": [ok, ok_too],
        "good_and_bad": [ok, bad],
        "good_and_skipped": [ok, skip],
        "skipped": [skip],
        "bad": [bad, upstream_failed],
        "all_kinds": [ok, bad, skip, upstream_failed],
    }
    for rule in TriggerRule:
        if rule is TriggerRule.ALL_DONE_SETUP_SUCCESS:
            continue  # for teardown tasks only: parity_setup_teardown tests this trigger rule
        with TaskGroup(str(rule.value)):
            for name, upstream in mixes.items():
                upstream >> EmptyOperator(task_id=name, trigger_rule=rule)


with DAG("parity_setup_teardown", schedule=None, is_paused_upon_creation=False, tags=["parity"]):

    @setup
    def create_cluster() -> str:
        return "cluster"

    @teardown
    def delete_cluster() -> None: ...

    @task
    def work() -> None: ...

    @task
    def work_that_fails() -> None:
        raise AirflowFailException("meant to fail")

    @task
    def never_reached() -> None: ...

    @setup
    def broken_setup() -> None:
        raise AirflowFailException("meant to fail")

    @teardown(on_failure_fail_dagrun=True)
    def broken_teardown() -> None:
        raise AirflowFailException("meant to fail")

    @teardown
    def teardown_without_its_setup() -> None: ...

    cluster = create_cluster()
    cluster >> work() >> work_that_fails() >> never_reached() >> delete_cluster().as_teardown(setups=cluster)

    broken = broken_setup()
    broken >> EmptyOperator(task_id="needs_broken_setup") >> teardown_without_its_setup().as_teardown(setups=broken)

    EmptyOperator(task_id="before_broken_teardown") >> broken_teardown()


with DAG("parity_nested_groups", schedule=None, is_paused_upon_creation=False, tags=["parity"]):

    @task
    def leaf() -> str:
        return get_current_context()["ti"].task_id

    with TaskGroup("outer") as outer:
        first = leaf.override(task_id="first")()
        with TaskGroup("middle"):
            second_leaf = leaf.override(task_id="second")()
            with TaskGroup("core", prefix_group_id=False):
                third = leaf.override(task_id="third")()
        with TaskGroup("empty_handed"):
            EmptyOperator(task_id="nothing")
        first >> second_leaf >> third

    outer >> EmptyOperator(task_id="end")


with DAG("parity_empty", schedule=None, is_paused_upon_creation=False, tags=["parity"]):
    EmptyOperator(task_id="one") >> [EmptyOperator(task_id="two"), EmptyOperator(task_id="three")]
