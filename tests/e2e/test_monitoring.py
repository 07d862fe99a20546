from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from devstack.slack import TOKEN, Message, SlackServer, slack_server
from devstack.stack import Stack
from mljob_contract.reports import CE_TYPE_REPORT, Finding, FindingKind, MonitoringReport
from tests.live.airflow import AirflowRest
from tests.live.airflow_database import execute
from tests.live.eventually import eventually

MONITOR, BOTTLENECKS = "mljob_monitor", "mljob_monitor_bottlenecks"
TOPIC = "airflow.reports"
TEAM_ML, TEAM_DATA, PLATFORM = "C0TEAMML0001", "C0DATA00001", "#platform"
TEAM_SERVING = "serving@example.com"
OTHERS = {"airflow": "#others"}
"""The address of the owner of the DAGs of other tests. Without this address, the problems that other
tests left behind would share the platform's messages.
"""
THRESHOLDS = {"stuck_minutes": 0.1, "settle_minutes": 0}
PAST = 13
"""The number of earlier runs. A task is judged only if it has at least ``outlier_history`` earlier
runs, which can't be less than 10, and the newest three runs are judged.
"""
EQUALLY_LONG = """
UPDATE task_instance
SET start_date = scheduled_dttm + interval '1 second', end_date = scheduled_dttm + interval '2 seconds', duration = 1
WHERE dag_id = :dag_id
"""
"""The SQL statement that makes each task instance of a DAG wait for 1 s and take 1 s."""
OVER = ("success", "failed")


class Monitoring:
    """Triggers the monitoring DAGs and DAGs with problems. Reads the reports and the messages to
    Slack.
    """

    def __init__(self, airflow: AirflowRest, slack: SlackServer) -> None:
        self.airflow = airflow
        self.slack = slack
        self.begun: list[tuple[str, str]] = []

    def trigger(self, dag_id: str, run_id: str | None = None, **conf: Any) -> str:
        run_id = run_id or f"{dag_id}-{secrets.token_hex(4)}"
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        status, answer = self.airflow.request("POST", f"/dags/{dag_id}/dagRuns", body)
        assert status == 200, answer
        self.begun.append((dag_id, run_id))
        return run_id

    def state(self, dag_id: str, run_id: str) -> str | None:
        run = self.airflow.run(dag_id, run_id)
        return run["state"] if run else None

    def until_over(self, dag_id: str, run_id: str, within: float = 240) -> str:
        state = eventually(
            lambda: (found := self.state(dag_id, run_id)) in OVER and found, f"{run_id} is over", within=within
        )
        assert isinstance(state, str)
        return state

    def look(self, monitor: str = MONITOR, **thresholds: Any) -> MonitoringReport:
        """Run a monitoring DAG with ``thresholds`` as its params, and return its report. The run
        notifies owners in any case.
        """
        run_id = self.trigger(monitor, **thresholds, notify=True)
        state = self.until_over(monitor, run_id)
        assert state == "success", self.logs(monitor, run_id)
        ended = {
            row["task_id"]: (row["state"], row["try_number"]) for row in self.airflow.task_instances(monitor, run_id)
        }
        once = dict.fromkeys(("observe", "tell_owners", "write_page", "send_event"), ("success", 1))
        assert ended == once, self.logs(monitor, run_id)
        path = f"/dags/{monitor}/dagRuns/{quote(run_id, safe='')}/taskInstances/observe/xcomEntries/return_value"
        return MonitoringReport.model_validate(self.airflow.get(path)["value"])

    def serving(self, run_id: str) -> dict[str, Any]:
        found = self.airflow.task_instances("monitored_slow", run_id)
        return found[0] if found else {"state": None}

    def logs(self, dag_id: str, run_id: str) -> str:
        said = []
        for row in self.airflow.task_instances(dag_id, run_id):
            path = f"/dags/{dag_id}/dagRuns/{quote(run_id, safe='')}/taskInstances/{row['task_id']}/logs/{row['try_number']}"
            status, log = self.airflow.request("GET", path)
            lines = log["content"][-12:] if status == 200 else [log]
            said.append(f"--- {row['task_id']} {row['state']}\n" + "\n".join(json.dumps(line) for line in lines))
        return "\n".join(said)

    def set_variable(self, key: str, value: object) -> None:
        self.airflow.request("DELETE", f"/variables/{key}")
        status, answer = self.airflow.request("POST", "/variables", {"key": key, "value": json.dumps(value)})
        assert status == 201, answer

    def set_pool(self, name: str, slots: int) -> None:
        status, answer = self.airflow.request("POST", "/pools", {"name": name, "slots": slots})
        if status == 409:
            whole = {"pool": name, "slots": slots, "include_deferred": False}
            status, answer = self.airflow.request("PATCH", f"/pools/{name}", whole)
        assert status in (200, 201), answer

    def told(self, channel: str) -> list[Message]:
        return [message for message in self.slack.messages if message.channel == channel]

    def told_of_the_broken_file(self) -> list[Message]:
        # The platform's channel also gets messages about problems that other tests left behind.
        platform = self.told(self.slack.id_of(PLATFORM))
        return [message for message in platform if "parity_import_error.py" in message.words]

    def end(self) -> None:
        for dag_id, run_id in self.begun:
            if self.state(dag_id, run_id) not in (*OVER, None):
                self.airflow.end(dag_id, run_id)


