"""MLJobs in every phase, and two AirflowInstances, for the view's tests and for the pictures of the
view in the documentation.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from tests.fakes.mljob_cluster import Answer, Object
from tests.fakes.view_cluster import GrowingLog, ViewCluster

AIRFLOW = "https://airflow.example.com"
TRAIN_TASKS = ("load", "split", "fit", "evaluate", "publish")
_MESSAGE = "Task score failed at try 2: ValueError: 3 columns are missing: age, region, tenure"
_FAILED = (
    f"2 attempts failed (backoffLimit 1). The last one: {_MESSAGE}. To retry: "
    "kubectl annotate --overwrite -n team-a mljob/churn-eval mljob.dev/retry-requested-at=$(date +%s)"
)
"""The message with which the operator ends a failed MLJob."""


def when(ago: float, now: datetime | None = None) -> str:
    return (
        ((now or datetime.now(UTC)) - timedelta(seconds=ago)).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


def condition(kind: str, status: str, reason: str, message: str = "", ago: float = 60) -> Object:
    return {"type": kind, "status": status, "reason": reason, "message": message, "lastTransitionTime": when(ago)}


def task(name: str, state: str, start: float | None = None, end: float | None = None, **fields: Any) -> Object:
    found: Object = {"taskId": name, "state": state, "tryNumber": 1 if start is not None else 0, **fields}
    if start is not None:
        found["startTime"] = when(start)
    if end is not None:
        found["endTime"] = when(end)
    return found


def run(name: str, namespace: str, dag: str) -> Object:
    run_id = f"mljob.{namespace}.{name}.n3s7nmusm7-1"
    return {
        "observedGeneration": 1,
        "dagId": dag,
        "dagRunId": run_id,
        "dagRunUrl": f"{AIRFLOW}/dags/{dag}/runs/{run_id}",
        "airflowInstance": "prod",
        "attempts": 1,
    }


def put(cluster: ViewCluster, name: str, namespace: str, dag: str, kind: str, status: Object, **spec: Any) -> None:
    created_at = when(status.pop("createdAgo", 300))
    cluster.replace(name, namespace, {"type": kind, "dagId": dag, **spec}, status, created_at, team=namespace)


def graph(dag: str, tasks: Iterable[str], edges: Iterable[tuple[str, str]]) -> Answer:
    found = {
        "apiVersion": "run.mljob.dev/v1alpha1",
        "kind": "RunGraph",
        "dagId": dag,
        "dagRunId": "run",
        "tasks": [{"id": name, "label": name.rpartition(".")[2], "state": "none"} for name in tasks],
        "edges": [{"source": start, "target": end} for start, end in edges],
    }
    return Answer(200, json.dumps(found).encode())


def history(entries: Sequence[Object]) -> Answer:
    lines = [json.dumps(entry) for entry in (*entries, {"kind": "end", "reason": "Complete"})]
    return Answer(200, "".join(f"{line}\n" for line in lines).encode())


def curve(epochs: int, rate: float, begin: float, task_id: str = "fit") -> list[Object]:
    """Return the metrics of a training as entries of the run's history, one entry an epoch."""
    entries = []
    for epoch in range(1, epochs + 1):
        noise = 0.03 * math.sin(epoch * 2.3 + rate * 50)
        metrics = {
            "epoch": epoch,
            "loss": round(1.4 * math.exp(-rate * epoch) + 0.18 + noise, 4),
            "val_loss": round(1.45 * math.exp(-rate * 0.9 * epoch) + 0.24 + noise * 1.5 + 0.002 * epoch, 4),
            "accuracy": round(0.97 - 0.6 * math.exp(-rate * 1.1 * epoch) - noise / 3, 4),
        }
        entries.append(
            {
                "kind": "metrics",
                "source": "Kafka",
                "time": when(begin - epoch * 6),
                "taskId": task_id,
                "tryNumber": 1,
                "metrics": metrics,
            }
        )
    return entries


