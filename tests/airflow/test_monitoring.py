from __future__ import annotations

import itertools
import json
import os
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG, Variable

from devstack.slack import TOKEN, WEBHOOK, SlackServer, slack_server
from mljob_airflow import settings
from mljob_airflow.compatibility import read_dag_files, skip_exception
from mljob_airflow.monitoring import collector, tasks
from mljob_airflow.monitoring.notifications.messages import message
from mljob_airflow.monitoring.notifications.notifier import NotificationError
from mljob_airflow.monitoring.notifications.owners import Recipient
from mljob_airflow.monitoring.notifications.slack import (
    MAX_WAIT_SECONDS,
    RETRIES,
    Posted,
    SlackError,
    SlackUnavailableError,
    UnreachableError,
    messenger,
)
from mljob_airflow.monitoring.notifications.state import Notification, NotificationReason
from mljob_airflow.monitoring.thresholds import NOTIFY, Thresholds, ThresholdsError
from mljob_airflow.rest.client import AirflowApiError
from mljob_contract.reports import Finding, FindingKind, MonitoringReport
from tests.unit.airflow_provider.monitoring.reports import finding, report

OWN = Path(__file__).parents[2] / "airflow-provider" / "src" / "mljob_airflow" / "dags"
MONITORS = ["mljob_monitor", "mljob_monitor_bottlenecks"]
FINDING = Finding(
    kind=FindingKind.DAG_PAUSED, subject="churn", title="churn is paused", url="http://airflow/dags/churn"
)
MESSAGE = message(Notification("#team-a", ("team-a",), NotificationReason.NEW, (FINDING,), (FINDING,)))


@pytest.fixture(scope="module")
def dags() -> dict[str, DAG]:
    bag = read_dag_files(OWN)
    assert bag.import_errors == {}
    return bag.dags


def scheduled(option: str, value: str) -> list[str]:
    script = (
        "from mljob_airflow.dags.mljob_monitor import mljob_monitor as a\n"
        "from mljob_airflow.dags.mljob_monitor_bottlenecks import mljob_monitor_bottlenecks as b\n"
        "print(a.schedule, b.schedule, sep='|')"
    )
    environment = os.environ | {f"AIRFLOW__MLJOB__{option.upper()}": value}
    said = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, env=environment
    ).stdout
    return said.splitlines()[-1].split("|")


@pytest.fixture
def slack() -> Iterator[SlackServer]:
    with slack_server() as server:
        yield server


def connect(
    monkeypatch: pytest.MonkeyPatch, slack: SlackServer, conn_type: str = "slack", password: str = TOKEN
) -> Any:
    connection: dict[str, Any] = {"conn_type": conn_type, "password": password}
    if conn_type == "slack":
        connection["extra"] = {"base_url": f"{slack.url}/api/"}
    else:
        connection |= {"host": f"{slack.url}/services", "password": WEBHOOK.removeprefix("/services/")}
    monkeypatch.setenv("AIRFLOW_CONN_SLACK_TESTS", json.dumps(connection))
    return messenger("slack_tests", conn_type)


def test_the_package_has_three_dags(dags: dict[str, DAG]) -> None:
    assert set(dags) == {"mljob_cancel", *MONITORS}
    assert dags["mljob_cancel"].schedule is None


def test_the_configuration_sets_the_schedules_of_the_monitors() -> None:
    assert scheduled("monitor_schedule", "@hourly") == ["@hourly", "30 5 * * *"]
    assert scheduled("bottlenecks_schedule", "None") == ["*/15 * * * *", "None"]


@pytest.mark.parametrize("dag_id", MONITORS)
def test_a_monitor_has_a_schedule_and_is_paused_at_first(dags: dict[str, DAG], dag_id: str) -> None:
    dag = dags[dag_id]
    assert dag.schedule is not None
    assert dag.is_paused_upon_creation
    assert not dag.catchup
    assert dag.max_active_runs == 1
    assert {task.task_id for task in dag.get_task("observe").downstream_list} == {
        "tell_owners",
        "write_page",
        "send_event",
    }


@pytest.mark.parametrize("dag_id", MONITORS)
def test_the_return_value_of_a_task_is_one_xcom(dags: dict[str, DAG], dag_id: str) -> None:
    assert not [task.task_id for task in dags[dag_id].tasks if task.multiple_outputs]


