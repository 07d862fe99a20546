"""The adapter for Airflow interprets each kind of answer to each request."""

from __future__ import annotations

import gc
import inspect
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mljob_contract.backfill_marker import Marker
from mljob_contract.mljob import ReprocessBehavior
from mljob_operator.adapters.airflow import backfills
from mljob_operator.adapters.airflow.backfills import AirflowBackfills
from mljob_operator.adapters.airflow.client import Airflow
from mljob_operator.adapters.airflow.dag_runs import AirflowRuns
from mljob_operator.adapters.airflow.session import Session
from mljob_operator.core.run.backfill import Backfill, BackfillRequest
from mljob_operator.core.run.halt import Halt
from mljob_operator.core.run.outputs import Outputs
from mljob_operator.errors import (
    AirflowError,
    AirflowForbidden,
    AirflowUnauthorized,
    AirflowUnavailable,
    AirflowUnreadable,
    DagNotFound,
    DagRefused,
    LogicalDateTaken,
    NothingToClear,
    ValidationFailed,
)
from tests.scripted_airflow import (
    BACKFILL,
    BACKFILL_DAG,
    BREAKS_OFF,
    CANCEL_DAG,
    CANCEL_RUN,
    CHILD_RUN,
    DAG,
    HANGS,
    HUGE,
    REQUESTS,
    RESETS,
    RUN,
    Says,
    ScriptedAirflow,
    Told,
    page,
    refused,
    run_row,
    said,
)

from .conftest import SOON, Connect

DAY = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
MARKER = Marker(RUN, 1)
ORDER = BackfillRequest(DAY, DAY, ReprocessBehavior.NONE, 1, False, {})
MADE = Backfill(BACKFILL, BACKFILL_DAG, MARKER, DAY, DAY, {}, ReprocessBehavior.NONE, 1, False, DAY, None)

NO_RUN = f"The DagRun with dag_id: `{DAG}` and run_id: `{RUN}` was not found"
NO_DAG = f"The Dag with ID: `{DAG}` was not found"
THE_THING = "404 JSON of the thing itself"

ANSWERS: dict[str, Told] = {
    "404 plain": Says(404, "404 page not found", "text/plain"),
    "404 empty": Says(404, "", ""),
    "404 HTML": Says(404, "<html>nothing here</html>", "text/html"),
    "404 JSON of something else": refused(404, "Not Found"),
    "404 JSON of another run": refused(404, NO_RUN.replace(RUN, RUN + "0")),
    "404 JSON of a router": refused(404, f"no route for /api/v2/dags/{DAG}/dagRuns/{RUN}: {RUN} of {DAG} not found"),
    "301": Says(301, "", "", {"Location": "https://elsewhere.example/api/v2"}),
    "302 to a login page": Says(302, "", "", {"Location": "/somewhere/else?login"}),
    "401": refused(401, "Not authenticated"),
    "403": refused(403, "Forbidden"),
    "429 with Retry-After": Says(429, "slow down", "text/plain", {"Retry-After": "7"}),
    "500 HTML": Says(500, "<html>oops</html>", "text/html"),
    "502": Says(502, "bad gateway", "text/plain"),
    "503 with Retry-After": Says(503, "", "", {"Retry-After": "7"}),
    "200 HTML": Says(200, "<html>Sign in</html>", "text/html"),
    "200 empty": Says(200, "", ""),
    "200 {}": Says(200, "{}"),
    "200 a list": Says(200, "[]"),
    "200 truncated": Says(200, '{"dag_id": "tr'),
    "200 that breaks off": BREAKS_OFF,
    "200 nested without end": Says(200, '{"dag_id": ' + "[" * 100_000),
    "200 huge": Says(200, "{", headers={"Content-Length": str(HUGE)}),
    "timeout": HANGS,
    "connection reset": RESETS,
}

