"""DAGs for backfills of past days. Their schedules have ended, so Airflow creates no runs by
itself.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime

from airflow.sdk import DAG, Param, get_current_context, task

DAYS = {
    "schedule": "@daily",
    "start_date": datetime(2026, 1, 1, tzinfo=UTC),
    "end_date": datetime(2026, 3, 31, tzinfo=UTC),
    "catchup": False,
    "is_paused_upon_creation": False,
    "tags": ["backfill"],
}
PARAMS = {
    "seconds": Param(0, type="number", minimum=0, description="How long each day takes."),
    "fail": Param(
        [], type="array", items={"type": "string"}, description="Days whose first attempt fails, as 2026-01-03."
    ),
}


def work() -> str:
    """Sleep for the time in the param ``seconds``, and return the run's day. In the MLJob's first
    attempt, fail if the param ``fail`` lists the day.
    """
    context = get_current_context()
    params, day = context["params"], context["logical_date"].date().isoformat()
    time.sleep(params["seconds"])
    if day in params["fail"] and (context["dag_run"].conf or {}).get("mljob", {}).get("attempt", 1) == 1:
        raise RuntimeError(f"no data for {day}")
    return day


# Airflow allows one backfill of a DAG at a time, and closes it late. So each backfill that must not
# wait for another has its own DAG.
for name in ("followed", "retried", "paused", "deleted", "contended", "killed", "rest_only"):
    with DAG(f"backfill_{name}", description="A day's work", params=PARAMS, **DAYS):
        task(work)()

with DAG(
    "backfill_contract_days",
    description="Paused, so that nothing of it runs",
    params=PARAMS,
    **DAYS | {"is_paused_upon_creation": True},
):
    task(work)()