def changes(tasks: Sequence[Object], queue_seconds: float = 7) -> list[Object]:
    """Return the state changes of ``tasks`` as entries of the run's history."""
    entries = []
    for one in tasks:
        if "startTime" not in one:
            continue
        start = datetime.fromisoformat(one["startTime"])
        common = {"kind": "task", "source": "Kafka", "taskId": one["taskId"], "tryNumber": one["tryNumber"]}
        entries += [
            {**common, "state": "queued", "time": when(queue_seconds, start)},
            {**common, "state": "running", "time": one["startTime"], "startTime": one["startTime"]},
        ]
        if "endTime" in one:
            entries.append(
                {
                    **common,
                    "state": one["state"],
                    "time": one["endTime"],
                    "startTime": one["startTime"],
                    "endTime": one["endTime"],
                }
            )
    return entries


def chain(names: Sequence[str]) -> list[tuple[str, str]]:
    return list(pairwise(names))


def running_training(cluster: ViewCluster) -> None:
    features = ["features.age", "features.region", "features.usage"]
    names = ["load", "validate", *features, "join", "split", "fit", "evaluate", "publish"]
    edges = [("load", "validate"), *(("validate", name) for name in features), *((name, "join") for name in features)]
    edges += [*chain(["join", "split", "fit", "evaluate", "publish"]), ("split", "evaluate")]
    begin = 252
    tasks = [
        task("load", "success", begin, begin - 31),
        task("validate", "success", begin - 36, begin - 48),
        task("features.age", "success", begin - 55, begin - 78),
        task("features.region", "success", begin - 55, begin - 92),
        task("features.usage", "success", begin - 58, begin - 104, mapped={"total": 12, "states": {"success": 12}}),
        task("join", "success", begin - 110, begin - 121),
        task("split", "skipped", begin - 125, begin - 126),
        task("fit", "running", begin - 130, progress=62, metrics={"epoch": 20, "loss": 0.3142, "accuracy": 0.9127}),
        task("evaluate", "none"),
        task("publish", "none"),
    ]
    status = {
        **run("churn-train", "team-a", "train_churn"),
        "createdAgo": begin + 12,
        "phase": "Running",
        "reason": "TaskRunning",
        "message": "Task fit is running (7/10 tasks succeeded).",
        "submitTime": when(begin + 8),
        "startTime": when(begin + 2),
        "progress": "7/10",
        "percent": 76,
        "currentTask": "fit",
        "taskCounts": {"total": 10, "success": 6, "skipped": 1, "running": 1, "none": 2},
        "tasks": tasks,
        "conditions": [condition("Reconciling", "True", "TaskRunning", "Task fit is running (7/10 tasks succeeded).")],
        "lastEventTime": when(2),
    }
    conf = {
        "model_id": "churn",
        "epochs": 40,
        "optimizer": {"name": "adam", "lr": 0.01, "weight_decay": 1e-4},
        "features": ["age", "region", "usage"],
    }
    put(cluster, "churn-train", "team-a", "train_churn", "Training", status, conf=conf, backoffLimit=2)
    cluster.runs["team-a/churn-train/graph"] = lambda _asked: graph("train_churn", names, edges)
    entries = [*changes(tasks), *curve(20, 0.16, begin - 130)]
    cluster.runs["team-a/churn-train/events"] = lambda _asked: history(entries)
    cluster.logs["team-a/churn-train/fit"] = GrowingLog(
        f"[{when(begin - 130)}] INFO - Reading 1,204,551 rows from s3://data/churn/2026-11",
        *(
            f"[{when(begin - 130 - 6 * epoch)}] INFO - epoch {epoch}: loss {1.4 * math.exp(-0.16 * epoch) + 0.18:.4f}"
            for epoch in range(1, 21)
        ),
        "\x1b[33mWARNING\x1b[0m - learning rate reduced, see https://example.com/docs/lr_schedule.",
    )