@pytest.fixture(scope="module")
def slack() -> Iterator[SlackServer]:
    with slack_server() as server:
        yield server


@pytest.fixture(scope="module")
def monitoring(stack: Stack, airflow: AirflowRest, slack: SlackServer) -> Iterator[Monitoring]:
    """Unpauses the monitoring DAGs, and sets two thresholds of the DAG ``mljob_monitor``: a run or
    a task is stuck if it is queued for 6 s, and a finding is resolved as soon as a report lacks the
    finding.
    """
    admin = AdminClient({"bootstrap.servers": stack.env["KAFKA_BOOTSTRAP_SERVERS"]})
    [made] = admin.create_topics([NewTopic(TOPIC, num_partitions=1, replication_factor=1)]).values()
    assert made.exception() is None or "TOPIC_ALREADY_EXISTS" in str(made.exception())
    airflow.request("DELETE", "/connections/slack_tests")
    connection = {
        "connection_id": "slack_tests",
        "conn_type": "slack",
        "password": TOKEN,
        "extra": json.dumps({"base_url": f"{slack.url}/api/"}),
    }
    status, answer = airflow.request("POST", "/connections", connection)
    assert status == 201, answer
    monitoring = Monitoring(airflow, slack)
    for monitor in (MONITOR, BOTTLENECKS):
        airflow.request("DELETE", f"/variables/{monitor}_memory")
    monitoring.set_variable("mljob_owners", {"team-ml": TEAM_ML, "team-serving": TEAM_SERVING, **OTHERS})
    monitoring.set_variable(MONITOR, THRESHOLDS)
    for dag_id in (MONITOR, BOTTLENECKS, *(f"monitored_{name}" for name in ("paused", "failing", "stuck", "slow"))):
        eventually(lambda dag_id=dag_id: dag_id in airflow.dags(dag_id_pattern=dag_id), f"{dag_id} is there")  # type: ignore[misc]
    for monitor in (MONITOR, BOTTLENECKS):
        airflow.pause(monitor, paused=False)
    yield monitoring
    for monitor in (MONITOR, BOTTLENECKS):
        airflow.pause(monitor, paused=True)
    airflow.pause("monitored_paused", paused=False)
    monitoring.end()
    for path in ("/connections/slack_tests", f"/variables/{MONITOR}", "/variables/mljob_owners"):
        airflow.request("DELETE", path)


@pytest.fixture(scope="module")
def trouble(monitoring: Monitoring) -> str:
    """Makes three problems: a run whose DAG is paused, a queued run that doesn't start because
    another run of its DAG is active, and a DAG whose runs fail. Returns the id of the run whose DAG
    is paused.
    """
    monitoring.airflow.pause("monitored_paused", paused=True)
    waiting = monitoring.trigger("monitored_paused", f"mljob.team.churn.{'a' * 10}-{secrets.randbelow(9999) + 1}")
    first = monitoring.trigger("monitored_stuck")
    eventually(lambda: monitoring.state("monitored_stuck", first) == "running", "the place is taken", within=120)
    monitoring.trigger("monitored_stuck")
    for run_id in [monitoring.trigger("monitored_failing") for _ in range(3)]:
        assert monitoring.until_over("monitored_failing", run_id) == "failed"
    begun = datetime.now(UTC)
    eventually(lambda: (datetime.now(UTC) - begun).total_seconds() > 7, "the queued run is stuck by now")
    return waiting


