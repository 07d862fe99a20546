from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.conftest import NewInstallation
from tests.live.airflow import AirflowRest
from tests.live.eventually import eventually
from tests.live.installation import Installation
from tests.live.mljobs import MLJobs, Object, holds, manifest

ACTIVE = {"queued", "running"}
FIRST_DAY = "2026-01-01T00:00:00Z"


def backfill(name: str, dag_id: str, days: int, conf: Object | None = None, **spec: Any) -> Object:
    """Return the manifest of a backfill of ``days`` days from 1 January 2026. If a day
    already has a finished run, Airflow runs the day again.
    """
    wanted = {"from": FIRST_DAY, "to": f"2026-01-{days:02}T00:00:00Z", "reprocessBehavior": "Completed"}
    wanted |= spec.pop("backfill", {})
    return manifest(name, dag_id, conf, type="Backfill", backfill=wanted, **spec)


def runs_of(airflow: AirflowRest, dag_id: str) -> dict[str, Object]:
    rows = airflow.get(f"/dags/{dag_id}/dagRuns", limit=100)["dag_runs"]
    return {row["logical_date"][:10]: row for row in rows}


def ended_runs_of(airflow: AirflowRest, dag_id: str) -> dict[str, Object]:
    return {day: airflow.ended(dag_id, run["dag_run_id"]) for day, run in runs_of(airflow, dag_id).items()}


def backfills_of(airflow: AirflowRest, status: Object) -> list[Object]:
    found = airflow.get("/backfills", dag_id=status["dagId"], order_by="id")["backfills"]
    return [row for row in found if row["dag_run_conf"].get("mljob", {}).get("id") == status["dagRunId"]]


def edit(jobs: MLJobs, name: str, **spec: Any) -> None:
    jobs.kubectl("patch", "mljob", name, "--type=merge", "--patch", json.dumps({"spec": spec}))


@pytest.fixture(scope="module")
def jobs(with_kafka: Installation) -> Iterator[MLJobs]:
    yield with_kafka.jobs
    names = [name for name, job in with_kafka.jobs.all().items() if job["spec"].get("type") == "Backfill"]
    with_kafka.jobs.kubectl("delete", "mljobs", "--wait=false", "--ignore-not-found", *names)
    with_kafka.jobs.until_gone(*names)


def test_status_counts_the_ended_runs_of_a_backfill(jobs: MLJobs, airflow: AirflowRest) -> None:
    with jobs.watch() as watch:
        # One run at a time, because a single status reports two runs that end at the same moment.
        jobs.apply(backfill("followed", "backfill_followed", 6, {"seconds": 1}, backfill={"maxActiveRuns": 1}))
        status = jobs.until_finished("followed")["followed"]["status"]
        eventually(lambda: watch.statuses("followed")[-1].get("phase") == "Succeeded", "the watch has seen its end")
        seen = watch.statuses("followed")

    assert (status["phase"], status["progress"], status["percent"]) == ("Succeeded", "6/6", 100)
    assert holds(status, "Complete")
    assert status["backfill"]["runs"] == {
        "total": 6,
        "queued": 0,
        "running": 0,
        "success": 6,
        "failed": 0,
        "notCreated": 0,
    }
    assert {f"{done}/6" for done in range(7)} <= {found.get("progress") for found in seen}
    phases = [found["phase"] for found in seen if "phase" in found]
    assert phases == sorted(phases, key=["Pending", "Queued", "Running", "Succeeded"].index), phases
    assert max(found["backfill"]["runs"]["running"] for found in seen if "backfill" in found) == 1
    marker = {"id": status["dagRunId"], "attempt": 1}
    january = {
        day: run for day, run in ended_runs_of(airflow, "backfill_followed").items() if day.startswith("2026-01")
    }
    assert {day: (run["state"], run["conf"]) for day, run in january.items()} == {
        f"2026-01-0{day}": ("success", {"seconds": 1, "mljob": marker}) for day in range(1, 7)
    }
    reasons = jobs.until_told("followed", "Submitted", "Succeeded")
    assert [reasons.count(reason) for reason in ("Submitted", "Succeeded")] == [1, 1]
    # The Event Running is left out while the Kubernetes API server is busy.
    assert reasons.count("Running") <= 1


