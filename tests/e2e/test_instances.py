"""Several AirflowInstances at once. All lead to the same real Airflow, each through its own proxy,
so the operator sees each run through every AirflowInstance.
"""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

import pytest
import yaml
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from devstack.stack import DEFAULT_TOPIC, Stack
from tests.conftest import NewInstallation
from tests.live.airflow import AirflowRest
from tests.live.airflow_instances import CREDENTIALS, WAIT, Platform, in_instance
from tests.live.eventually import eventually
from tests.live.installation import Installation
from tests.live.kubectl import Kubectl
from tests.live.mljobs import MLJobs, Object, condition, holds

log = logging.getLogger(__name__)

SILENT_TOPIC = "instances.events"
"""A topic to which Airflow does not write."""
ACTIVE = {"queued", "running"}
EXAMPLE = Path(__file__).parents[2] / "examples" / "airflow" / "airflowinstance.yaml"


@pytest.fixture(scope="module")
def instances(new_installation: NewInstallation, stack: Stack) -> Installation:
    admin = AdminClient({"bootstrap.servers": stack.env["KAFKA_BOOTSTRAP_SERVERS"]})
    [made] = admin.create_topics([NewTopic(SILENT_TOPIC, num_partitions=1, replication_factor=1)]).values()
    assert made.exception() is None or "TOPIC_ALREADY_EXISTS" in str(made.exception())
    return new_installation(
        "instances", MLJOB_AIRFLOW_INSTANCES="true", MLJOB_AIRFLOW_URL="", MLJOB_EVENTS_TOPIC=SILENT_TOPIC
    )


@pytest.fixture(scope="module")
def jobs(instances: Installation) -> MLJobs:
    return instances.jobs


def time_to_finish(jobs: MLJobs, *objects: Object) -> float:
    started = time.monotonic()
    jobs.apply(*objects)
    ended = jobs.until_finished(*(found["metadata"]["name"] for found in objects))
    assert {found["status"]["phase"] for found in ended.values()} == {"Succeeded"}
    return time.monotonic() - started


def test_mljob_waits_until_the_annotation_marks_a_default_instance(platform: Platform, jobs: MLJobs) -> None:
    jobs.submit("homeless", WAIT, {"seconds": 0})
    status = jobs.until(
        "homeless", lambda status: status.get("reason") == "NoDefaultAirflow", "says that there is no Airflow"
    )
    assert "spec.airflowRef" in status["message"]
    platform.make("first", default=True)
    status = jobs.until_finished("homeless")["homeless"]["status"]
    assert (status["phase"], status["airflowInstance"]) == ("Succeeded", platform.name("first"))


def test_instance_reports_its_state(platform: Platform, instances: Installation) -> None:
    platform.until("first", "Ready")
    status = platform.get("first")["status"]
    assert status["version"].startswith("3.")
    assert status["health"]["scheduler"] == "healthy"
    assert holds(status, "Healthy")
    assert holds(status, "DefaultInstance")
    header, *rows = platform.listed()
    assert header == ["NAME", "URL", "VERSION", "READY", "REASON", "ACTIVE", "AGE"]
    (row,) = [row for row in rows if row[0] == platform.name("first")]
    assert row[2:5] == [status["version"], "True", "Ready"]
    eventually(lambda: "Ready" in platform.events("first"), "an Event tells that it is ready")
    eventually(lambda: platform.get("first")["status"]["activeRuns"] == 0, "it has no run any more")

    def looked() -> float:
        probe = ("mljob_airflow_request_seconds_count", platform.name("first"), "probe", "ok")
        return instances.operator.metrics()[probe]

    version, before = platform.get("first")["metadata"]["resourceVersion"], looked()
    eventually(lambda: looked() >= before + 2, "it is looked after twice more")
    assert platform.get("first")["metadata"]["resourceVersion"] == version


