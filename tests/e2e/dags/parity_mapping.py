"""DAGs with mapped tasks and mapped task groups."""

from __future__ import annotations

from airflow.sdk import DAG, Param, TriggerRule, get_current_context, task, task_group
from airflow_exceptions import AirflowFailException, AirflowSkipException

with DAG("parity_mapped", schedule=None, is_paused_upon_creation=False, tags=["parity"]):

    @task
    def numbers() -> list[int]:
        return [0, 1, 2, 3, 4, 5]

    @task
    def some_fail_some_skip(number: int) -> int:
        if number == 2:
            raise AirflowFailException("two is not liked here")
        if number == 4:
            raise AirflowSkipException("four is left out")
        return number

    @task(map_index_template="number {{ task.op_kwargs['number'] }}")
    def named(number: int) -> int:
        return number + 1

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def total(parts: list[int]) -> int:
        return sum(parts)

    listed = numbers()
    some_fail_some_skip.expand(number=listed)
    total(named.expand(number=listed))
    total.override(task_id="cross")(named.override(task_id="pairs").partial().expand(number=[7, 8]))


with DAG("parity_mapped_nothing", schedule=None, is_paused_upon_creation=False, tags=["parity"]):

    @task
    def nothing() -> list[int]:
        return []

    @task
    def never(number: int) -> int:
        return number

    @task
    def after_nothing(parts: list[int]) -> int:
        return len(list(parts))

    @task(trigger_rule=TriggerRule.NONE_FAILED)
    def in_any_case() -> None: ...

    mapped = never.expand(number=nothing())
    after_nothing(mapped)
    mapped >> in_any_case()


with DAG("parity_mapped_groups", schedule=None, is_paused_upon_creation=False, tags=["parity"]):

    @task
    def shards() -> list[int]:
        return [1, 2, 3]

    @task_group
    def shard(number: int) -> None:
        @task
        def extract(number: int) -> int:
            if number == 2:
                raise AirflowFailException("the second shard is broken")
            return number * 10

        @task
        def load(value: int) -> int:
            return value + 1

        load(extract(number))

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def summary() -> None: ...

    shard.expand(number=shards()) >> summary()

    @task
    def no_shards() -> list[int]:
        return []

    shard.override(group_id="no_shard").expand(number=no_shards())


with DAG(
    "parity_mapped_many",
    schedule=None,
    is_paused_upon_creation=False,
    tags=["parity"],
    params={"count": Param(200, type="integer", minimum=0, maximum=1000)},
):

    @task
    def indexes() -> list[int]:
        return list(range(get_current_context()["params"]["count"]))

    @task
    def square(number: int) -> int:
        return number * number

    square.expand(number=indexes())