REFUSED: dict[str, type[AirflowError]] = {"401": AirflowUnauthorized, "403": AirflowForbidden}
UNREADABLE = {
    "404 JSON of something else",
    "404 JSON of another run",
    "404 JSON of a router",
    THE_THING,
    "200 {}",
    "200 a list",
    "200 truncated",
    "200 nested without end",
    "200 huge",
}
"""Answers that the adapter reports as unreadable, because Airflow itself doesn't give them.
THE_THING is unreadable only for requests without a ``Case.detail``.
"""
CERTAIN = {"401", "403", "429 with Retry-After", THE_THING}
"""Answers that prove that the request had no effect."""
EVERY = {*ANSWERS, THE_THING}

Ask = Callable[[Airflow], Awaitable[Any]]
Outcome = type[AirflowError] | Callable[[Any], bool]
"""The class of the expected error, or a check of the result."""


@dataclass(frozen=True)
class Case:
    """A row of the table: an operation, one of its requests, and the outcomes for unusual answers.

    Attributes:
        operation: The name of a public method of the adapter.
        request: The name of the request that gets the unusual answers, as in ``REQUESTS``.
        ask: A function that calls the operation of an adapter.
        given: The answers to the operation's other requests, by name of the request.
        detail: The field ``detail`` in Airflow's 404 for a missing object. Empty if there is no
            such 404.
        absent: The outcome of the operation after this 404.
        otherwise: The outcomes that differ from the general rule in :func:`expected`, by name of
            the answer.
        first: The answer to the first of the operation's requests with this name. None if the
            operation has only one such request.
        has_taken_effect: Whether the operation may have taken effect before this request.
    """

    operation: str
    request: str
    ask: Ask
    given: Mapping[str, Told] = field(default_factory=dict)
    detail: str = ""
    absent: Outcome = AirflowError
    otherwise: Mapping[str, Outcome] = field(default_factory=dict)
    first: Says | None = None
    has_taken_effect: bool = False

    @property
    def name(self) -> str:
        """The name of the case, for the id of its tests."""
        return f"{self.operation}-{self.request}{'-again' if self.first else ''}"


def equals(wanted: Any) -> Outcome:
    return lambda result: bool(result == wanted)


def fine(_: Any) -> bool:
    """Accept any outcome, even an error."""
    return True


def submit(airflow: Airflow) -> Awaitable[Any]:
    return airflow.submit(DAG, RUN, {}, "")


NOT_HERE = {"trigger": refused(404, NO_DAG)}
THERE = {"trigger": refused(409, "The DagRun already exists")}
NONE_YET = {"list backfills": page("backfills")}
AS_A_LOGIN = {"403": AirflowUnauthorized}
ANY_404 = {name: AirflowUnavailable for name in EVERY if name.startswith("404")}
NO_TASK = (
    f"The Mapped Task Instance with dag_id: `{DAG}`, run_id: `{RUN}`, task_id: `fit`, and map_index: `-1` was not found"
)
SKIPPED = {"200 huge": equals([])}
GOES_ON = dict.fromkeys(UNREADABLE, fine)


async def read_log(airflow: Airflow) -> list[str] | None:
    log = await airflow.open_log(DAG, RUN, ("fit", -1), 1)
    if log is None:
        return None
    found: list[str] = []
    try:
        while (read := await log.read(lambda entry: entry.event)) is not None:
            found += read
    finally:
        log.close()
    return found