def test_instance_that_hangs_does_not_slow_down_another(platform: Platform, jobs: MLJobs) -> None:
    stuck = platform.make("stuck")
    platform.make("quick")
    platform.until("stuck", "Ready")
    platform.until("quick", "Ready")
    jobs.apply(in_instance(platform, "stuck", "under-way", 600))
    jobs.until_phase("under-way", "Queued", "Running")
    usual = time_to_finish(jobs, *(in_instance(platform, "quick", f"usual-{number}") for number in range(3)))

    stuck.hold()
    jobs.apply(*(in_instance(platform, "stuck", f"behind-{number}") for number in range(10)))
    beside = time_to_finish(jobs, *(in_instance(platform, "quick", f"beside-{number}") for number in range(3)))

    # Queued behind the other Airflow's requests, these MLJobs would wait for ten timeouts of 15 s.
    assert beside < 4 * usual + 15, f"{beside:.1f} s beside one that hangs, {usual:.1f} s before"
    log.info("3 MLJobs took %.1f s, and %.1f s beside an Airflow that hangs", usual, beside)
    platform.until("stuck", "Unreachable")
    assert (condition(platform.get("quick")["status"], "Ready") or {})["reason"] == "Ready"
    waiting = jobs.until(
        "behind-0", lambda status: status.get("reason") == "AirflowInstanceNotReady", "says that it waits"
    )
    assert "did not answer" in waiting["message"]

    stuck.mend()
    platform.until("stuck", "Ready")
    ended = jobs.until_finished(*(f"behind-{number}" for number in range(10)))
    assert {found["status"]["phase"] for found in ended.values()} == {"Succeeded"}
    assert jobs.status("under-way")["airflowInstance"] == platform.name("stuck")


def test_instance_that_is_cut_off_is_not_ready_until_it_is_back(platform: Platform) -> None:
    way = platform.make("cut")
    platform.until("cut", "Ready")
    way.cut()
    platform.until("cut", "Unreachable", within=40)
    way.mend()
    platform.until("cut", "Ready", within=40)
    eventually(lambda: {"Ready", "Unreachable"} <= set(platform.events("cut")), "Events tell of both")


def test_rotated_secret_takes_effect_without_a_restart(
    platform: Platform, jobs: MLJobs, instances: Installation
) -> None:
    platform.make("locked", password="not-the-password")
    platform.until("locked", "Unauthorized")
    jobs.apply(in_instance(platform, "locked", "patient"))
    jobs.until("patient", lambda status: status.get("reason") == "AirflowInstanceNotReady", "waits")
    platform.secret("locked")
    assert jobs.until_finished("patient", within=60)["patient"]["status"]["phase"] == "Succeeded"
    assert instances.operator.runs
    assert not [line for line in instances.operator.log() if "not-the-password" in line]


def test_refusal_names_the_missing_access_rule(platform: Platform, jobs: MLJobs, kubectl: Kubectl) -> None:
    rule = {"namespaceSelector": {"matchLabels": {"team": "churn"}}, "dags": ["attempts_*"]}
    platform.make("closed", access=[rule])
    platform.until("closed", "Ready")
    jobs.apply(in_instance(platform, "closed", "stranger"), in_instance(platform, "closed", "stranger-2"))
    status = jobs.until("stranger", lambda status: status.get("reason") == "ValidationFailed", "is refused")
    jobs.until("stranger-2", lambda status: status.get("reason") == "ValidationFailed", "is refused")
    assert holds(status, "Stalled")
    assert f"kubernetes.io/metadata.name={jobs.namespace}" in status["message"]
    assert "'attempts_wait'" in status["message"]
    missing = yaml.safe_load(status["message"].partition("spec.access: ")[2])

    patch = json.dumps({"spec": {"access": [rule, missing]}})
    kubectl("patch", "airflowinstance", platform.name("closed"), "--type=merge", "--patch", patch)
    assert jobs.until_finished("stranger")["stranger"]["status"]["phase"] == "Succeeded"

    patch = json.dumps({"spec": {"access": [rule]}})
    kubectl("patch", "airflowinstance", platform.name("closed"), "--type=merge", "--patch", patch)
    jobs.apply(in_instance(platform, "closed", "stranger-3"))
    jobs.until("stranger-3", lambda status: status.get("reason") == "ValidationFailed", "is refused")
    kubectl("label", "namespace", jobs.namespace, "team=churn")
    assert jobs.until_finished("stranger-3")["stranger-3"]["status"]["phase"] == "Succeeded"


