from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mljob_contract.airflow_instance import AirflowInstanceSpec, AirflowInstanceStatus, Credentials, InstanceHealth
from mljob_operator.core.airflow_instance.instance import Instance, defaults, sends_in_the_clear
from mljob_operator.core.status.airflow_instance import LoginProblem, Readiness, View, events_of, report
from mljob_operator.core.status.patches import merge_patch
from mljob_operator.ports import Link
from tests.fakes.clock import FakeClock
from tests.fakes.instances import FakeInstances

NOW = FakeClock().at
WELL = InstanceHealth(metadatabase="healthy", scheduler="healthy", dag_processor="healthy", triggerer="healthy")
SPEC = {"url": "http://airflow:8080", "credentials": {"tokenSecretRef": {"name": "prod"}}}


def view(stored: dict[str, Any] | None = None, **changes: Any) -> View:
    instance = FakeInstances().create("prod", SPEC)
    instance = replace(instance, stored_status=stored or {}, status=AirflowInstanceStatus.model_validate(stored or {}))
    ready = Readiness(True, "Ready", "It lets us in.")
    return replace(View(instance, ready, "3.3.2", WELL, [], 0, 0, [], NOW), **changes)


def conditions(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {condition["type"]: condition for condition in status["conditions"]}


def test_an_airflow_that_answers_is_ready_and_healthy() -> None:
    status = report(view(active=3))
    assert conditions(status)["Ready"]["status"] == conditions(status)["Healthy"]["status"] == "True"
    assert (status["version"], status["activeRuns"], status["health"]["scheduler"]) == ("3.3.2", 3, "healthy")
    assert "waitingJobs" not in status


def test_an_airflow_that_does_not_answer_is_not_ready_and_keeps_its_version() -> None:
    before = report(view())
    status = report(view(before, readiness=Readiness(False, "Unreachable", "no"), version=None, health=None))
    assert conditions(status)["Ready"] | {"lastTransitionTime": None} == {
        "type": "Ready",
        "status": "False",
        "reason": "Unreachable",
        "message": "no",
        "lastTransitionTime": None,
        "observedGeneration": 1,
    }
    assert status["version"] == "3.3.2"
    assert "health" not in status
    assert "Healthy" not in conditions(status)
    assert status["lastProbeTime"] == before["lastProbeTime"]


def test_an_airflow_without_scheduler_is_unhealthy_and_ready() -> None:
    status = report(view(health=WELL.model_copy(update={"scheduler": "unhealthy"})))
    assert conditions(status)["Ready"]["status"] == "True"
    assert conditions(status)["Healthy"]["status"] == "False"
    assert "scheduler" in conditions(status)["Healthy"]["message"]


def test_a_missing_component_is_not_unhealthy() -> None:
    status = report(view(health=WELL.model_copy(update={"triggerer": None})))
    assert conditions(status)["Healthy"]["status"] == "True"
    assert "triggerer" not in status["health"]


def test_another_probe_changes_nothing_for_five_minutes() -> None:
    before = report(view())
    for seconds in (15, 150, 299):
        assert merge_patch(before, report(view(before, now=NOW + timedelta(seconds=seconds)))) == {}
    later = merge_patch(before, report(view(before, now=NOW + timedelta(minutes=5))))
    assert later == {"lastProbeTime": "2026-01-01T00:05:00Z"}


def test_the_probe_time_is_renewed_with_any_other_change() -> None:
    before = report(view())
    after = report(view(before, active=1, now=NOW + timedelta(seconds=15)))
    assert merge_patch(before, after) == {"activeRuns": 1, "lastProbeTime": "2026-01-01T00:00:15Z"}


def test_while_it_is_being_deleted_it_names_the_remaining_mljobs() -> None:
    deleting = replace(view().instance, deleting=True)
    users = [("team-a", f"job-{number}") for number in range(7)]
    status = report(view(instance=deleting, users=users))
    said = conditions(status)["Ready"]
    assert (said["status"], said["reason"]) == ("False", "Deleting")
    assert "team-a/job-0" in said["message"]
    assert "and 2 more" in said["message"]


@pytest.mark.parametrize(
    ("order", "holds"),
    [pytest.param(["prod", "old"], "True", id="newest"), pytest.param(["new", "prod"], "False", id="not")],
)
def test_each_of_two_defaults_names_the_one_that_counts(order: list[str], holds: str) -> None:
    annotated = replace(view().instance, annotated=True)
    said = conditions(report(view(instance=annotated, defaults=order)))["DefaultInstance"]
    assert (said["status"], said["reason"]) == (holds, "SeveralDefaults")
    assert order[0] in said["message"]
    assert (set(order) - {"prod"}).pop() in said["message"]


def instance(store: FakeInstances, name: str, at: str) -> Instance:
    return store.create(name, SPEC, default=True, at=at)


def test_the_newest_default_counts_and_then_the_first_by_name() -> None:
    store = FakeInstances()
    found = [
        instance(store, "b", "2026-01-01T00:00:01Z"),
        instance(store, "c", "2026-01-01T00:00:00Z"),
        instance(store, "a", "2026-01-01T00:00:01Z"),
        store.create("plain", SPEC, at="2026-01-02T00:00:00Z"),
    ]
    assert defaults(found) == ["a", "b", "c"]
    assert defaults([*found, replace(instance(store, "z", "2026-01-03T00:00:00Z"), deleting=True)]) == ["a", "b", "c"]


def told(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str]]:
    old, new = AirflowInstanceStatus.model_validate(before), AirflowInstanceStatus.model_validate(after)
    return [(notice.type, notice.reason) for notice in events_of(old, new)]