def by_subject(report: MonitoringReport) -> dict[str, Any]:
    return {finding.subject: finding for finding in report.findings}


def test_each_owner_is_notified_once_and_then_only_of_changes(
    monitoring: Monitoring, trouble: str, stack: Stack
) -> None:
    report = monitoring.look()

    found = by_subject(report)
    paused, failing, stuck = (found[name] for name in ("monitored_paused", "monitored_failing.load", "monitored_stuck"))
    assert (paused.kind, paused.owners) == (FindingKind.DAG_PAUSED, ("team-ml",))
    assert paused.numbers["runs_waiting"] >= 1
    assert "MLJobs run the DAG: team/churn. " in paused.detail
    assert "team/churn" in paused.mljobs
    assert failing.kind is FindingKind.RECURRING_FAILURE
    assert failing.detail.startswith("ValueError: row ")
    assert (stuck.kind, stuck.owners) == (FindingKind.STUCK_QUEUED, ("team-data",))
    assert "max_active_runs is 1" in stuck.detail
    broken = next(finding for finding in report.findings if finding.kind is FindingKind.IMPORT_ERROR)
    assert "parity_import_error.py can't be imported" in broken.title

    [to_ml] = monitoring.told(TEAM_ML)
    assert "monitored_paused is paused" in to_ml.words
    assert failing.numbers["failures"] >= 3
    assert failing.title in to_ml.words
    assert "&lt;label&gt;" in to_ml.words
    [to_data] = monitoring.told(TEAM_DATA)
    assert "monitored_stuck" in to_data.words
    [to_platform] = monitoring.told_of_the_broken_file()
    assert monitoring.slack.refused == []
    links = [url for url in monitoring_links(to_ml) if url.startswith(monitoring.airflow.url)]
    assert len(links) >= 2
    assert any(url.startswith(f"http://reports.example/{MONITOR}/") for url in monitoring_links(to_ml))

    monitoring.look()
    assert monitoring.told(TEAM_ML) == [to_ml]
    assert monitoring.told(TEAM_DATA) == [to_data]
    assert monitoring.told_of_the_broken_file() == [to_platform]

    monitoring.airflow.pause("monitored_paused", paused=False)
    assert monitoring.until_over("monitored_paused", trouble) == "success"
    monitoring.look()
    over, *more = monitoring.told(TEAM_ML)[1:]
    assert more == []
    assert over.thread == to_ml.ts
    assert "✅ ~monitored_paused is paused" in over.words
    assert over.body["reply_broadcast"] is False


def monitoring_links(message: Message) -> list[str]:
    blocks = message.body["blocks"]
    buttons = [element["url"] for block in blocks for element in block.get("elements", ()) if "url" in element]
    return buttons + [part.split("|")[0] for part in message.words.split("<") if part.startswith("http")]


def test_report_is_a_page_and_an_event(monitoring: Monitoring, trouble: str, stack: Stack) -> None:
    report = monitoring.look()

    folder = stack.directory / "reports" / MONITOR
    page = (folder / f"{report.at:%Y-%m-%dT%H%M%S}.html").read_text()
    assert page == (folder / "latest.html").read_text()
    assert by_subject(report)["monitored_failing.load"].title in page
    assert "team-data" in page

    message = last_report(stack)
    assert dict(message.headers())["ce_type"] == CE_TYPE_REPORT.encode()
    assert message.key() == MONITOR.encode()
    sent = MonitoringReport.model_validate_json(message.value())
    assert (sent.at, sent.source) == (report.at, "devstack")
    assert by_subject(sent).keys() == by_subject(report).keys()


def last_report(stack: Stack) -> Any:
    consumer = Consumer({"bootstrap.servers": stack.env["KAFKA_BOOTSTRAP_SERVERS"], "group.id": "tests-of-reports"})
    try:
        partition = TopicPartition(TOPIC, 0)
        _, end = consumer.get_watermark_offsets(partition, timeout=10)
        assert end > 0
        consumer.assign([TopicPartition(TOPIC, 0, end - 1)])
        message = eventually(lambda: consumer.poll(1.0), "the last report arrives", within=30)
        assert message is not None
        assert message.error() is None
        return message
    finally:
        consumer.close()