@pytest.mark.parametrize("dag_id", MONITORS)
def test_the_params_of_a_monitor_are_thresholds_that_default_to_none(dags: dict[str, DAG], dag_id: str) -> None:
    params = dags[dag_id].params
    thresholds = params.dump()
    assert thresholds.pop(NOTIFY) is False
    assert set(thresholds) <= set(Thresholds.model_fields)
    assert set(thresholds.values()) == {None}
    params.validate()


@pytest.mark.parametrize(("dag_id", "default"), [("mljob_monitor", 24), ("mljob_monitor_bottlenecks", 168)])
def test_the_param_quiet_hours_describes_the_default_of_its_monitor(
    dags: dict[str, DAG], dag_id: str, default: int
) -> None:
    assert dags[dag_id].params.get_param("quiet_hours").description.endswith(f"Default: {default}.")


def test_each_threshold_is_a_param_of_some_monitor(dags: dict[str, DAG]) -> None:
    assert {*Thresholds.model_fields, NOTIFY} == {name for dag_id in MONITORS for name in dags[dag_id].params}


def test_parsing_the_dags_loads_no_large_library() -> None:
    program = (
        "import sys, mljob_airflow.dags.mljob_monitor, mljob_airflow.dags.mljob_monitor_bottlenecks; "
        "print([m for m in ('airflow_client', 'slack_sdk', 'confluent_kafka', 'mljob_airflow.monitoring.collector') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_a_bot_posts_and_replies_in_the_thread(monkeypatch: pytest.MonkeyPatch, slack: SlackServer) -> None:
    bot = connect(monkeypatch, slack)
    first = bot.post(Recipient("#team-a"), MESSAGE)
    bot.post(Recipient("#team-a"), MESSAGE, reply_to=first, broadcast=True)
    one, two = slack.messages
    assert (one.channel, one.thread) == (first.channel, None)
    assert (two.channel, two.thread, two.body["reply_broadcast"]) == (one.channel, one.ts, True)
    assert slack.refused == []


def test_an_e_mail_address_is_looked_up_once(monkeypatch: pytest.MonkeyPatch, slack: SlackServer) -> None:
    slack.members["ada@example.com"] = "U0123456789"
    bot = connect(monkeypatch, slack)
    for _ in range(2):
        bot.post(Recipient("ada@example.com"), MESSAGE)
    assert [sent.channel for sent in slack.messages] == ["DU0123456789"] * 2
    assert len(slack.requests) == 3
    with pytest.raises(UnreachableError, match="users_not_found"):
        bot.post(Recipient("nobody@example.com"), MESSAGE)


@pytest.mark.parametrize("conn_type", ["slack", "slackwebhook"])
def test_a_rate_limited_message_is_sent_again_after_retry_after(
    monkeypatch: pytest.MonkeyPatch, slack: SlackServer, conn_type: str
) -> None:
    slack.limited, slack.retry_after = 2, 1
    connect(monkeypatch, slack, conn_type).post(Recipient("#team-a"), MESSAGE)
    assert [status for _, status in slack.requests] == [429, 429, 200]
    times = [at for at, _ in slack.requests]
    assert all(later - earlier >= slack.retry_after for earlier, later in itertools.pairwise(times))
    assert len(slack.messages) == 1


def test_a_missing_channel_is_unreachable(monkeypatch: pytest.MonkeyPatch, slack: SlackServer) -> None:
    slack.missing.add("#gone")
    with pytest.raises(UnreachableError, match="#gone: channel_not_found"):
        connect(monkeypatch, slack).post(Recipient("#gone"), MESSAGE)


def test_a_missing_thread_is_unreachable(monkeypatch: pytest.MonkeyPatch, slack: SlackServer) -> None:
    with pytest.raises(UnreachableError, match="thread_not_found"):
        connect(monkeypatch, slack).post(Recipient("#a"), MESSAGE, reply_to=Posted("C0123456789", "1700000000.000001"))


def test_an_invalid_token_is_an_error_and_not_unreachable(monkeypatch: pytest.MonkeyPatch, slack: SlackServer) -> None:
    with pytest.raises(SlackError, match="invalid_auth") as caught:
        connect(monkeypatch, slack, password="xoxb-wrong").post(Recipient("#a"), MESSAGE)
    assert not isinstance(caught.value, UnreachableError)


def test_a_webhook_posts_without_threads(monkeypatch: pytest.MonkeyPatch, slack: SlackServer) -> None:
    webhook = connect(monkeypatch, slack, "slackwebhook")
    assert webhook.post(Recipient("#team-a"), MESSAGE) == Posted("webhook", None)
    assert not webhook.threads
    assert "churn is paused" in slack.messages[0].words


def test_a_message_that_a_webhook_refuses_is_an_error(monkeypatch: pytest.MonkeyPatch, slack: SlackServer) -> None:
    with pytest.raises(SlackError, match="webhook"):
        connect(monkeypatch, slack, "slackwebhook").post(Recipient("#a"), {"text": "", "blocks": [{"type": "none"}]})


def test_an_unreachable_slack_is_an_error(monkeypatch: pytest.MonkeyPatch, slack: SlackServer) -> None:
    bot = connect(monkeypatch, slack)
    monkeypatch.setenv(
        "AIRFLOW_CONN_SLACK_TESTS",
        json.dumps({"conn_type": "slack", "password": TOKEN, "extra": {"base_url": "http://127.0.0.1:9/"}}),
    )
    with pytest.raises(SlackUnavailableError, match="Slack's chat"):
        bot.post(Recipient("#a"), MESSAGE)


class BrokenServer(socketserver.ThreadingTCPServer):
    """Answers each request with the bytes ``answer``, whatever the request is. Without an answer, the
    server keeps each connection open until the server is closed."""

    daemon_threads = True

    def __init__(self, answer: bytes | None) -> None:
        self.answer = answer
        self.connections = 0
        self.closing = threading.Event()
        super().__init__(("127.0.0.1", 0), BrokenHandler)


class BrokenHandler(socketserver.BaseRequestHandler):
    server: BrokenServer

    def handle(self) -> None:
        self.server.connections += 1
        if self.server.answer is None:
            self.server.closing.wait()
            return
        # An unread request would reset the connection.
        request = self.request.makefile("rb")
        length = 0
        while line := request.readline().strip():
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        request.read(length)
        self.request.sendall(self.server.answer)


@contextmanager
def broken_slack(monkeypatch: pytest.MonkeyPatch, conn_type: str, answer: bytes | None) -> Iterator[BrokenServer]:
    """Run a server in place of Slack. The Connection ``slack_tests`` leads to this server."""
    with BrokenServer(answer) as server:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        extra: Any = {"slack": {"extra": {"base_url": f"{url}/api/"}}, "slackwebhook": {"host": url}}[conn_type]
        monkeypatch.setenv("AIRFLOW_CONN_SLACK_TESTS", json.dumps({"conn_type": conn_type, "password": TOKEN, **extra}))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield server
        finally:
            server.closing.set()
            server.shutdown()


def answer_with(status: str, body: bytes, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.mark.parametrize("conn_type", ["slack", "slackwebhook"])
@pytest.mark.parametrize(
    "answer",
    [
        answer_with("200 OK", b'{"ok":').replace(b"Length: 6", b"Length: 500"),
        b"HELLO\r\n\r\n",
        answer_with("404 Not Found", b"[1]", "Content-Type: application/json"),
    ],
    ids=["cut", "no-http", "list"],
)
def test_a_broken_answer_is_an_error(monkeypatch: pytest.MonkeyPatch, conn_type: str, answer: bytes) -> None:
    with broken_slack(monkeypatch, conn_type, answer), pytest.raises(SlackError, match="Slack's "):
        messenger("slack_tests", conn_type).post(Recipient("#a"), MESSAGE)


@pytest.mark.parametrize("conn_type", ["slack", "slackwebhook"])
@pytest.mark.parametrize("retry_after", ["Wed, 21 Oct 2026 07:28:00 GMT", "1, 1", "-1", "²"])
def test_a_retry_after_that_is_not_a_number_waits_for_a_moment(
    monkeypatch: pytest.MonkeyPatch, conn_type: str, retry_after: str
) -> None:
    waits: list[float] = []
    monkeypatch.setattr("mljob_airflow.monitoring.notifications.rate_limits.time", SimpleNamespace(sleep=waits.append))
    answer = answer_with("429 Too Many Requests", b"{}", f"Retry-After: {retry_after}")
    with broken_slack(monkeypatch, conn_type, answer) as server, pytest.raises(SlackError, match="429"):
        messenger("slack_tests", conn_type).post(Recipient("#a"), MESSAGE)
    assert (len(waits), server.connections) == (RETRIES, RETRIES + 1)
    assert all(1 <= wait < 2 for wait in waits)


@pytest.mark.parametrize("conn_type", ["slack", "slackwebhook"])
def test_the_waits_of_all_messages_are_bounded(monkeypatch: pytest.MonkeyPatch, conn_type: str) -> None:
    waits: list[float] = []
    monkeypatch.setattr("mljob_airflow.monitoring.notifications.rate_limits.time", SimpleNamespace(sleep=waits.append))
    answer = answer_with("429 Too Many Requests", b"{}", f"Retry-After: {MAX_WAIT_SECONDS // 2}")
    with broken_slack(monkeypatch, conn_type, answer) as server:
        slack = messenger("slack_tests", conn_type)
        for connections in (3, 4):
            with pytest.raises(SlackError, match="429") as caught:
                slack.post(Recipient("#a"), MESSAGE)
            assert server.connections == connections
        assert isinstance(caught.value, SlackUnavailableError) or conn_type == "slackwebhook"
    assert len(waits) == 2


@pytest.mark.parametrize("conn_type", ["slack", "slackwebhook"])
def test_a_slack_that_does_not_answer_is_unavailable(monkeypatch: pytest.MonkeyPatch, conn_type: str) -> None:
    monkeypatch.setattr("mljob_airflow.monitoring.notifications.slack.TIMEOUT_SECONDS", 1)
    with broken_slack(monkeypatch, conn_type, None), pytest.raises(SlackUnavailableError, match="timed out"):
        messenger("slack_tests", conn_type).post(Recipient("#a"), MESSAGE)


def test_a_connection_of_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match="must be slack"):
        messenger("x", "http")


@pytest.mark.parametrize(
    ("variable", "mutes", "problems"),
    [('[{"dags": "x", "until": "2026-06-01T00:00:00Z", "reason": "y"}]', 1, 0), ("{", 0, 1)],
)
def test_a_report_uses_the_valid_mutes_of_the_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, mutes: int, problems: int
) -> None:
    points: list[collector.ReportContext] = []

    def collect(_airflow: object, _thresholds: object, point: collector.ReportContext) -> MonitoringReport:
        points.append(point)
        return report()

    monkeypatch.setenv(
        "AIRFLOW_CONN_MLJOB_AIRFLOW", '{"conn_type": "http", "host": "http://127.0.0.1:9", "password": "t"}'
    )
    monkeypatch.setenv("AIRFLOW_VAR_MLJOB_MONITOR", "{}")
    monkeypatch.setenv("AIRFLOW_VAR_MLJOB_MUTES", variable)
    monkeypatch.setattr(collector, "collect_problems", collect)
    tasks.observe({"ti": SimpleNamespace(dag_id="mljob_monitor"), "params": {}}, "collect_problems", 24)
    [point] = points
    assert (len(point.mutes.entries), len(point.mutes.problems)) == (mutes, problems)