def failed_scoring(cluster: ViewCluster) -> None:
    names = ["load", "check_columns", "score", "report"]
    tasks = [
        task("load", "success", 400, 372),
        task("check_columns", "success", 366, 360),
        {
            **task("score", "failed", 340, 322, mapped=None),
            "tryNumber": 2,
            "error": {"type": "ValueError", "message": "3 columns are missing: age, region, tenure"},
            "logUrl": f"{AIRFLOW}/dags/score_churn/runs/x/tasks/score",
        },
        task("report", "upstream_failed"),
    ]
    status = {
        **run("churn-eval", "team-a", "score_churn"),
        "createdAgo": 420,
        "phase": "Failed",
        "reason": "BackoffLimitExceeded",
        "message": _FAILED,
        "attempts": 2,
        "startTime": when(404),
        "completionTime": when(320),
        "progress": "2/4",
        "percent": 50,
        "currentTask": "score",
        "taskCounts": {"total": 4, "success": 2, "failed": 1, "upstream_failed": 1},
        "tasks": tasks,
        "history": [
            {
                "attempt": 1, "dagRunId": "mljob.team-a.churn-eval.n3s7nmusm7-1", "phase": "Failed", "reason": "TaskFailed",
                "message": _MESSAGE, "progress": "2/4", "startTime": when(900), "completionTime": when(520),
            }
        ],
        "conditions": [
            condition("Failed", "True", "BackoffLimitExceeded", _FAILED, 320),
            condition("Stalled", "True", "BackoffLimitExceeded", _FAILED, 320),
            condition("Reconciling", "False", "BackoffLimitExceeded", "", 320),
        ],
    }  # fmt: skip
    put(
        cluster,
        "churn-eval",
        "team-a",
        "score_churn",
        "Prediction",
        status,
        conf={"model_id": "churn", "threshold": 0.5},
        backoffLimit=1,
    )
    cluster.runs["team-a/churn-eval/graph"] = lambda _asked: graph("score_churn", names, chain(names))
    first = {**tasks[2], "tryNumber": 1, "startTime": when(358), "endTime": when(348)}
    cluster.runs["team-a/churn-eval/events"] = lambda _asked: history(changes([*tasks[:2], first, tasks[2]], 3))
    cluster.logs["team-a/churn-eval/score"] = GrowingLog(
        f"[{when(340)}] INFO - Model churn 3f9c0a51be77 from s3://models/churn",
        f"[{when(338)}] INFO - Scoring 82,114 rows in batches of 4,096",
        "\x1b[31mTraceback (most recent call last):\x1b[0m",
        '  File "/opt/airflow/dags/score_churn.py", line 58, in score',
        "    predictions = model.predict(batch)",
        '  File "/opt/airflow/lib/churn/model.py", line 131, in predict',
        "    self._require_columns(frame)",
        '  File "/opt/airflow/lib/churn/model.py", line 88, in _require_columns',
        '    raise ValueError(f"{len(missing)} columns are missing: {names}")',
        "\x1b[1;31mValueError\x1b[0m: 3 columns are missing: age, region, tenure",
    )
    cluster.logs["team-a/churn-eval/score"].end()
    events = [
        ("Normal", "Submitted", "Submitted run mljob.team-a.churn-eval.n3s7nmusm7-2 of DAG score_churn.", 404, 1),
        ("Warning", "TaskFailed", _MESSAGE, 322, 2),
        ("Warning", "Failed", _FAILED, 320, 1),
    ]
    uid = cluster.get("churn-eval", "team-a")["metadata"]["uid"]
    cluster.objects["/api/v1/namespaces/team-a/events"] = [
        {
            "metadata": {"name": f"churn-eval.{number}", "namespace": "team-a"}, "type": kind, "reason": reason, "note": text,
            "message": text, "count": count, "lastTimestamp": when(ago), "involvedObject": {"kind": "MLJob", "name": "churn-eval", "uid": uid},
        }
        for number, (kind, reason, text, ago, count) in enumerate(events)
    ]  # fmt: skip