def test_events_count_only_for_the_instance_of_their_topic_and_source(
    platform: Platform, jobs: MLJobs, instances: Installation
) -> None:
    # No event of this Airflow has the source of the AirflowInstance `deaf`.
    platform.make("deaf", kafka={"topic": DEFAULT_TOPIC, "source": "nobody"})
    platform.make("hears", kafka={"topic": DEFAULT_TOPIC})
    platform.until("deaf", "Ready")
    platform.until("hears", "Ready")
    eventually(
        lambda: [found for found in instances.operator.records() if f"reading {DEFAULT_TOPIC}/" in found["message"]],
        "the operator reads the instances' topic",
    )
    with jobs.watch() as watch:
        jobs.apply(in_instance(platform, "deaf", "deaf", 3), in_instance(platform, "hears", "hears", 3))
        jobs.until_finished("deaf", "hears")
        eventually(lambda: watch.statuses("hears")[-1].get("phase") == "Succeeded", "the watch has seen its end")
        eventually(lambda: watch.statuses("deaf")[-1].get("phase") == "Succeeded", "the watch has seen its end")
    sources = {
        name: {status["statusSource"] for status in watch.statuses(name) if "statusSource" in status}
        for name in ("deaf", "hears")
    }
    assert sources["deaf"] == {"REST"}
    assert "Kafka" in sources["hears"]


def test_edited_airflow_ref_submits_a_new_run_and_cancels_the_old_one(
    platform: Platform, jobs: MLJobs, instances: Installation, airflow: AirflowRest
) -> None:
    platform.make("old-home")
    platform.make("new-home")
    jobs.apply(in_instance(platform, "old-home", "moves", 600, runPolicy="OnChange"))
    old = jobs.until_phase("moves", "Queued", "Running")
    jobs.apply(in_instance(platform, "new-home", "moves", 600, runPolicy="OnChange"))
    new = jobs.until(
        "moves", lambda status: status.get("attempts") == 2 and status.get("submitTime"), "is in the other one"
    )
    assert new["airflowInstance"] == platform.name("new-home")
    assert new["history"][0]["airflowInstance"] == platform.name("old-home")
    assert airflow.ended(old["dagId"], old["dagRunId"])["state"] == "failed"
    assert len(airflow.runs(instances.run_prefix("moves"))) == 2


def test_instance_in_use_is_deleted_when_its_runs_have_ended(platform: Platform, jobs: MLJobs) -> None:
    platform.make("leaving")
    platform.until("leaving", "Ready")
    jobs.apply(in_instance(platform, "leaving", "last", 600))
    jobs.until_phase("last", "Queued", "Running")
    platform.delete("leaving")
    said = platform.until("leaving", "Deleting")
    assert f"{jobs.namespace}/last" in said["message"]
    jobs.kubectl("delete", "mljob", "last")
    eventually(lambda: not platform.exists("leaving"), "it is gone")


def test_example_instance_is_accepted(kubectl: Kubectl) -> None:
    said = kubectl.within(CREDENTIALS)("apply", "--dry-run=server", "--validate=strict", f"--filename={EXAMPLE}")
    assert "airflowinstance.mljob.dev/example" in said


def test_active_runs_never_exceed_the_limit_even_after_a_crash(
    platform: Platform, jobs: MLJobs, instances: Installation, airflow: AirflowRest
) -> None:
    platform.make("narrow", maxActiveRuns=2)
    platform.until("narrow", "Ready")
    names = [f"narrow-{number}" for number in range(5)]
    prefix = f"{instances.operator.prefix}.{jobs.namespace}.narrow-"
    for name in names:
        jobs.apply(in_instance(platform, "narrow", name, 6))
    most, crashed = 0, False

    def ended() -> bool:
        nonlocal most, crashed
        runs = airflow.runs(prefix)
        most = max(most, sum(run["state"] in ACTIVE for run in runs))
        assert most <= 2, runs
        if len(runs) >= 3 and not crashed:
            crashed = True
            instances.operator.kill()
            instances.operator.start()
        return len(runs) == 5 and not any(run["state"] in ACTIVE for run in runs)

    jobs.until(names[-1], lambda status: status.get("reason") == "ConcurrencyLimit", "waits for a place")
    eventually(ended, "all five have run", within=240, evidence=lambda: jobs.evidence(*names))
    assert (most, crashed) == (2, True)
    finished = jobs.until_finished(*names)
    assert {found["status"]["phase"] for found in finished.values()} == {"Succeeded"}
    began = [run["dag_run_id"].split(".")[2] for run in sorted(airflow.runs(prefix), key=lambda run: run["queued_at"])]
    # Two runs that are submitted at the same time may reach Airflow in either order.
    assert all(abs(began.index(name) - names.index(name)) < 2 for name in names), began
