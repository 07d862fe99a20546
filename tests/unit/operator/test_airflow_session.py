from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from mljob_contract.backfill_marker import Marker
from mljob_contract.mljob import ReprocessBehavior
from mljob_operator.adapters.airflow.client import Airflow
from mljob_operator.core.run.backfill import BackfillRequest
from mljob_operator.errors import (
    AirflowForbidden,
    AirflowUnauthorized,
    AirflowUnavailable,
    AirflowUnsupported,
    NothingToClear,
)
from tests.fakes import logins
from tests.fakes.leases import OpenGate
from tests.fakes.meter import SilentMeter
from tests.live.authority import Authority
from tests.live.loopback import LoopbackServer, QuietHandler

HEALTH = {"metadatabase": {"status": "healthy"}, "scheduler": {"status": "unhealthy"}, "triggerer": {"status": None}}


GOLDEN = Path(__file__).parents[2] / "contract" / "golden" / "rest"
Told = tuple[int, str]

VERSION = (200, json.dumps({"version": "3.3.2"}))


class Server(LoopbackServer):
    """A fake of Airflow's API server.

    Attributes:
        answers: The answer for each path. The key is the end of the path. The answer is a pair of
            the HTTP status and the body, or a function that takes the query parameters and returns
            this pair. All other paths have the answer 404.
        posted: Bodies of the POST requests.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answers: dict[str, Told | Callable[[dict[str, str]], Told]] = {
            "/auth/token": (201, json.dumps({"access_token": "a-token"})),
            "/version": VERSION,
            "/dags": (200, json.dumps({"dags": [], "total_entries": 0})),
            "/health": (200, json.dumps(HEALTH)),
        }
        self.posted: list[dict[str, Any]] = []
        answers, posted = self.answers, self.posted

        class Handler(QuietHandler):
            def answer(self) -> None:
                if self.command == "POST":
                    posted.append(json.loads(self.content() or b"{}"))
                path, _, query = self.path.partition("?")
                told = next((told for end, told in answers.items() if path.endswith(end)), (404, "{}"))
                status, body = told(dict(parse_qsl(query))) if callable(told) else told
                self.reply(status, body.encode(), "text/html" if body.startswith("<") else "application/json")

        super().__init__(Handler, tls=tls)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


@pytest.fixture
def secured() -> Iterator[tuple[Server, str]]:
    authority = Authority()
    with Server(authority.server()) as server:
        yield server, authority.certificate.decode()


Connect = Callable[..., Airflow]


@pytest.fixture
def connect() -> Connect:
    def connect(url: str, **how: Any) -> Airflow:
        login, ca = logins.split(how, user="mljob", password="right")
        return Airflow(
            "prod", url, SilentMeter(), login, prefix="mljob", cancel_dag_id="mljob_cancel", gate=OpenGate(), **ca
        )

    return connect


async def test_probe_reports_the_health_of_each_component(server: Server, connect: Connect) -> None:
    airflow = connect(server.url)
    pulse = await airflow.probe()
    assert pulse.version == "3.3.2"
    assert (pulse.health.metadatabase, pulse.health.scheduler) == ("healthy", "unhealthy")
    assert (pulse.health.triggerer, pulse.health.dag_processor) == (None, None)
    await airflow.close()


async def test_ca_bundle_is_trusted(secured: tuple[Server, str], connect: Connect) -> None:
    server, authority = secured
    airflow = connect(server.url, token="a-token", ca_bundle=authority)
    assert (await airflow.probe()).version == "3.3.2"
    await airflow.close()


async def test_error_without_a_ca_bundle_says_what_to_check(secured: tuple[Server, str], connect: Connect) -> None:
    airflow = connect(secured[0].url, token="a-token")
    with pytest.raises(AirflowUnavailable, match=r"can't be trusted: .*Check the CA bundle"):
        await airflow.probe()
    await airflow.close()


async def test_invalid_ca_bundle_is_refused(secured: tuple[Server, str], connect: Connect) -> None:
    bundle = "-----BEGIN CERTIFICATE-----\nbm9uZQ==\n-----END CERTIFICATE-----\n"
    airflow = connect(secured[0].url, token="a-token", ca_bundle=bundle)
    with pytest.raises(AirflowUnavailable, match="Check the CA bundle"):
        await airflow.probe()
    await airflow.close()


async def test_page_of_a_proxy_is_not_taken_for_an_airflow_response(server: Server, connect: Connect) -> None:
    server.answers["/version"] = (200, "<html>Sign in</html>")
    airflow = connect(server.url)
    with pytest.raises(AirflowUnavailable, match="Is it Airflow's api-server"):
        await airflow.probe()
    with pytest.raises(AirflowUnavailable) as early:
        await airflow.submit("train", "mljob.a.b.c-1", {}, "")
    assert not early.value.outcome_unknown, "nothing but the version was asked for"
    server.answers["/version"] = VERSION
    server.answers["/dagRuns"] = (200, "<html>Sign in</html>")
    with pytest.raises(AirflowUnavailable) as caught:
        await airflow.submit("train", "mljob.a.b.c-1", {}, "")
    assert caught.value.outcome_unknown, "behind the proxy it may have taken effect"
    await airflow.close()


async def test_refused_token_is_reported_as_refused(server: Server, connect: Connect) -> None:
    server.answers["/dags"] = (401, json.dumps({"detail": "Invalid JWT"}))
    airflow = connect(server.url, token="stale")
    with pytest.raises(AirflowUnauthorized, match="Invalid JWT"):
        await airflow.probe()
    await airflow.close()


@pytest.mark.parametrize("token", ["s3cr3t\ntoken", "s3cr3t\u2013token", "", None, {"s3cr3t": 1}])
async def test_token_that_is_no_header_value_is_not_shown(server: Server, connect: Connect, token: object) -> None:
    server.answers["/auth/token"] = (201, json.dumps({"access_token": token}))
    airflow = connect(server.url)
    with pytest.raises(
        AirflowUnavailable, match=r"a token that can't be in an HTTP header|access_token is a"
    ) as raised:
        await airflow.probe()
    assert "s3cr3t" not in str(raised.value)
    await airflow.close()


def versions(version: str) -> tuple[int, str]:
    return 200, json.dumps({"version": version})


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        pytest.param(versions("3.0.6"), r"is version 3.0.6, which is too old.*3.1 to 3.3: upgrade it", id="3.0"),
        pytest.param(versions("edge"), r"says that its version is 'edge'", id="no number"),
    ],
)
async def test_unsupported_airflow_version_is_refused_until_it_is_upgraded(
    answer: tuple[int, str], says: str, server: Server, connect: Connect
) -> None:
    server.answers["/version"] = answer
    airflow = connect(server.url)
    with pytest.raises(AirflowUnsupported, match=says):
        await airflow.paused_dags()
    server.answers["/version"] = versions("3.1.0rc1")
    assert await airflow.paused_dags() == set()
    await airflow.close()


async def test_url_without_the_api_may_be_airflow_2_or_a_proxy(server: Server, connect: Connect) -> None:
    server.answers["/version"] = (404, "<html>Airflow 404 = lots of circles</html>")
    airflow = connect(server.url)
    with pytest.raises(AirflowUnavailable, match="it is Airflow 2, or not the URL of an api-server, or a proxy"):
        await airflow.paused_dags()
    server.answers["/version"] = VERSION
    assert await airflow.paused_dags() == set()
    await airflow.close()


@pytest.mark.parametrize(("version", "warns"), [("3.3.9", False), ("3.4.0", True), ("4.0.0", True)])
async def test_untested_newer_airflow_version_is_used_with_one_warning(
    version: str, warns: bool, server: Server, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    server.answers["/version"] = versions(version)
    airflow = connect(server.url)
    for _ in range(2):
        assert await airflow.paused_dags() == set()
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == warns
    assert all(f"is version {version}. This operator works with Airflow 3.1 to 3.3;" in text for text in warnings)
    await airflow.close()


async def test_backfill_is_refused_if_airflow_cannot_tell_backfills_apart(server: Server, connect: Connect) -> None:
    server.answers["/version"] = versions("3.1.8")
    airflow = connect(server.url)
    day = datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(AirflowUnsupported, match=r"Backfill need Airflow 3\.2 or later; .* is version 3\.1\.8"):
        await airflow.backfills.create(
            "daily",
            Marker("mljob.a.b.aaaaaaaaaa-1", 1),
            BackfillRequest(day, day, ReprocessBehavior.NONE, 1, False, {}),
        )
    await airflow.close()


@pytest.mark.parametrize("cursors", [True, False], ids=["by cursor, as since 3.2", "by offset, as in 3.1"])
async def test_all_pages_are_read_and_only_runs_of_mljobs_are_returned(
    cursors: bool, server: Server, connect: Connect
) -> None:
    ours = [f"mljob.a.b.aaaaaaaaaa-{number}" for number in range(150)]
    rows = [
        {"dag_id": "d", "dag_run_id": run_id, "state": "queued"}
        for run_id in (*ours, *(f"manual__{number}" for number in range(130)), "mljobs.x")
    ]

    def page(query: dict[str, str]) -> tuple[int, str]:
        first = int(query.get("cursor") or 0) if cursors else int(query["offset"])
        after = first + int(query["limit"])
        following = {"next_cursor": str(after) if after < len(rows) else None} if cursors else {}
        return 200, json.dumps({"dag_runs": rows[first:after], "total_entries": len(rows)} | following)

    server.answers["/dagRuns"] = page
    airflow = connect(server.url)
    assert {run.run_id for run in await airflow.active_runs()} == set(ours)
    await airflow.close()


async def test_clear_request_has_only_fields_that_airflow_3_1_knows(server: Server, connect: Connect) -> None:
    run = json.loads((GOLDEN / "parity_retries_exhausted.run.json").read_text()) | {"dag_run_id": "a-run"}
    server.answers["/dagRuns/a-run"] = server.answers["/clear"] = (200, json.dumps(run))
    airflow = connect(server.url)
    with pytest.raises(NothingToClear):
        await airflow.clear_failed(run["dag_id"], "a-run", since=None)
    # Airflow refuses a request with an unknown field.
    assert server.posted[-1] == {"dry_run": False, "only_failed": True}
    await airflow.close()


async def test_failed_read_after_a_clear_does_not_undo_the_clear(server: Server, connect: Connect) -> None:
    run = json.loads((GOLDEN / "parity_retries_exhausted.run.json").read_text()) | {"dag_run_id": "a-run"}
    answers = iter([(200, json.dumps(run)), (429, "{}")])
    server.answers["/dagRuns/a-run"] = lambda _: next(answers)
    server.answers["/clear"] = (200, json.dumps(run))
    airflow = connect(server.url)
    with pytest.raises(AirflowUnavailable) as caught:
        await airflow.clear_failed(run["dag_id"], "a-run", since=None)
    assert caught.value.outcome_unknown
    await airflow.close()


async def test_unreadable_run_counts_as_existing(server: Server, connect: Connect) -> None:
    server.answers["/dagRuns"] = (409, json.dumps({"detail": "The DagRun already exists"}))
    server.answers["/dagRuns/a-run"] = (429, "{}")
    airflow = connect(server.url)
    with pytest.raises(AirflowUnavailable) as caught:
        await airflow.submit("train", "a-run", {}, "")
    assert caught.value.outcome_unknown
    await airflow.close()


async def test_last_pushed_output_is_used_in_whichever_order_airflow_lists_outputs(
    server: Server, connect: Connect
) -> None:
    entries = [
        {"task_id": "evaluate", "map_index": -1, "timestamp": "2026-01-01T00:00:02Z"},
        {"task_id": "fit", "map_index": -1, "timestamp": "2026-01-01T00:00:01.5Z"},
    ]
    server.answers["/~/xcomEntries"] = (200, json.dumps({"xcom_entries": entries, "total_entries": 2}))
    for task_id in ("fit", "evaluate"):
        value = json.dumps({"last": task_id, task_id: 1})
        server.answers[f"/{task_id}/xcomEntries/mljob_outputs"] = (200, json.dumps({"value": value}))
    airflow = connect(server.url)
    outputs = await airflow.outputs("train", "a-run", [])
    assert outputs.values == {"last": "evaluate", "fit": 1, "evaluate": 1}
    await airflow.close()


@pytest.mark.parametrize(
    ("answer", "how"),
    [
        pytest.param((401, '{"detail": "no"}'), {"token": "a-token"}, id="a token that is refused"),
        pytest.param((403, '{"detail": "no"}'), {"token": "a-token"}, id="a permission that is missing"),
        pytest.param((401, '{"detail": "no"}'), {"user": "churn", "password": "wrong"}, id="a login that is refused"),
    ],
)
async def test_refused_login_names_its_secret(
    server: Server, connect: Connect, answer: tuple[int, str], how: dict[str, str]
) -> None:
    server.answers["/auth/token"] = server.answers["/dags"] = answer
    airflow = connect(server.url, source="Secret airflow-churn", **how)
    with pytest.raises((AirflowUnauthorized, AirflowForbidden), match="Secret airflow-churn"):
        await airflow.probe()
    await airflow.close()