def sweep(cluster: ViewCluster) -> None:
    """Create four MLJobs for the page that compares MLJobs."""
    for number, (rate, batch, accuracy) in enumerate(
        ((0.3, 32, 0.8911), (0.12, 32, 0.9674), (0.22, 64, 0.9833), (0.06, 64, 0.9402))
    ):
        name = f"digits-lr-{number}"
        tasks = [task(one, "success", 4000 - at * 60, 3945 - at * 60) for at, one in enumerate(TRAIN_TASKS)]
        tasks[2]["metrics"] = {"epoch": 30, "loss": round(0.18 + 1.4 * math.exp(-rate * 30), 4), "accuracy": accuracy}
        took = 240 + 31 * number
        status = {
            **run(name, "team-a", "train_model"),
            "createdAgo": 4050 + number,
            "phase": "Succeeded",
            "reason": "Succeeded",
            "message": "All 5 tasks succeeded.",
            "startTime": when(4010),
            "completionTime": when(4010 - took),
            "progress": "5/5",
            "percent": 100,
            "taskCounts": {"total": 5, "success": 5},
            "tasks": tasks,
            "outputs": {
                "accuracy": accuracy,
                "f1": round(accuracy - 0.004, 4),
                "model_id": name,
                "model_path": f"s3://models/{name}/model.joblib",
            },
            "conditions": [condition("Complete", "True", "Succeeded", "All 5 tasks succeeded.", 3700)],
        }
        conf = {
            "model_id": name,
            "epochs": 30,
            "optimizer": {"name": "adam", "lr": round(rate / 10, 3)},
            "batch_size": batch,
            "seed": 7,
        }
        put(cluster, name, "team-a", "train_model", "Training", status, conf=conf)
        cluster.runs[f"team-a/{name}/graph"] = lambda _asked: graph("train_model", TRAIN_TASKS, chain(TRAIN_TASKS))
        entries = [*changes(tasks), *curve(30, rate, 3900)]
        cluster.runs[f"team-a/{name}/events"] = lambda _asked, entries=entries: history(entries)  # type: ignore[misc]


def others(cluster: ViewCluster) -> None:
    paused = "DAG enrich_dataset is paused in Airflow. Unpause the DAG: the run starts by itself."
    put(cluster, "nightly-enrich", "team-b", "enrich_dataset", "Enrichment", {
        "createdAgo": 5400, "observedGeneration": 1, "phase": "Pending", "reason": "DagPaused", "message": paused,
        "conditions": [condition("Reconciling", "True", "DagPaused", paused)],
    })  # fmt: skip
    put(cluster, "forecast-tuned", "team-b", "train_forecast", "Training", {
        "createdAgo": 610, "observedGeneration": 1, "phase": "Pending", "reason": "ConcurrencyLimit",
        "message": "AirflowInstance prod has 20 active runs of 20 (maxActiveRuns). 2 MLJobs are before this one.",
        "conditions": [condition("Reconciling", "True", "ConcurrencyLimit")],
    })  # fmt: skip
    put(cluster, "digits-predict", "team-a", "predict", "Prediction", {
        "createdAgo": 30, "observedGeneration": 1, "phase": "Pending", "reason": "WaitingForMLJob",
        "message": "Waits for the outputs of MLJob churn-train, which is Running.", "conditions": [],
    }, confFrom=[{"outputsRef": {"name": "churn-train"}}])  # fmt: skip
    put(cluster, "images-dataset", "team-c", "generate_dataset", "DatasetGeneration", {
        **run("images-dataset", "team-c", "generate_dataset"), "createdAgo": 3700, "phase": "Running", "reason": "TaskRunning",
        "message": "Task render is running (14/42 tasks succeeded).", "startTime": when(3690), "progress": "14/42", "percent": 33,
        "currentTask": "render", "tasks": [
            task("list", "success", 3690, 3680),
            task("render", "running", 3670, mapped={"total": 40, "states": {"success": 13, "running": 4, "queued": 23}}, progress=32),
        ],
    })  # fmt: skip
    put(cluster, "forecast-nightly", "team-b", "train_forecast", "Training", {
        **run("forecast-nightly", "team-b", "train_forecast"), "createdAgo": 95, "phase": "Cancelling", "reason": "CancelRequested",
        "message": "The run is being cancelled by DAG mljob_cancel.", "startTime": when(80), "progress": "1/6", "percent": 16,
        "currentTask": "fit", "tasks": [task("load", "success", 80, 60), task("fit", "running", 55, metrics={"loss": 0.71})],
    }, cancel=True)  # fmt: skip
    put(cluster, "embeddings-backfill", "team-c", "embed", "Backfill", {
        **run("embeddings-backfill", "team-c", "embed"), "createdAgo": 90000, "phase": "Suspended", "reason": "Suspended",
        "message": "The backfill is paused because spec.suspend is true. 11 of 30 runs have succeeded.", "startTime": when(89000),
        "progress": "11/30", "percent": 36,
    }, suspend=True, backfill={"from": "2026-10-01T00:00:00Z", "to": "2026-10-30T00:00:00Z"})  # fmt: skip
    put(cluster, "pricing-experiment", "team-b", "train_model", "Custom", {
        **run("pricing-experiment", "team-b", "train_model"), "createdAgo": 7200, "phase": "Cancelled", "reason": "CancelRequested",
        "message": "Cancelled, because spec.cancel is true.", "startTime": when(7190), "completionTime": when(7000), "progress": "2/5",
    }, cancel=True)  # fmt: skip
    put(cluster, "ranking-train", "team-c", "train_model", "Training", {
        **run("ranking-train", "team-c", "train_model"), "createdAgo": 15, "phase": "Queued", "reason": "Queued",
        "message": "The run is queued in Airflow.", "progress": "0/5", "percent": 0,
    })  # fmt: skip


