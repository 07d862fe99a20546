"""Compares the status of a finished MLJob with Airflow's REST API."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

from tests.live.airflow import AirflowRest
from tests.live.mljobs import Object

DAGS = Path(__file__).parent / "dags"
FINISHED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
SUCCEEDED = {"success": ("success", "skipped", "removed"), "failed": ("success",)}
"""The states of task instances that count as succeeded, by the state of the run."""
PHASES = {"success": "Succeeded", "failed": "Failed"}


def dag_ids() -> list[str]:
    found = (re.findall(r'\bDAG\(\s*"(parity_\w+)"', file.read_text()) for file in sorted(DAGS.glob("*.py")))
    return sorted(dag_id for dag_ids in found for dag_id in dag_ids)


def airflow_says(airflow: AirflowRest, dag_id: str, run_id: str) -> dict[str, Any]:
    """Wait until a run has ended. Return Airflow's data about the run, as a dict with the
    same keys as the result of :func:`status_says`.
    """
    run = airflow.ended(dag_id, run_id)
    by_task: dict[str, list[Object]] = defaultdict(list)
    for row in airflow.task_instances(dag_id, run_id):
        by_task[row["task_id"]].append(row)
    rows = [row for rows in by_task.values() for row in rows]
    states = Counter(_state(row) for row in rows)
    return {
        "phase": PHASES.get(run["state"], "Running"),
        "dagRunState": run["state"],
        "taskCounts": {"total": len(rows)} | {_camel(state): count for state, count in states.items()},
        "progress": f"{sum(states[state] for state in SUCCEEDED[run['state']])}/{len(rows)}",
        "started": _second(run["start_date"]),
        "ended": _second(run["end_date"]),
        "tasks": {task_id: _task(rows) for task_id, rows in by_task.items()},
    }


def status_says(status: Object) -> dict[str, Any]:
    return {
        "phase": status["phase"],
        "dagRunState": status["dagRunState"],
        "taskCounts": status["taskCounts"],
        "progress": status["progress"],
        "started": _second(status.get("startTime")),
        "ended": _second(status["completionTime"]),
        "tasks": {entry["taskId"]: _entry(entry) for entry in status["tasks"]},
    }


def differences(status: Object, airflow: AirflowRest) -> dict[str, str]:
    """Wait until the MLJob's run has ended in Airflow. Compare the phase, the times, the counts and
    the tasks in the MLJob's status with Airflow's data. For each field or task that differs, the
    result has a text with both values.
    """
    told, truth = _flat(status_says(status)), _flat(airflow_says(airflow, status["dagId"], status["dagRunId"]))
    return {
        name: f"{told.get(name)!r}, and Airflow says {truth.get(name)!r}"
        for name in sorted(told.keys() | truth.keys())
        if told.get(name) != truth.get(name)
    }


def _flat(says: dict[str, Any]) -> dict[str, Any]:
    return {**says, "tasks": None} | {f"task {task_id}": task for task_id, task in says["tasks"].items()}


def _task(rows: list[Object]) -> dict[str, Any]:
    tries = max(row["try_number"] for row in rows)
    if len(rows) == 1 and rows[0]["map_index"] < 0:
        return {
            "state": _state(rows[0]),
            "try": tries,
            "started": _second(rows[0]["start_date"]),
            "ended": _second(rows[0]["end_date"]),
        }
    failed = sorted(row["map_index"] for row in rows if row["state"] == "failed")
    return {"states": dict(Counter(map(_state, rows))), "total": len(rows), "try": tries, "failed": failed[:20]}


def _entry(entry: Object) -> dict[str, Any]:
    tries = entry["tryNumber"]
    if (mapped := entry.get("mapped")) is None:
        return {
            "state": entry["state"],
            "try": tries,
            "started": _second(entry.get("startTime")),
            "ended": _second(entry.get("endTime")),
        }
    assert entry["state"] in mapped["states"], entry
    failed = mapped.get("failedIndexes") or []
    return {"states": mapped["states"], "total": mapped["total"], "try": tries, "failed": failed}


def _state(row: Object) -> str:
    return row["state"] or "none"


def _camel(state: str) -> str:
    first, *others = state.split("_")
    return first + "".join(word.capitalize() for word in others)


def _second(text: str | None) -> str | None:
    return datetime.fromisoformat(text).replace(microsecond=0).isoformat() if text else None