MISSPELT = "{'team-a': '#a'}"


def test_thresholds_that_are_not_json_fail_the_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_MLJOB_AIRFLOW", '{"conn_type": "http", "host": "http://127.0.0.1:9", "password": "t"}'
    )
    monkeypatch.setenv("AIRFLOW_VAR_MLJOB_MUTES", "[]")
    monkeypatch.setenv("AIRFLOW_VAR_MLJOB_MONITOR", MISSPELT)
    with pytest.raises(ThresholdsError, match="the Variable mljob_monitor is not JSON"):
        tasks.observe({"ti": SimpleNamespace(dag_id="mljob_monitor"), "params": {}}, "collect_problems", 24)


def notify_owners(
    monkeypatch: pytest.MonkeyPatch,
    slack: SlackServer,
    params: dict[str, Any] | None = None,
    save: Callable[..., None] = lambda *_args, **_kwargs: None,
    **variables: str,
) -> dict[str, Any]:
    connect(monkeypatch, slack)
    monkeypatch.setenv("AIRFLOW__MLJOB__SLACK_CONN_ID", "slack_tests")
    monkeypatch.setenv("AIRFLOW__MLJOB__SLACK_CHANNEL", "#airflow")
    monkeypatch.setattr(Variable, "set", save)
    for name, text in ({"mljob_monitor": "{}"} | variables).items():
        monkeypatch.setenv(f"AIRFLOW_VAR_{name.upper()}", text)
    context = {"ti": SimpleNamespace(dag_id="mljob_monitor"), "params": params or {}}
    return tasks.tell_owners(context, report(finding("a")).model_dump(mode="json"), 24)


