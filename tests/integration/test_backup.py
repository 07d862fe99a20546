"""MLJobs are saved and restored, as docs/operations/backup.md describes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from mljob_contract.mljob import FINISHED, PLURAL
from mljob_contract.resource import GROUP, VERSION
from tests.conftest import NewInstallation
from tests.live.eventually import eventually
from tests.live.installation import Installation
from tests.live.mljobs import MLJobs
from tests.walk.airflow import FAILS, PUBLISHES, WAITS, WalkAirflow, walk_airflow

Objects = list[dict[str, Any]]
Restore = Callable[[MLJobs, str], None]

SAVED_BY_VELERO = ("name", "namespace", "labels", "annotations")
"""The metadata that Velero keeps when it restores an object."""
POLICIES = ("Once", "OnChange", "OncePerSpec")
ENDED = {f"{dag}-{policy.lower()}": (dag, policy) for dag in (PUBLISHES, FAILS) for policy in POLICIES}


@pytest.fixture(scope="module")
def airflow() -> Iterator[WalkAirflow]:
    with walk_airflow() as airflow:
        yield airflow


@pytest.fixture(scope="module")
def operator(airflow: WalkAirflow, new_installation: NewInstallation) -> Installation:
    return new_installation("backup", **airflow.operator_settings, MLJOB_RESYNC_INTERVAL_SECONDS="1")


@pytest.fixture(scope="module")
def saved(operator: Installation) -> str:
    """The YAML of several MLJobs that have ended."""
    jobs = operator.jobs
    for name, (dag, policy) in ENDED.items():
        jobs.submit(name, dag, runPolicy=policy, conf={"model_id": name})
    eventually(lambda: released(jobs), "all MLJobs have ended", evidence=operator.operator.log_end)
    return jobs.kubectl("get", "mljobs", *ENDED, "--output=yaml")


def released(jobs: MLJobs) -> bool:
    items = [body for body in jobs.kubectl.get("mljobs")["items"] if body["metadata"]["name"] in ENDED]
    return len(items) == len(ENDED) and all(
        body.get("status", {}).get("completionTime") and not body["metadata"].get("finalizers") for body in items
    )


def items(text: str) -> Objects:
    found: Objects = yaml.safe_load(text)["items"]
    return found


def by_apply(jobs: MLJobs, text: str) -> None:
    jobs.kubectl("apply", "--filename=-", stdin=text)


def by_create(jobs: MLJobs, text: str) -> None:
    jobs.kubectl("create", "--filename=-", stdin=text)


def by_velero(jobs: MLJobs, text: str) -> None:
    """Restore MLJobs without their statuses, as Velero does by default."""
    for body in items(text):
        jobs.kubectl("create", "--filename=-", stdin=json.dumps(_without_status(body)))


def by_velero_with_status(jobs: MLJobs, text: str) -> None:
    """Restore MLJobs as Velero does with the option --status-include-resources."""
    for body in items(text):
        jobs.kubectl("create", "--filename=-", stdin=json.dumps(_without_status(body)))
        name, patch = body["metadata"]["name"], json.dumps({"status": body["status"]})
        jobs.kubectl("patch", "mljob", name, "--subresource=status", "--type=merge", f"--patch={patch}")


def _without_status(body: dict[str, Any]) -> dict[str, Any]:
    metadata = {name: body["metadata"][name] for name in SAVED_BY_VELERO if name in body["metadata"]}
    return {"apiVersion": body["apiVersion"], "kind": body["kind"], "metadata": metadata, "spec": body["spec"]}


@pytest.mark.parametrize("operator_runs", [True, False], ids=["beside the operator", "before the operator starts"])
@pytest.mark.parametrize("restore", [by_apply, by_create, by_velero, by_velero_with_status])
def test_restored_mljobs_do_not_run_again(
    operator: Installation,
    airflow: WalkAirflow,
    saved: str,
    restore: Restore,
    *,
    operator_runs: bool,
) -> None:
    jobs, ran = operator.jobs, airflow.run_ids()
    before = {body["metadata"]["name"]: body for body in items(saved)}
    assert all(FINISHED in body["metadata"]["annotations"] for body in before.values())
    jobs.kubectl("delete", "mljobs", "--all")
    if not operator_runs:
        operator.operator.stop()

    restore(jobs, saved)
    if not operator_runs:
        operator.operator.start()

    eventually(lambda: released(jobs), "the operator has looked at all MLJobs", evidence=operator.operator.log_end)
    after = {body["metadata"]["name"]: body for body in jobs.kubectl.get("mljobs")["items"]}
    for name, body in after.items():
        old, new = before[name]["status"], body["status"]
        for field in ("phase", "reason", "message", "dagRunId", "attempts", "completionTime", "outputs", "progress"):
            assert new.get(field) == old.get(field), f"{name}: {field}"
    assert airflow.run_ids() == ran


def test_an_mljob_in_progress_is_followed_after_its_status_was_restored(
    operator: Installation, airflow: WalkAirflow
) -> None:
    jobs = operator.jobs
    jobs.submit("long", WAITS)
    body = jobs.until_phase("long", "Running")
    before = jobs.get("long")
    operator.operator.stop()
    jobs.kubectl("patch", "mljob", "long", "--type=merge", '--patch={"metadata": {"finalizers": null}}')
    jobs.kubectl("delete", "mljob", "long")

    by_velero_with_status(jobs, yaml.safe_dump({"items": [before]}))
    operator.operator.start()

    jobs.kubectl("patch", "mljob", "long", "--type=merge", '--patch={"spec": {"cancel": true}}')
    ended = jobs.until_phase("long", "Cancelled")
    assert ended["dagRunId"] == body["dagRunId"]
    assert len([run for run in airflow.run_ids() if run.startswith("backup.") and ".long." in run]) == 1


def test_the_api_server_drops_the_status_of_a_created_mljob(operator: Installation, saved: str) -> None:
    body = items(saved)[0]
    path = f"/apis/{GROUP}/{VERSION}/namespaces/{operator.jobs.namespace}/{PLURAL}"
    body["metadata"] = {"name": "copied"}
    answer = operator.jobs.kubectl("create", f"--raw={path}?dryRun=All", "--filename=-", stdin=json.dumps(body))

    # For this reason, the operator also writes the annotation FINISHED.
    assert "phase" not in json.loads(answer)["status"]
