"""MLJobs are not harmed by forged events, by child runs that have the run id of the MLJob's run, or
by another MLJob whose conf is nested too deeply. With ``MLJOB_ORPHANED_RUNS=Cancel``, the
operator cancels a run whose MLJob no longer exists.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from devstack.stack import Stack
from tests.conftest import NewInstallation
from tests.e2e.parity import differences
from tests.live.airflow import AirflowRest
from tests.live.airflow_instances import CREDENTIALS
from tests.live.eventually import eventually
from tests.live.installation import Installation
from tests.live.kubectl import Kubectl
from tests.live.mljobs import MLJobs, Object, holds, manifest

LONG = "parity_long_running"
WAIT = "attempts_wait"


class Forger:
    """An attacker who may write to the topic of the events."""

    def __init__(self, stack: Stack) -> None:
        self._producer = Producer({"bootstrap.servers": stack.env["KAFKA_BOOTSTRAP_SERVERS"]})
        self._topic = stack.env["MLJOB_EVENTS_TOPIC"]

    def tell(self, status: Object, event: str, **fields: Any) -> None:
        """Send a false event about the run in ``status``, the status of an MLJob. The event has the
        format of ``kafka_event_producer``, Airflow's own producer of events. ``fields`` are added
        to the event, or replace its fields.
        """
        message = {
            "schema_version": 1,
            "source": "devstack",
            "event": event,
            "timestamp": datetime.now(UTC).isoformat(),
            "dag_id": status["dagId"],
            "run_id": status["dagRunId"],
            **fields,
        }
        key = f"{status['dagId']}/{status['dagRunId']}".encode()
        self._producer.produce(self._topic, json.dumps(message).encode(), key)
        assert self._producer.flush(30) == 0

    def tell_until(self, count: Callable[[], float], status: Object, event: str, **fields: Any) -> None:
        # An operator that has just joined its consumer group reads only later messages.
        before = count()

        def counted() -> bool:
            self.tell(status, event, **fields)
            return count() > before

        eventually(counted, f"the operator counts {event}")


@pytest.fixture(scope="module")
def forger(stack: Stack) -> Forger:
    return Forger(stack)


def read_by(installation: Installation) -> float:
    return sum(value for key, value in installation.operator.metrics().items() if key[0] == "mljob_events_total")


FORGERIES = [(event, dag_id) for event in ("dag_run.success", "dag_run.failed") for dag_id in (None, "some_other_dag")]
"""Pairs of a forged end and the DAG id in its event. None means the DAG of the run."""


def victim(event: str, dag_id: str | None) -> str:
    return f"forged-{event.rpartition('.')[2]}-{'own' if dag_id is None else 'other'}"


@pytest.fixture(scope="module")
def victims(with_kafka: Installation) -> dict[str, Object]:
    """The statuses of running MLJobs, by the MLJob's name. There is one MLJob for each forged event
    in ``FORGERIES``.
    """
    jobs, names = with_kafka.jobs, [victim(*forgery) for forgery in FORGERIES]
    for name in names:
        jobs.submit(name, WAIT, {"seconds": 600}, backoffLimit=1, cancellation={"strategy": "Api"})
    return {name: jobs.until_phase(name, "Running") for name in names}


@pytest.fixture(scope="module")
def orphan(new_installation: NewInstallation, airflow: AirflowRest) -> tuple[Installation, str]:
    """An operator that cancels orphaned runs, and the id of an active run whose MLJob was deleted
    while the operator did not run.
    """
    orphans = new_installation("orphans", MLJOB_ORPHANED_RUNS="Cancel")
    orphans.jobs.submit("gone", LONG)
    run_id = orphans.jobs.until_phase("gone", "Running")["dagRunId"]
    orphans.operator.kill()
    orphans.jobs.kubectl("patch", "mljob", "gone", "--type=merge", '--patch={"metadata": {"finalizers": null}}')
    orphans.jobs.kubectl("delete", "mljob", "gone", "--timeout=60s")
    run = airflow.run(LONG, run_id)
    assert run is not None
    assert run["state"] == "running"
    orphans.operator.start()
    return orphans, run_id


# The operator cancels an orphaned run after two relists, which are a minute apart. The fixture comes
# before the other tests of this file, so that the last test hardly waits.
@pytest.mark.usefixtures("orphan")
@pytest.mark.parametrize(("event", "dag_id"), FORGERIES, ids=[victim(*forgery) for forgery in FORGERIES])
def test_forged_end_does_not_end_the_mljob(
    event: str,
    dag_id: str | None,
    with_kafka: Installation,
    victims: dict[str, Object],
    forger: Forger,
    airflow: AirflowRest,
) -> None:
    jobs, name = with_kafka.jobs, victim(event, dag_id)
    status = victims[name]
    forged = {} if dag_id is None else {"dag_id": dag_id}

    forger.tell_until(lambda: read_by(with_kafka), status, event, **forged)

    looks = with_kafka.operator.requests().get("changed_runs", 0)
    eventually(lambda: with_kafka.operator.requests().get("changed_runs", 0) >= looks + 3, "it has asked Airflow since")
    job = jobs.get(name)
    assert (job["status"]["phase"], job["status"]["attempts"]) == ("Running", 1)
    assert job["metadata"]["finalizers"]
    assert [run["state"] for run in airflow.runs(with_kafka.run_prefix(name))] == ["running"]

    jobs.kubectl("delete", "mljob", name, "--timeout=150s", timeout=180)
    assert airflow.ended(WAIT, status["dagRunId"])["state"] == "failed"


@pytest.mark.disruptive  # other tests assert that they have read no such message
@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("odd-try", {"try_number": 2**70}),
        ("odd-year", {"try_number": 1, "timestamp": "9999-12-31T23:59:59+00:00"}),
    ],
)
def test_impossible_event_is_counted_as_unreadable_and_later_events_are_read(
    name: str,
    fields: dict[str, Any],
    installation: NewInstallation,
    forger: Forger,
    airflow: AirflowRest,
    tmp_path: Path,
) -> None:
    reader, wake = installation(name), tmp_path / "wake"
    reader.jobs.submit("job", LONG, {"wake_file": str(wake), "seconds": 120})
    status = reader.jobs.until_phase("job", "Running")

    unreadable = ("mljob_events_total", "unreadable")

    forger.tell_until(
        lambda: reader.operator.metrics().get(unreadable, 0),
        status,
        "task_instance.running",
        task_id="sleeps",
        map_index=-1,
        **fields,
    )
    wake.touch()

    ended = reader.jobs.until_finished("job")["job"]["status"]
    assert ended["phase"] == "Succeeded"
    assert not differences(ended, airflow)
    reader.jobs.kubectl("delete", "mljob", "job", "--timeout=60s")


@dataclass
class Parent:
    """An MLJob whose run has triggered a child run with the same run id.

    Attributes:
        run_id: The id of both runs.
        child_state: The last state of the child run.
        phase: The MLJob's phase right after the end of the child run.
    """

    jobs: MLJobs
    name: str
    run_id: str = ""
    child_state: str = ""
    phase: str = ""


@pytest.fixture(scope="module")
def parents(with_kafka: Installation, rest_only: Installation, airflow: AirflowRest) -> dict[tuple[str, str], Parent]:
    """MLJobs whose child runs have ended while the MLJobs' own runs continue. A key is a pair: the
    fixture that installs the operator (``with_kafka`` or ``rest_only``), and the outcome of the
    child run (``succeeds`` or ``fails``).
    """
    found = {
        (source, outcome): Parent(installation.jobs, f"parent-of-one-that-{outcome}")
        for source, installation in (("with_kafka", with_kafka), ("rest_only", rest_only))
        for outcome in ("succeeds", "fails")
    }
    for (_, outcome), parent in found.items():
        parent.jobs.submit(parent.name, "trust_parent", {"child_fails": outcome == "fails"}, backoffLimit=1)
    for parent in found.values():
        parent.run_id = parent.jobs.until_phase(parent.name, "Running")["dagRunId"]
        eventually(lambda run_id=parent.run_id: airflow.run("trust_child", run_id), "the child is there")  # type: ignore[misc]
        parent.child_state = airflow.ended("trust_child", parent.run_id)["state"]
        parent.phase = parent.jobs.status(parent.name)["phase"]
    return found


@pytest.mark.parametrize("outcome", ["succeeds", "fails"])
@pytest.mark.parametrize("source", ["with_kafka", "rest_only"])
def test_child_run_with_the_same_run_id_changes_nothing(
    source: str, outcome: str, parents: dict[tuple[str, str], Parent]
) -> None:
    parent = parents[source, outcome]
    assert (parent.child_state, parent.phase) == ("failed" if outcome == "fails" else "success", "Running")

    status = parent.jobs.until_finished(parent.name)[parent.name]["status"]

    assert (status["phase"], status["attempts"]) == ("Succeeded", 1)
    assert (status["dagId"], status["dagRunId"]) == ("trust_parent", parent.run_id)
    assert {task["taskId"] for task in status["tasks"]} == {"trigger", "train"}


def test_conf_that_is_nested_too_deeply_is_refused_and_affects_no_other_mljob(installation: NewInstallation) -> None:
    deep = installation("deep")
    conf: dict[str, Any] = {}
    for _ in range(300):
        conf = {"a": conf}
    deep.jobs.submit("deep", WAIT, {"seconds": 0} | conf)

    status = deep.jobs.until("deep", lambda status: status.get("reason") == "ValidationFailed", "is refused")
    assert holds(status, "Stalled")
    assert "spec.conf" in status["message"]
    assert "32" in status["message"]

    deep.operator.stop()
    deep.operator.start()
    deep.jobs.submit("beside", WAIT, {"seconds": 0})
    assert deep.jobs.until_finished("beside")["beside"]["status"]["phase"] == "Succeeded"
    assert not [record for record in deep.operator.records() if "unexpected error" in record["message"]]
    deep.jobs.apply(manifest("deep", WAIT, {"seconds": 0}))
    assert deep.jobs.until_finished("deep")["deep"]["status"]["phase"] == "Succeeded"


def test_run_without_its_mljob_is_found_and_cancelled(
    orphan: tuple[Installation, str], airflow: AirflowRest, kubectl: Kubectl
) -> None:
    orphans, run_id = orphan
    assert airflow.ended(LONG, run_id)["state"] == "failed"

    def told() -> list[str]:
        events = json.loads(
            kubectl.within(CREDENTIALS)("get", "events", "--field-selector=reason=OrphanedRun", "--output=json")
        )
        return [event["message"] for event in events["items"] if run_id in event["message"]]

    (message,) = eventually(told, "an Event tells of it")
    assert "The operator cancels it." in message
    gauge = ("mljob_airflow_orphaned_runs", "")
    eventually(lambda: orphans.operator.metrics().get(gauge) == 0, "there is none any more")