CASES = [
    Case("submit", "version", submit, otherwise=ANY_404),
    Case("submit", "login", submit, otherwise={**AS_A_LOGIN, **ANY_404}),
    Case("submit", "trigger", submit, detail=NO_DAG, absent=DagNotFound),
    Case("submit", "get run", submit, given=THERE, detail=NO_RUN, absent=AirflowUnavailable, has_taken_effect=True),
    Case(
        "submit",
        "list runs of a date",
        lambda a: a.submit(DAG, RUN, {}, "", DAY),
        given={**THERE, "get run": refused(404, NO_RUN)},
        has_taken_effect=True,
    ),
    Case("submit", "list import errors", submit, given=NOT_HERE, otherwise=dict.fromkeys(EVERY, DagNotFound)),
    Case("submit", "get dag", submit, given=NOT_HERE, otherwise=dict.fromkeys(EVERY, DagNotFound)),
    Case("params", "get dag details", lambda a: a.params(DAG), detail=NO_DAG, absent=equals(None)),
    Case("inputs", "get run", lambda a: a.inputs(DAG, RUN), detail=NO_RUN, absent=ValidationFailed),
    Case(
        "clear_failed",
        "get run",
        lambda a: a.clear_failed(DAG, RUN, since=None),
        detail=NO_RUN,
        absent=equals(None),
    ),
    Case(
        "clear_failed",
        "clear run",
        lambda a: a.clear_failed(DAG, RUN, since=None),
        detail=NO_RUN,
        absent=AirflowError,
    ),
    Case(
        "clear_failed",
        "get run",
        lambda a: a.clear_failed(DAG, RUN, since=None),
        detail=NO_RUN,
        absent=equals(None),
        first=said(200, **run_row()),
        has_taken_effect=True,
    ),
    Case("get", "get run", lambda a: a.get(DAG, RUN), detail=NO_RUN, absent=equals(None)),
    Case("tasks", "list tasks of a run", lambda a: a.tasks(DAG, RUN), detail=NO_RUN[4:], absent=equals([])),
    Case("structure", "list tasks of a dag", lambda a: a.structure(DAG), detail=NO_DAG, absent=equals([])),
    Case(
        "open_log",
        "get log",
        read_log,
        detail="TaskInstance not found",
        absent=equals(None),
        # The size of a log is not limited, so its Content-Length refuses nothing; but it breaks
        # off.
        otherwise={"200 huge": AirflowUnavailable},
    ),
    Case("questions", "list questions", lambda a: a.questions(DAG, RUN), otherwise={"403": equals({})}),
    Case("outputs", "list xcoms", lambda a: a.outputs(DAG, RUN, [])),
    Case(
        "outputs",
        "get xcom",
        lambda a: a.outputs(DAG, RUN, []),
        detail="XCom entry with key: `mljob_outputs` not found",
        absent=equals(Outputs({}, ("mljob_outputs of fit (deleted in Airflow before it was read)",))),
        otherwise={"200 huge": equals(Outputs({}, ("mljob_outputs of fit",)))},
    ),
    Case(
        "trigger_cancellation",
        "get dag",
        lambda a: a.trigger_cancellation(DAG, RUN, "because"),
        detail=NO_DAG.replace(DAG, CANCEL_DAG),
        absent=DagRefused,
    ),
    Case(
        "trigger_cancellation",
        "trigger",
        lambda a: a.trigger_cancellation(DAG, RUN, "because"),
        detail=NO_DAG.replace(DAG, CANCEL_DAG),
        absent=DagRefused,
    ),
    Case(
        "is_cancelling",
        "list tasks of a run",
        lambda a: a.is_cancelling(RUN),
        detail=NO_RUN[4:].replace(DAG, CANCEL_DAG).replace(RUN, CANCEL_RUN),
        absent=equals(False),
    ),
    Case(
        "cancel", "list tasks of a run", lambda a: a.cancel(DAG, RUN), detail=NO_RUN[4:], absent=fine, otherwise=GOES_ON
    ),
    Case("cancel", "list tasks of a dag", lambda a: a.cancel(DAG, RUN), detail=NO_DAG, absent=fine, otherwise=GOES_ON),
    Case("cancel", "patch run", lambda a: a.cancel(DAG, RUN), detail=NO_RUN, absent=fine),
    Case(
        "drop_cancellation",
        "get run",
        lambda a: a.drop_cancellation(RUN),
        detail=NO_RUN.replace(DAG, CANCEL_DAG).replace(RUN, CANCEL_RUN),
        absent=fine,
    ),
    Case("children", "list xcoms", lambda a: a.children(DAG, RUN)),
    Case(
        "children",
        "get child xcom",
        lambda a: a.children(DAG, RUN),
        detail="XCom entry with key: `trigger_run_id` not found",
        absent=equals([]),
        otherwise=SKIPPED,
    ),
    Case("children", "get task", lambda a: a.children(DAG, RUN), detail=NO_TASK, absent=equals([]), otherwise=SKIPPED),
    Case(
        "children", "get run", lambda a: a.children(DAG, RUN), detail=NO_RUN.replace(RUN, CHILD_RUN), absent=equals([])
    ),
    Case("set_note", "patch run", lambda a: a.set_note(DAG, RUN, "a note"), detail=NO_RUN, absent=fine),
    # A failure here doesn't matter: Airflow also ends the tasks when the run is set to failed.
    Case("cancel", "patch tasks", lambda a: a.cancel(DAG, RUN), otherwise=dict.fromkeys(EVERY - REFUSED.keys(), fine)),
    Case("changed_runs", "list changed runs", lambda a: a.changed_runs(DAY)),
    Case("changed_tasks", "list changed tasks", lambda a: a.changed_tasks(DAY)),
    Case("active_runs", "list active runs", lambda a: a.active_runs()),
    Case("paused_dags", "list dags", lambda a: a.paused_dags()),
    Case(
        "halts",
        "get dag",
        lambda a: a.halts([DAG]),
        detail=NO_DAG,
        absent=equals({DAG: Halt.STALE}),
        otherwise=dict.fromkeys([*UNREADABLE, "403"], equals({})),
    ),
    Case("probe", "version", lambda a: a.probe(), otherwise=ANY_404),
    Case("probe", "list dags", lambda a: a.probe()),
    # An Airflow may report the health of none of its components.
    Case("probe", "health", lambda a: a.probe(), otherwise={"200 {}": fine}),
    Case("backfills.create", "list backfills", lambda a: a.backfills.create(BACKFILL_DAG, MARKER, ORDER)),
    Case(
        "backfills.create",
        "create backfill",
        lambda a: a.backfills.create(BACKFILL_DAG, MARKER, ORDER),
        given=NONE_YET,
        detail=f"Could not find dag {BACKFILL_DAG}",
        absent=DagNotFound,
    ),
    Case(
        "backfills.create",
        "list backfills",
        lambda a: a.backfills.create(BACKFILL_DAG, MARKER, ORDER),
        given={"create backfill": refused(409, "There is another running backfill")},
        first=page("backfills"),
        has_taken_effect=True,
    ),
    Case("backfills.find", "list backfills", lambda a: a.backfills.find(BACKFILL_DAG, RUN)),
    Case("backfills.list_runs", "list runs of a backfill", lambda a: a.backfills.list_runs(MADE)),
    Case("backfills.not_created", "count runs of a range", lambda a: a.backfills.not_created(MADE, 0)),
    *(
        Case(f"backfills.{name}", f"{verb} backfill", ask, detail="Backfill not found", absent=fine)
        for name, verb, ask in (
            ("pause", "pause", lambda a: a.backfills.pause(BACKFILL, paused=True)),
            ("pause", "unpause", lambda a: a.backfills.pause(BACKFILL, paused=False)),
            ("cancel", "cancel", lambda a: a.backfills.cancel(BACKFILL)),
        )
    ),
    Case("backfills.changed", "list changed runs of backfills", lambda a: a.backfills.changed(DAY)),
]
CHANGES = {request.name for request in REQUESTS if request.method != "GET"} - {"login"}
"""The requests that change something in Airflow."""
CHANGING = {case.operation for case in CASES if case.request in CHANGES}
"""The operations that change something in Airflow, whose errors say whether the outcome is unknown."""