def test_addresses_that_are_not_json_fail_the_notification(monkeypatch: pytest.MonkeyPatch, slack: SlackServer) -> None:
    with pytest.raises(ValueError, match="the Variable mljob_owners is not JSON"):
        notify_owners(monkeypatch, slack, mljob_owners=MISSPELT, mljob_monitor_memory="{}")
    assert slack.messages == []


def test_owners_are_notified_and_a_warning_is_logged_if_the_state_is_not_json(
    monkeypatch: pytest.MonkeyPatch, slack: SlackServer, caplog: pytest.LogCaptureFixture
) -> None:
    sent = notify_owners(monkeypatch, slack, mljob_owners='{"team-a": "#a"}', mljob_monitor_memory="{")
    assert sent == {"team-a": "new"}
    assert len(slack.messages) == 1
    assert "The Variable mljob_monitor_memory is invalid, and is replaced by an empty one" in caplog.text


def test_a_run_with_thresholds_in_its_params_notifies_nobody_and_saves_nothing(
    monkeypatch: pytest.MonkeyPatch, slack: SlackServer
) -> None:
    saved: list[object] = []
    trial = {"stuck_minutes": None, "quiet_hours": 1, NOTIFY: False}
    variables: dict[str, Any] = {"mljob_owners": '{"team-a": "#a"}', "mljob_monitor_memory": "{}"}
    with pytest.raises(skip_exception(), match=r"the run has thresholds in its params \(quiet_hours\)"):
        notify_owners(monkeypatch, slack, trial, lambda *args, **_: saved.append(args), **variables)
    assert (slack.messages, saved) == ([], [])
    for params in ({**trial, NOTIFY: True}, {**trial, "quiet_hours": None}):
        assert notify_owners(monkeypatch, slack, params, **variables) == {"team-a": "new"}


