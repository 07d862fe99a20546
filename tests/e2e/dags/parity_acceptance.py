"""DAGs for tests of submission. No test may unpause ``parity_paused``, because other tests may need
the paused DAG at the same time.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, get_current_context, task

with DAG("parity_paused", schedule=None, is_paused_upon_creation=True, tags=["parity"]):

    @task
    def waits_for_unpause() -> None: ...

    waits_for_unpause()


with DAG("submission_paused", schedule=None, is_paused_upon_creation=True):

    @task
    def waits_until_a_test_unpauses() -> None: ...

    waits_until_a_test_unpauses()


with DAG(
    "parity_params",
    schedule=None,
    is_paused_upon_creation=False,
    tags=["parity"],
    params={
        "count": Param(type="integer", minimum=1, maximum=10, description="Required."),
        "mode": Param("fast", enum=["fast", "slow"]),
    },
):

    @task
    def echo() -> dict[str, object]:
        return dict(get_current_context()["params"])

    echo()
