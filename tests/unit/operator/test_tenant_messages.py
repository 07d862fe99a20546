"""A message in a status contains nothing about other tenants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from airflow_client.client import BackfillApi, DAGApi, DagRunApi, ImportErrorApi

from mljob_contract.backfill_marker import CONF_KEY, Marker
from mljob_contract.mljob import ReprocessBehavior
from mljob_operator.adapters.airflow.absence import NEVER, Absence
from mljob_operator.adapters.airflow.answers import Absent, Answer
from mljob_operator.adapters.airflow.backfills import AirflowBackfills
from mljob_operator.adapters.airflow.cancellation import RunCanceller
from mljob_operator.adapters.airflow.lanes import Work
from mljob_operator.adapters.airflow.refusals import Refusals
from mljob_operator.adapters.airflow.rows import Row
from mljob_operator.adapters.airflow.run_requests import RunRequests
from mljob_operator.adapters.airflow.structure import Structure
from mljob_operator.core.run.backfill import BackfillRequest
from mljob_operator.errors import AirflowError, BackfillActive, DagRefused, SubmissionRefused, ValidationFailed

OURS = Marker("mljob.team-a.churn.aaaaaaaaaa-1", 1)
DAG = {"dag_id": "train", "fileloc": "/dags/a/train.py", "relative_fileloc": "a/train.py", "bundle_name": "dags"}


def trace(last: str) -> str:
    return f'Traceback (most recent call last):\n  File "x.py", line 1, in <module>\n    import secret\n{last}'


def import_error(filename: str, last: str, bundle: str = "dags") -> dict[str, Any]:
    return {"filename": filename, "bundle_name": bundle, "stack_trace": trace(last)}


class FakeSession:
    """A fake session with Airflow.

    A key of ``answers`` names a request by a class and an operation of Airflow's Python client, for
    example ``(DAGApi, "get_dag")``. The value is the result or the exception of the request.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, answers: dict[tuple[type, str], Any]) -> None:
        self.client = None
        self.lists = FakeListReader(self)
        for (api, operation), answer in answers.items():
            monkeypatch.setattr(api, f"{operation}_without_preload_content", self._answering(answer))

    @staticmethod
    def _answering(answer: Any) -> Callable[..., Any]:
        def ask(*_: Any, **__: Any) -> Any:
            if isinstance(answer, Exception):
                raise answer
            return answer

        return ask

    def ask(self, method: Callable[..., Any], *_: Any, absent: Absence = NEVER, **__: Any) -> Row:
        try:
            return Row(method(), "Airflow")
        except Answer as answer:
            if answer.status == 404 and absent is not NEVER:
                raise Absent(answer.status, answer.detail) from answer
            raise

    def assert_backfills(self) -> None: ...


class FakeListReader:
    def __init__(self, session: FakeSession) -> None:
        self._session = session

    def rows(self, field: str, method: Callable[..., Any], *_: Any, **__: Any) -> Iterator[Row]:
        yield from self._session.ask(method).rows(field)


def refusals(monkeypatch: pytest.MonkeyPatch, dag: Any, errors: list[dict[str, Any]]) -> Refusals:
    answers = {
        (DAGApi, "get_dag"): dag,
        (DAGApi, "get_dags"): {"dags": [{"dag_id": dag_id} for dag_id in ("train_digits", "trains", "fraud")]},
        (ImportErrorApi, "get_import_errors"): {"import_errors": errors},
    }
    return Refusals(FakeSession(monkeypatch, answers))  # type: ignore[arg-type]


OTHERS = [import_error("b/fraud.py", "KeyError: 'FRAUD_TOKEN'"), import_error("a/train.py", "KeyError: 'OTHER'", "b")]
SETTINGS_AIRFLOW = import_error("a/train.py", "ImportError: no module named torch")


@pytest.mark.parametrize(
    ("dag", "errors", "told"),
    [
        pytest.param(DAG, [*OTHERS, SETTINGS_AIRFLOW], "a/train.py: ImportError: no module named torch", id="its file"),
        pytest.param(DAG, OTHERS, "", id="other files, and one of that name in another bundle"),
        pytest.param(
            Answer(404, ""), [OTHERS[0], SETTINGS_AIRFLOW], "a/train.py: ImportError", id="unknown, a file of its name"
        ),
        pytest.param(Answer(404, ""), OTHERS[:1], "", id="unknown, other files"),
        pytest.param(Answer(500, "boom"), [SETTINGS_AIRFLOW], "", id="Airflow does not tell"),
    ],
)
def test_only_the_import_error_of_the_dags_own_file_is_shown(
    monkeypatch: pytest.MonkeyPatch, dag: Any, errors: list[dict[str, Any]], told: str
) -> None:
    explained = refusals(monkeypatch, dag, errors)
    broken = explained.of_submission("train", Answer(400, "DAG with dag_id: 'train' has import errors"))
    for message in (str(broken), str(explained.no_dag("train"))):
        assert told in message
        assert "fraud" not in message.lower()
        assert "OTHER" not in message
        assert "secret" not in message
        assert ("Error:" in message) is bool(told)