def test_only_transitions_create_events() -> None:
    ready = report(view())
    away = report(view(ready, readiness=Readiness(False, "Unreachable", "no"), version=None, health=None))
    still = report(view(away, readiness=Readiness(False, "Unreachable", "still no"), version=None, health=None))
    ill = report(view(ready, health=WELL.model_copy(update={"scheduler": "unhealthy"})))
    assert told({}, ready) == [("Normal", "Ready")]
    assert told(ready, away) == [("Warning", "Unreachable")]
    assert told(away, still) == []
    assert told(away, ready) == [("Normal", "Ready")]
    assert told(ready, ill) == [("Warning", "Unhealthy")]
    assert told(ill, ready) == [("Normal", "Healthy")]


NAMESPACES = ["airflow", "default"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://airflow.example.com", False),
        ("http://airflow.example.com", True),
        ("HTTP://airflow.example.com:8080/base", True),
        ("http://localhost:8080", False),
        ("http://127.0.0.1:8080", False),
        ("http://[::1]:8080", False),
        ("http://10.0.0.7:8080", True),
        ("http://[2001:db8::1]:8080", True),
        ("http://airflow:8080", False),
        ("http://airflow-api-server.airflow:8080", False),
        ("http://example.com", True),
        ("http://airflow-api-server.airflow.svc:8080", False),
        ("http://airflow-api-server.airflow.svc.cluster.local.:8080", False),
        ("http://[broken", True),
    ],
)
def test_which_urls_send_credentials_in_the_clear(url: str, expected: bool) -> None:
    assert sends_in_the_clear(url, NAMESPACES) is expected


def specified(**spec: Any) -> Instance:
    return replace(view().instance, spec=AirflowInstanceSpec.model_validate({**SPEC, **spec}))


def test_http_to_another_host_is_a_condition_and_leaves_it_ready() -> None:
    status = report(view(instance=specified(url="http://airflow.example.com")))
    said = conditions(status)["Secure"]
    assert said is not None
    assert (said["status"], said["reason"]) == ("False", "PlainHttp")
    assert conditions(status)["Ready"]["status"] == "True"
    assert not {"Stalled", "Reconciling"} & {found["type"] for found in status["conditions"]}, "kstatus reads these"
    assert told({}, status) == [("Normal", "Ready"), ("Warning", "PlainHttp")]