@pytest.mark.parametrize("status", [500, 422])
def test_a_dag_whose_links_airflow_can_not_return_has_the_fallback_channel(
    monkeypatch: pytest.MonkeyPatch, slack: SlackServer, status: int
) -> None:
    def owner_links(_dag_id: str) -> dict[str, str]:
        raise AirflowApiError("could not get details", status)

    monkeypatch.setattr(tasks, "_reader", lambda: SimpleNamespace(owner_links=owner_links))
    assert notify_owners(monkeypatch, slack, mljob_owners="{}", mljob_monitor_memory="{}") == {"team-a": "new"}
    assert [sent.channel for sent in slack.messages] == [slack.id_of("#airflow")]


@pytest.mark.parametrize("status", [None, 401, 403, 503])
def test_the_notification_fails_if_airflow_is_not_available(
    monkeypatch: pytest.MonkeyPatch, slack: SlackServer, status: int | None
) -> None:
    def owner_links(_dag_id: str) -> dict[str, str]:
        raise AirflowApiError("could not get details", status)

    monkeypatch.setattr(tasks, "_reader", lambda: SimpleNamespace(owner_links=owner_links))
    with pytest.raises(NotificationError, match="could not get details"):
        notify_owners(monkeypatch, slack, mljob_owners="{}", mljob_monitor_memory="{}")
    assert slack.messages == []


@pytest.mark.parametrize("part", [tasks.write_page, tasks.send_event])
def test_a_task_that_is_not_configured_is_skipped_and_names_the_setting(
    part: Callable[[dict[str, Any]], object],
) -> None:
    with pytest.raises(skip_exception(), match="names no"):
        part({})


def test_owners_are_not_notified_without_a_slack_connection() -> None:
    with pytest.raises(skip_exception(), match="slack_conn_id"):
        tasks.tell_owners({}, {}, 24)


def test_reports_need_another_topic_than_task_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__MLJOB__REPORT_TOPIC", settings.topic())
    with pytest.raises(ValueError, match="report_topic and topic are both"):
        tasks.send_event({})