def platform(cluster: ViewCluster) -> None:
    ready = [
        condition("Ready", "True", "Ready", "", 9000),
        condition("Healthy", "True", "Healthy", "All components are healthy.", 9000),
        condition("EventsConnected", "True", "Connected", "Events of topic airflow.events.", 9000),
    ]
    late = "Airflow does not answer at http://airflow-api-server.airflow-gpu:8080: connection refused. The operator tries again every 15 seconds."
    cluster.objects["/apis/mljob.dev/v1alpha1/airflowinstances"] = [
        {
            "metadata": {"name": "prod", "uid": "1", "resourceVersion": "1"}, "spec": {"url": "http://airflow", "maxActiveRuns": 20},
            "status": {"version": "3.3.2", "activeRuns": 20, "waitingJobs": 3, "lastProbeTime": when(40), "conditions": ready,
                       "health": {"metadatabase": "healthy", "scheduler": "healthy", "dagProcessor": "healthy", "triggerer": "healthy"}},
        },
        {
            "metadata": {"name": "gpu", "uid": "2", "resourceVersion": "1"}, "spec": {"url": "http://airflow-gpu"},
            "status": {"version": "3.2.0", "activeRuns": 2, "waitingJobs": 0, "lastProbeTime": when(720),
                       "conditions": [condition("Ready", "False", "AirflowUnavailable", late, 700)]},
        },
    ]  # fmt: skip
    report = {
        "monitor": "mljob_monitor", "source": "prod", "at": when(300), "findings": [
            {"kind": "dag_paused", "subject": "enrich_dataset", "severity": "critical", "owners": ["team-b"], "since": when(5400),
             "title": "DAG enrich_dataset is paused, and 1 MLJob waits for it", "detail": "team-b/nightly-enrich has waited for 1 hour 30 minutes."},
            {"kind": "slow_task", "subject": "train_model.fit", "severity": "warning", "owners": ["team-a", "team-b"], "since": when(9000),
             "title": "Task train_model.fit takes 2.4 times as long as it used to", "detail": "The last three runs took 9 to 11 minutes; the median is 4."},
        ],
    }  # fmt: skip
    put(cluster, "monitor-1430", "platform", "mljob_monitor", "Custom", {
        **run("monitor-1430", "platform", "mljob_monitor"), "createdAgo": 320, "phase": "Succeeded", "reason": "Succeeded",
        "message": "All 2 tasks succeeded.", "startTime": when(315), "completionTime": when(300), "progress": "2/2", "percent": 100,
        "outputs": {"report": report},
    })  # fmt: skip


def fill(cluster: ViewCluster) -> None:
    cluster.objects["/api/v1/namespaces"] = [
        {"metadata": {"name": name}} for name in ("default", "platform", "team-a", "team-b", "team-c")
    ]
    sweep(cluster)
    others(cluster)
    platform(cluster)
    failed_scoring(cluster)
    running_training(cluster)