def expected(case: Case, name: str) -> Outcome:
    """Return the outcome that a case must have after the answer with this name."""
    if name == THE_THING and case.detail:
        return case.absent
    if (other := case.otherwise.get(name)) is not None:
        return other
    return REFUSED.get(name) or (AirflowUnreadable if name in UNREADABLE else AirflowUnavailable)


async def outcome(ask: Ask, airflow: Airflow) -> Any:
    try:
        return await ask(airflow)
    except AirflowError as error:
        return error


def wait_shortly(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the timeouts of one request. Other requests keep their timeouts, because the machine
    may be busy.
    """
    (request,) = (request for request in REQUESTS if request.name == name)
    send = Session._send

    def hurried(session: Session, method: Callable[..., Any], *args: Any, **query: Any) -> Any:
        this = (
            re.fullmatch(request.path, args[1]) if method == session._call else f"{request.client}_" in method.__name__
        )
        return send(session, method, *args, **(query | {"_request_timeout": SOON} if this else query))

    monkeypatch.setattr(Session, "_send", hurried)


@pytest.fixture(scope="module")
def shared() -> Iterator[ScriptedAirflow]:
    server = ScriptedAirflow()
    yield server
    server.close()


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Disable Python's garbage collection during the ``with`` block. While deeply nested JSON
    exhausts the stack, the garbage collection could call finalizers of other tests' objects, and
    these finalizers would fail.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@pytest.mark.parametrize("name", [*ANSWERS, THE_THING])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
async def test_answer_has_the_expected_outcome(
    case: Case,
    name: str,
    shared: ScriptedAirflow,
    connect: Connect,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = ANSWERS.get(name) or refused(404, case.detail or NO_RUN)
    answers = iter([case.first] if case.first else [])
    shared.told = {**case.given, case.request: lambda _: next(answers, answer)}
    shared.asked.clear()
    if answer is HANGS:
        wait_shortly(case.request, monkeypatch)
    airflow = connect(shared)
    with no_garbage_collection():
        found = await outcome(case.ask, airflow)
    assert case.request in shared.asked, "the request is made"
    assert not [record for record in caplog.records if record.levelname == "ERROR"], "nothing is unexpected"
    wanted = expected(case, name)
    if not isinstance(wanted, type):
        assert wanted(found), found
        return
    assert isinstance(found, wanted), found
    assert isinstance(found, AirflowError)
    assert isinstance(found, AirflowUnreadable) is issubclass(wanted, AirflowUnreadable), found
    if isinstance(found, AirflowUnavailable):
        assert found.retry_after == (7 if "Retry-After" in name else 0)
        assert case.otherwise or name == THE_THING or shared.url in str(found), "it says whose answer it was"
    if case.operation in CHANGING:
        may_change = case.request in CHANGES and name not in CERTAIN
        assert found.outcome_unknown is (case.has_taken_effect or may_change), found


async def test_every_operation_succeeds_with_regular_answers(server: ScriptedAirflow, connect: Connect) -> None:
    airflow = connect(server)
    for case in CASES:
        server.told = dict(case.given)
        found = await outcome(case.ask, airflow)
        allowed = (NothingToClear, LogicalDateTaken) if case.given is not NOT_HERE else DagNotFound
        assert not isinstance(found, Exception) or isinstance(found, allowed), (case.operation, found)
    assert set(server.asked) == {request.name for request in REQUESTS}


def test_cases_cover_every_operation_and_every_request() -> None:
    def operations(port: type, prefix: str = "") -> set[str]:
        found = inspect.getmembers(port, inspect.iscoroutinefunction)
        return {prefix + name for name, _ in found if not name.startswith("_") and name != "close"}

    every = operations(Airflow) | operations(AirflowRuns) | operations(AirflowBackfills, "backfills.")
    assert {case.operation for case in CASES} == every
    assert {case.request for case in CASES} == {request.name for request in REQUESTS}
    sources = Path(backfills.__file__).parent.glob("*.py")
    called = {name for path in sources for name in re.findall(r"\.(\w+)_without_preload_content", path.read_text())}
    assert {request.client for request in REQUESTS if request.client} == called