def test_a_safe_url_has_no_secure_condition() -> None:
    assert "Secure" not in conditions(report(view()))


LOGINS = [Credentials.model_validate({"tokenSecretRef": {"name": f"team-{number}"}}) for number in range(8)]
RULES = [{}, *({"credentials": {"tokenSecretRef": {"name": f"team-{number}"}}} for number in range(8))]


def test_working_credentials_of_access_rules_have_one_condition() -> None:
    status = report(view(instance=specified(access=RULES), logins=dict.fromkeys(LOGINS)))
    assert conditions(status)["AccessCredentials"]["status"] == "True"
    assert told({}, status) == [("Normal", "Ready")]


def test_broken_credentials_are_named_with_their_rules() -> None:
    logins = dict.fromkeys(LOGINS, LoginProblem("SecretMissing", "There is no such Secret."))
    status = report(view(instance=specified(access=RULES), logins=logins))
    said = conditions(status)["AccessCredentials"]
    assert (said["status"], said["reason"]) == ("False", "SecretMissing")
    assert "spec.access[1].credentials: There is no such Secret." in said["message"]
    assert "And 3 more." in said["message"]
    assert conditions(status)["Ready"]["status"] == "True"
    assert ("Warning", "SecretMissing") in told({}, status)


@pytest.mark.parametrize(
    ("spec", "counted"),
    [
        pytest.param({}, False, id="no limit"),
        pytest.param({"maxActiveRuns": 5}, True, id="the instance's"),
        pytest.param({"access": [{}, {"maxActiveRuns": 5}]}, True, id="an access rule's"),
    ],
)
def test_waiting_mljobs_are_counted_if_there_is_a_limit(spec: dict[str, Any], counted: bool) -> None:
    assert ("waitingJobs" in report(view(instance=specified(**spec)))) is counted


BROKERS = "kafka-0:9092,kafka-1:9092"
REFUSED = "kafka-0:9092: Connection refused"


def test_whether_events_arrive_is_a_condition_beside_ready() -> None:
    away = report(view(brokers=Link(False, BROKERS, REFUSED)))
    assert conditions(away)["Ready"]["status"] == "True"
    said = conditions(away)["EventsConnected"]
    assert (said["status"], said["reason"]) == ("False", "BrokersUnreachable")
    assert said["message"] == (
        f"The brokers {BROKERS} are not connected, so statuses come from Airflow's REST API, seconds later: {REFUSED}"
    )
    there = report(view(away, brokers=Link(True, BROKERS)))
    assert conditions(there)["EventsConnected"]["status"] == "True"
    assert told({}, there) == [("Normal", "Ready")], "as it should be from the beginning"
    assert told(there, away) == [("Warning", "BrokersUnreachable")]
    assert told(away, there) == [("Normal", "EventsConnected")]


def test_refused_topic_is_a_reason_of_its_own() -> None:
    unknown = "Subscribed topic not available: airflow.events: Broker: Unknown topic or partition"
    said = conditions(report(view(brokers=Link(False, BROKERS, unknown, topic_refused=True))))["EventsConnected"]
    assert (said["status"], said["reason"]) == ("False", "TopicRefused")
    assert said["message"] == (
        f"The brokers {BROKERS} don't let the operator read the topic of the events, so statuses come from Airflow's REST API, seconds later: {unknown}"
    )


@pytest.mark.parametrize("connected", [True, False])
def test_a_short_interruption_or_unknown_brokers_change_no_condition(connected: bool) -> None:
    before = report(view(brokers=Link(connected, BROKERS, None if connected else REFUSED)))
    assert merge_patch(before, report(view(before, brokers=Link(False, BROKERS)))) == {}
    assert "EventsConnected" not in conditions(report(view(brokers=Link(False, BROKERS))))


def test_without_kafka_there_is_no_condition_about_brokers() -> None:
    before = report(view(brokers=Link(True, BROKERS)))
    assert "EventsConnected" not in conditions(report(view(before)))