def test_report_contains_bottlenecks(monitoring: Monitoring, trouble: str, stack: Stack) -> None:
    report = monitoring.look(BOTTLENECKS)
    slowest, pools, _ = report.tables
    assert "default_pool" in [row[0] for row in pools.rows]
    assert slowest.rows
    assert max(report.series[0].values) > 0
    assert "<svg" in (stack.directory / "reports" / BOTTLENECKS / "latest.html").read_text()


def test_invalid_threshold_fails_the_run_and_is_named(monitoring: Monitoring) -> None:
    monitoring.set_variable(MONITOR, {"stuck_minutes": "soon"})
    run_id = monitoring.trigger(MONITOR)
    try:
        eventually(
            lambda: "stuck_minutes: " in monitoring.logs(MONITOR, run_id), "the log names the threshold", within=120
        )
    finally:
        # The next try of the task would find the problems.
        monitoring.airflow.end(MONITOR, run_id)
        monitoring.set_variable(MONITOR, THRESHOLDS)


def test_unusually_slow_task_and_a_task_that_waits_for_its_slot_are_reported(
    monitoring: Monitoring, stack: Stack, tmp_path: Path
) -> None:
    sensitive: dict[str, Any] = {"slow_seconds": 1, "wait_seconds": 1, "outlier_history": PAST - 3}
    monitoring.slack.members[TEAM_SERVING] = "U0SERVING01"
    wake = tmp_path / "wake"
    monitoring.set_pool("monitored", PAST)
    for run_id in [monitoring.trigger("monitored_slow") for _ in range(PAST)]:
        assert monitoring.until_over("monitored_slow", run_id) == "success"
    # On a busy machine the earlier runs wait for very different times, so that no wait would be
    # unusual.
    assert execute(stack, EQUALLY_LONG, dag_id="monitored_slow") == PAST

    monitoring.set_pool("monitored", 1)
    slow = monitoring.trigger("monitored_slow", wake_file=str(wake))
    eventually(lambda: monitoring.serving(slow)["state"] == "running", "it keeps the only slot", within=120)
    late = monitoring.trigger("monitored_slow")
    eventually(
        lambda: (
            monitoring.serving(late)["state"] == "scheduled" and seconds(monitoring.serving(late)["scheduled_when"]) > 7
        ),
        "the next run has waited for longer than any before",
        within=120,
    )
    report = monitoring.look(**sensitive)

    found = of_slow(report)
    assert found.keys() >= {FindingKind.SLOW_TASK, FindingKind.STUCK_QUEUED}
    assert found[FindingKind.SLOW_TASK].title.startswith("monitored_slow.serve has run for ")
    assert found[FindingKind.SLOW_TASK].numbers["runs"] == PAST
    assert "No slot: check the pool (monitored)" in found[FindingKind.STUCK_QUEUED].detail
    [to_member] = monitoring.told(monitoring.slack.id_of("U0SERVING01"))
    assert all(finding.title in to_member.words for finding in found.values())

    wake.touch()
    for run_id in (slow, late):
        assert monitoring.until_over("monitored_slow", run_id) == "success"
    monitoring.slack.missing.add("#gone")
    monitoring.set_variable("mljob_owners", {"team-ml": TEAM_ML, "team-serving": "#gone", **OTHERS})
    report = monitoring.look(**sensitive)

    found = of_slow(report)
    assert FindingKind.LONG_WAIT in found
    assert FindingKind.STUCK_QUEUED not in found
    assert found[FindingKind.LONG_WAIT].title.startswith("monitored_slow.serve waited ")
    assert " of the wait was for a slot in monitored, " in found[FindingKind.LONG_WAIT].detail
    platform = monitoring.told(monitoring.slack.id_of(PLATFORM))
    [elsewhere] = [message for message in platform if "For team-serving, who could not be reached." in message.words]
    assert found[FindingKind.LONG_WAIT].title in elsewhere.words


def of_slow(report: MonitoringReport) -> dict[FindingKind, Finding]:
    return {finding.kind: finding for finding in report.findings if finding.dag_id == "monitored_slow"}


def seconds(since: str, until: str | None = None) -> float:
    """Return the number of seconds from ``since`` to ``until``, two times in ISO 8601 format. By
    default, ``until`` is the current time.
    """
    end = datetime.fromisoformat(until) if until else datetime.now(UTC)
    return (end - datetime.fromisoformat(since)).total_seconds()