def test_ended_run_is_soon_in_the_status(jobs: MLJobs, airflow: AirflowRest) -> None:
    february = {"from": "2026-02-01T00:00:00Z", "to": "2026-02-05T00:00:00Z", "maxActiveRuns": 1}
    with jobs.watch() as watch:
        jobs.apply(backfill("prompt", "backfill_followed", 5, {"seconds": 1}, backfill=february))
        told: dict[int, float] = {}

        def look() -> bool:
            for found in watch.statuses("prompt"):
                done = int((found.get("progress") or "0/5").split("/")[0])
                told.setdefault(done, time.time())
            return 5 in told

        eventually(look, "all runs are done", within=240, evidence=lambda: jobs.evidence("prompt"))
    ends = sorted(
        datetime.fromisoformat(run["end_date"]).timestamp()
        for day, run in runs_of(airflow, "backfill_followed").items()
        if day.startswith("2026-02")
    )
    late = [told[done] - at for done, at in enumerate(ends, start=1) if done in told]
    print("seconds from a run's end to the status:", late)  # noqa: T201
    assert sorted(late)[len(late) // 2] < 2, late


def test_failed_runs_are_named_and_retried(jobs: MLJobs, airflow: AirflowRest) -> None:
    conf = {"fail": ["2026-01-02", "2026-01-04"]}
    jobs.apply(backfill("retried", "backfill_retried", 4, conf, backoffLimit=1))

    waiting = jobs.until("retried", lambda status: status.get("reason") == "RetryBackoff", "its first attempt failed")
    assert "2 of 4 runs failed: 2026-01-02 and 2026-01-04." in waiting["message"]
    assert [run["logicalDate"][:10] for run in waiting["backfill"]["failedRuns"]] == conf["fail"]

    status = jobs.until_finished("retried")["retried"]["status"]
    assert (status["phase"], status["attempts"], status["progress"]) == ("Succeeded", 2, "4/4")
    assert {run["state"] for run in ended_runs_of(airflow, "backfill_retried").values()} == {"success"}
    assert [row["reprocess_behavior"] for row in backfills_of(airflow, status)] == ["completed", "failed"]
    attempts = {day: run["conf"]["mljob"]["attempt"] for day, run in runs_of(airflow, "backfill_retried").items()}
    assert attempts == {"2026-01-01": 1, "2026-01-02": 2, "2026-01-03": 1, "2026-01-04": 2}
    assert jobs.until_told("retried", "RunFailed", "RunFailed").count("RunFailed") == 2


def test_suspending_pauses_the_backfill_and_resuming_continues_it(jobs: MLJobs, airflow: AirflowRest) -> None:
    jobs.apply(backfill("paused", "backfill_paused", 4, {"seconds": 2}, backfill={"maxActiveRuns": 1}))
    jobs.until("paused", lambda status: status.get("progress") == "1/4", "one run is done")

    edit(jobs, "paused", suspend=True)

    status = jobs.until_phase("paused", "Suspended")
    assert holds(status, "Suspended")
    assert [found["is_paused"] for found in backfills_of(airflow, status)] == [True]
    status = jobs.until(
        "paused", lambda status: status["backfill"]["runs"]["running"] == 0, "what was in progress has ended"
    )
    done = status["backfill"]["runs"]["success"]
    assert done < 4

    edit(jobs, "paused", suspend=False)

    status = jobs.until_finished("paused")["paused"]["status"]
    assert (status["phase"], status["attempts"], status["progress"]) == ("Succeeded", 1, "4/4")
    assert len(backfills_of(airflow, status)) == 1
    reasons = jobs.until_told("paused", "Submitted", "Suspended", "Resumed")
    assert [reasons.count(reason) for reason in ("Submitted", "Suspended", "Resumed")] == [1, 1, 1]


def test_deletion_returns_when_the_runs_have_ended(jobs: MLJobs, airflow: AirflowRest) -> None:
    jobs.apply(backfill("deleted", "backfill_deleted", 20, {"seconds": 300}, backfill={"maxActiveRuns": 3}))
    status = jobs.until(
        "deleted", lambda status: status.get("backfill", {}).get("runs", {}).get("running") == 3, "three run"
    )

    jobs.kubectl("delete", "mljob", "deleted", "--timeout=60s")

    assert {run["state"] for run in ended_runs_of(airflow, "backfill_deleted").values()} == {"failed"}
    assert all(found["completed_at"] for found in backfills_of(airflow, status))


def test_backfill_waits_for_another_backfill_of_the_same_dag(jobs: MLJobs, airflow: AirflowRest) -> None:
    jobs.apply(backfill("ahead", "backfill_contended", 2, {"seconds": 3}))
    jobs.until("ahead", lambda status: "backfill" in status, "it is made")

    jobs.apply(backfill("behind", "backfill_contended", 2))

    status = jobs.until("behind", lambda status: status.get("reason") == "BackfillActive", "it waits")
    assert status["phase"] == "Pending"
    assert "another backfill in progress, of MLJob ahead" in status["message"]
    found = jobs.until_finished("ahead", "behind")
    assert {job["status"]["phase"] for job in found.values()} == {"Succeeded"}
    assert [len(backfills_of(airflow, job["status"])) for job in found.values()] == [1, 1]


def test_operator_killed_during_a_creation_does_not_create_a_second_backfill(
    installation: NewInstallation, airflow: AirflowRest
) -> None:
    killed = installation("backfill-killed")
    killed.jobs.apply(backfill("killed", "backfill_killed", 30, {"seconds": 1}, backfill={"maxActiveRuns": 10}))
    killed.jobs.until("killed", lambda status: "dagRunId" in status, "it is announced")
    killed.operator.kill()
    killed.operator.start()

    status = killed.jobs.until_finished("killed", within=400)["killed"]["status"]

    assert (status["phase"], status["progress"]) == ("Succeeded", "30/30")
    assert len(backfills_of(airflow, status)) == 1


@pytest.mark.oldest_airflow
def test_backfill_is_refused_if_airflow_cannot_tell_backfills_apart(jobs: MLJobs, airflow: AirflowRest) -> None:
    jobs.apply(backfill("refused", "backfill_followed", 2))

    status = jobs.until("refused", lambda status: status.get("reason") == "AirflowUnsupported", "it is refused")

    version = airflow.get("/version")["version"]
    assert status["phase"] == "Pending"
    assert status["message"].startswith("MLJobs of type Backfill need Airflow 3.2 or later; Airflow at ")
    assert f" is version {version}. " in status["message"]
    jobs.until_told("refused", "AirflowUnsupported")
    assert airflow.get("/backfills", dag_id="backfill_followed")["backfills"] == []


def test_backfill_is_followed_without_kafka(rest_only: Installation, airflow: AirflowRest) -> None:
    rest_only.jobs.apply(backfill("rest-only", "backfill_rest_only", 3, {"seconds": 1, "fail": ["2026-01-02"]}))

    status = rest_only.jobs.until_finished("rest-only")["rest-only"]["status"]

    assert (status["phase"], status["reason"], status["progress"]) == ("Failed", "BackfillRunsFailed", "2/3")
    failure, _, command = status["message"].partition(" To retry: ")
    assert failure == "1 of 3 runs failed: 2026-01-02."
    assert command.startswith("kubectl annotate --overwrite ")
    states = {day: run["state"] for day, run in ended_runs_of(airflow, "backfill_rest_only").items()}
    assert states == {"2026-01-01": "success", "2026-01-02": "failed", "2026-01-03": "success"}