@pytest.mark.parametrize(
    ("status", "detail", "kind", "says"),
    [
        pytest.param(
            400,
            "Dag with dag_id: 'train' does not allow manual runs",
            SubmissionRefused,
            "does not allow manual runs. Add manual to the DAG's allowed_run_types.",
            id="scheduled runs only",
        ),
        pytest.param(
            400,
            "The run_id provided 'mljob.a.b.c-1' does not match regex pattern '^[a-z_]+$' or '^(?:manual|scheduled)__'",
            SubmissionRefused,
            "or '^(?:manual|scheduled)__'. An administrator of Airflow has to extend [scheduler] allowed_run_id_pattern",
            id="a pattern of run ids",
        ),
        pytest.param(
            400,
            "Invalid input for param epochs: '2h' is not of type 'integer'",
            ValidationFailed,
            "'2h' is not of type 'integer'. (write the duration as a number; in seconds, two hours are 7200.) Change spec.conf",
            id="a duration",
        ),
        pytest.param(
            400,
            "Invalid input for param day: '2026-01-01' is not a 'date-time'",
            ValidationFailed,
            "such as 2026-01-01T00:00:00Z.) Change spec.conf",
            id="a date",
        ),
    ],
)
def test_refusal_names_the_cause_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch, status: int, detail: str, kind: type[AirflowError], says: str
) -> None:
    error = refusals(monkeypatch, DAG, []).of_submission("train", Answer(status, detail))
    assert type(error) is kind
    assert says in str(error)
    assert error.longest_delay >= 120


def test_similar_dags_are_found_and_not_in_the_message(monkeypatch: pytest.MonkeyPatch) -> None:
    error = refusals(monkeypatch, Answer(404, ""), []).no_dag("train_digit")
    assert error.similar[0] == "train_digits"
    assert "fraud" not in error.similar
    # The access rules decide whether a tenant may read the ids of similar DAGs.
    assert "train_digits" not in str(error)


def test_last_line_of_a_traceback_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    explained = refusals(monkeypatch, DAG, [import_error("a/train.py", "ValueError: " + "x" * 5000)])
    assert len(str(explained.no_dag("train"))) < 700


@pytest.mark.parametrize(
    ("theirs", "named"),
    [
        pytest.param(Marker("mljob.team-a.nightly.bbbbbbbbbb-1", 1), True, id="of the same namespace"),
        pytest.param(Marker("mljob.team-b.nightly.bbbbbbbbbb-1", 1), False, id="of another namespace"),
        pytest.param(Marker("other.team-a.nightly.bbbbbbbbbb-1", 1), False, id="of another cluster"),
        pytest.param(None, False, id="of nobody here"),
    ],
)
async def test_owner_of_the_active_backfill_is_named_only_within_its_namespace(
    monkeypatch: pytest.MonkeyPatch, theirs: Marker | None, named: bool
) -> None:
    at = "2025-12-01T00:00:00Z"
    conf = {**(theirs.as_conf() if theirs else {}), "customer": "acme"}
    active = {
        "id": 4711,
        "dag_id": "days",
        "dag_run_conf": conf,
        "from_date": at,
        "to_date": at,
        "created_at": at,
        "completed_at": None,
        "is_paused": False,
        "reprocess_behavior": "none",
        "max_active_runs": 1,
    }
    assert theirs is None or CONF_KEY in conf
    session = FakeSession(
        monkeypatch,
        {
            (BackfillApi, "list_backfills"): {"backfills": [active]},
            (BackfillApi, "create_backfill"): Answer(409, "There can be only one"),
        },
    )

    async def here(_work: Work, _operation: str, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)

    backfills = AirflowBackfills(session, here, None, prefix="mljob")  # type: ignore[arg-type]
    with pytest.raises(BackfillActive) as refused:
        await backfills.create("days", OURS, an_order())
    message = str(refused.value)
    assert ("nightly" in message) is named
    for theirs_alone in ("4711", "2025", "team-b", "acme"):
        assert theirs_alone not in message


def an_order() -> BackfillRequest:
    at = datetime(2025, 12, 1, tzinfo=UTC)
    return BackfillRequest(at, at, ReprocessBehavior.NONE, 1, False, {})


def test_cause_that_the_cancellation_dag_cannot_run_is_only_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    dag = {**DAG, "is_paused": False, "relative_fileloc": "mljob_cancel.py"}
    session: Any = FakeSession(
        monkeypatch,
        {
            (DAGApi, "get_dag"): dag,
            (DagRunApi, "trigger_dag_run"): Answer(400, "DAG has import errors"),
            (ImportErrorApi, "get_import_errors"): {
                "import_errors": [import_error("mljob_cancel.py", "KeyError: 'X'")]
            },
        },
    )
    runs = RunRequests(session, Refusals(session))
    cancellation = RunCanceller(session, runs, Structure(session), dag_id="mljob_cancel")
    with pytest.raises(DagRefused) as refused:
        cancellation.trigger("train", OURS.run_id, "a test")
    assert str(refused.value) == "the cancellation DAG mljob_cancel can't be run (DagImportError)"
    assert "KeyError: 'X'" in caplog.text
