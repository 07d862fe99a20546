"""The operator can read every MLJob that the API server has stored."""

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from mljob_contract.airflow_id import AirflowId
from mljob_contract.airflow_instance import AccessRule
from mljob_contract.mljob import MLJobSpec
from mljob_contract.times import Time
from mljob_operator.core.airflow_instance.access import matches
from mljob_operator.core.airflow_instance.instance import Instance
from mljob_operator.core.mljob.classification.inputs import Inputs
from mljob_operator.core.mljob.classification.state import classify
from mljob_operator.core.mljob.decisions import decide
from mljob_operator.core.mljob.remembered import remember
from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.mljob.transient_state import TransientState
from mljob_operator.core.run.run_key import RunKey
from mljob_operator.core.status.build import report
from mljob_operator.core.status.single_run import SINGLE_RUN
from tests.deep import nested
from tests.strategies import EPOCH

FIRST = datetime(1900, 1, 2, tzinfo=UTC)
BACKFILL = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-31T00:00:00Z"}


def job_of(spec: object, status: object = None, **metadata: object) -> Job:
    meta = {"namespace": "a", "name": "b", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z", **metadata}
    return Job.from_object({"metadata": meta, "spec": spec, "status": status})


class TestSpec:
    @pytest.mark.parametrize(
        ("spec", "says"),
        [
            (
                {"dagId": "train", "activeDeadlineSeconds": "2h"},
                r"spec\.activeDeadlineSeconds: .*, not '2h' \(write a number of seconds, such as 7200 for two hours\)",
            ),
            (
                {"dagId": "train", "logicalDate": "soon"},
                r"spec\.logicalDate: .*, not 'soon' \(write a date, a time and a time zone, such as 2026-01-01T00:00:00Z\)",
            ),
            ({}, "spec.dagId is missing"),
            ("train", "spec.dagId is missing"),
            ({"dagId": "my dag"}, "spec.dagId: String should match pattern .*, not 'my dag'"),
            ({"dagId": 7}, "spec.dagId: Input should be a valid string, not 7"),
            ({"dagId": "train", "conf": nested(300)}, "spec.conf is nested 300 levels deep, over the limit of 32"),
            ({"dagId": "train", "conf": {"a": "x" * 2**20}}, "spec.conf takes 1048584 bytes as JSON"),
            ({"dagId": "train", "conf": [1]}, "spec.conf: Input should be a valid dictionary"),
            (
                {"dagId": "train", "backfill": {**BACKFILL, "from": "0000-01-01T00:00:00Z"}},
                "spec.backfill.from: .*year 0 is out of range, not '0000-01-01T00:00:00Z'",
            ),
            (
                {"dagId": "train", "backfill": {**BACKFILL, "to": "9999-12-31T00:00:00Z"}},
                "spec.backfill.to: must be in the years 1900 to 2999, not '9999-12-31T00:00:00Z'",
            ),
            ({"dagId": "train", "backoffLimit": 10**30}, "spec.backoffLimit: Input should be less than or equal to"),
            ({"dagId": "train", "runPolicy": "Twice"}, "spec.runPolicy: .*, not 'Twice'"),
            ({"dagId": "train", "x" * 3000: 1, "outputs": {}}, "spec.outputs: Input should be a valid list"),
            (
                {"dagId": "train", "type": 1, "suspend": "no way", "cancel": "x", "outputs": 1, "ttl": 1},
                "; and 1 more$",
            ),
        ],
        ids=lambda value: str(value)[:40],
    )
    def test_an_invalid_field_is_named(self, spec: object, says: str) -> None:
        job = job_of(spec)
        assert re.search(says, job.parsed.problem or ""), job.parsed.problem
        assert len(job.parsed.problem or "") < 1000

    def test_the_other_fields_of_the_spec_are_read(self) -> None:
        job = job_of({"dagId": "train", "conf": nested(300), "deletionPolicy": "Retain", "cancel": True})
        assert (job.spec.dag_id, job.spec.conf, str(job.spec.deletion_policy), job.spec.cancel) == (
            "train",
            {},
            "Retain",
            True,
        )

    def test_the_problem_of_an_instance_names_the_field(self) -> None:
        instance = Instance.from_object(
            {"metadata": {"name": "prod", "uid": "u"}, "spec": {"url": "nowhere", "maxActiveRuns": 5}}
        )
        assert "spec.credentials is missing" in (instance.problem or "")
        assert "spec.url: String should match pattern" in (instance.problem or "")
        assert instance.spec.max_active_runs == 5


class TestVersions:
    def test_spec_of_the_same_generation_is_not_read_again(self) -> None:
        first = job_of({"dagId": "train"}, generation=3)
        body = {"metadata": {"namespace": "a", "name": "b", "uid": "u", "generation": 3}, "spec": {"dagId": "train"}}
        assert Job.from_object(body, first).parsed is first.parsed

    @pytest.mark.parametrize(
        "metadata", [{"generation": 4}, {"uid": "another", "generation": 3}, {}], ids=["edited", "recreated", "unknown"]
    )
    def test_spec_of_another_generation_is_read(self, metadata: dict[str, object]) -> None:
        first = job_of({"dagId": "train"}, generation=3)
        meta = {"namespace": "a", "name": "b", "uid": "u", **metadata}
        later = Job.from_object({"metadata": meta, "spec": {"dagId": "other"}}, first)
        assert later.spec.dag_id == "other"
        assert later.parsed.hash != first.parsed.hash


class TestIds:
    OURS = TypeAdapter(AirflowId)

    @given(st.text(st.characters(exclude_categories=("Cs", "Cn")), max_size=8) | st.from_regex(r"\A[\w.-]{1,8}\Z"))
    def test_an_id_fits_if_airflow_allows_it(self, text: str) -> None:
        assert self.fits(text) is bool(re.fullmatch(r"[\w.-]{1,250}", text))

    def test_each_unicode_character_is_allowed_as_in_airflow(self) -> None:
        known = [chr(code) for code in range(sys.maxunicode) if not 0xD800 <= code < 0xE000]
        allowed = {char for char in known if re.fullmatch(r"[\w.-]", char)}
        for start in range(0, len(known), 200):
            part = [char for char in known[start : start + 200] if char in allowed]
            assert not part or self.fits("".join(part))
        for char in (" ", "/", "\n", "\x00", "\u0300", "\u200d", "²́", "%", "~", ":", "@"):
            assert not self.fits(f"a{char}")

    @pytest.mark.parametrize(
        "dag_id", ["train", "vorhersage_für_Bär", "训练.模型", "обучение-1", "x²", "a..b", ".a.", "ª" * 250]
    )
    def test_a_dag_of_any_language_is_run_linked_and_ruled(self, dag_id: str) -> None:
        job = job_of({"dagId": dag_id, "outputs": [{"name": "score", "taskId": dag_id}]})
        assert job.parsed.problem is None
        link = SINGLE_RUN.url("https://airflow", RunKey("", dag_id, "run"))
        assert link.isascii()
        assert unquote(link) == f"https://airflow/dags/{dag_id}/runs/run"
        assert matches(AccessRule(dags=[f"{dag_id[:-1]}?"]).dags, dag_id)

    def fits(self, text: str) -> bool:
        try:
            self.OURS.validate_python(text)
        except ValidationError:
            return False
        return True


TIMES: list[tuple[str, datetime | None]] = [
    ("2026-01-01T00:00:00Z", datetime(2026, 1, 1, tzinfo=UTC)),
    ("2026-01-01t00:00:00z", datetime(2026, 1, 1, tzinfo=UTC)),
    ("2026-01-01T00:00:00.123456789Z", datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)),
    ("2026-01-01T02:00:00+02:00", datetime(2026, 1, 1, tzinfo=UTC)),
    ("2026-01-02T00:00:00+24:00", datetime(2026, 1, 1, tzinfo=UTC)),
    ("2025-12-31T00:00:00-24:00", datetime(2026, 1, 1, tzinfo=UTC)),
    ("2026-01-02T00:30:00.5+24:30", datetime(2026, 1, 1, 0, 0, 0, 500000, tzinfo=UTC)),
    ("2026-01-01T02:00:00+01:60", datetime(2026, 1, 1, tzinfo=UTC)),
    ("2026-01-02T01:00:00+24:60", datetime(2026, 1, 1, tzinfo=UTC)),
    ("1900-01-02T00:00:00Z", datetime(1900, 1, 2, tzinfo=UTC)),
    ("2999-12-30T23:59:59Z", datetime(2999, 12, 30, 23, 59, 59, tzinfo=UTC)),
    ("0000-01-01T00:00:00Z", None),
    ("0001-01-01T00:00:00+24:00", None),
    ("9999-12-31T23:59:59-24:00", None),
    ("9999-12-31T23:59:59-14:00", None),
    ("1899-12-31T00:00:00Z", None),
    ("2026-01-01T00:00:00", None),
    ("2026-01-01T00:00:60Z", None),
    ("2026-02-30T00:00:00Z", None),
    ("2026-01-01T00:00:00Zt", None),
    ("2026-01-01T00:00:00+25:00", None),
    ("2026-01-01T00:00:00+99:99", None),
    ("tomorrow", None),
    ("", None),
]


class TestTimes:
    """The operator reads every date-time that the CRD accepts, even with an unusual UTC offset such
    as ``+24:00`` or ``+01:60``. If the operator can't read a time, the operator reports a problem
    with the MLJob's spec.
    """

    @pytest.mark.parametrize(("text", "at"), TIMES, ids=[text for text, _ in TIMES])
    def test_a_time_is_read_or_named_as_a_problem(self, text: str, at: datetime | None) -> None:
        job = job_of({"dagId": "days", "type": "Backfill", "backfill": {"from": text, "to": "2999-12-30T23:59:59Z"}})
        assert (job.parsed.problem is None) is (at is not None)
        if at is not None:
            assert job.spec.backfill is not None
            assert job.spec.backfill.from_ == at

    @given(
        st.integers(0, (datetime(2999, 12, 30, tzinfo=UTC) - FIRST) // timedelta(seconds=1)),
        st.integers(0, 24),
        st.integers(0, 60),
        st.sampled_from("+-"),
        st.sampled_from(["", ".5", ".123456789"]),
    )
    def test_every_time_that_the_rules_of_the_crd_accept_is_read(
        self, seconds: int, hours: int, minutes: int, sign: str, fraction: str
    ) -> None:
        offset = timedelta(hours=hours, minutes=minutes) * (1 if sign == "+" else -1)
        utc = FIRST + timedelta(seconds=seconds)
        local = (utc + offset).replace(tzinfo=None).isoformat()
        read = TypeAdapter(Time).validate_python(f"{local}{fraction}{sign}{hours:02}:{minutes:02}")
        assert read.replace(microsecond=0) == utc

    def test_an_offset_does_not_change_what_identifies_a_backfill(self) -> None:
        spec = MLJobSpec.model_validate(
            {"dagId": "days", "backfill": {**BACKFILL, "from": "2026-01-01T02:00:00+02:00"}}
        )
        # A conversion to UTC would change the spec's hash, so that another backfill would begin.
        assert spec.model_dump(mode="json", by_alias=True)["backfill"]["from"] == "2026-01-01T02:00:00+02:00"


huge = st.sampled_from([0, 1, -1, 2, 2**31 - 1, 2**31, 2**53, 2**63 - 1, -(2**63), 1e308])
dates = st.sampled_from([text for text, _ in TIMES])
words = st.sampled_from(["", "x", "Cancelling", "Suspending", "mljob.a.b.aaaaaaaaaa-1", "y" * 2000, "\x00", "-"])
outputs = st.sampled_from([{}, {"a": None}, nested(50), nested(300), {"a": "x" * 300_000}])
phases = st.sampled_from(
    ["Pending", "Suspended", "Queued", "Running", "Cancelling", "Succeeded", "Failed", "Cancelled"]
)
attempts = st.fixed_dictionaries(
    {"attempt": huge, "dagRunId": words, "phase": phases, "reason": words, "completionTime": dates},
    optional={"startTime": dates, "message": words},
)
tasks = st.fixed_dictionaries(
    {"taskId": words, "state": words | st.sampled_from(["failed", "running", "awaiting_input"])},
    optional={
        "tryNumber": huge,
        "startTime": dates,
        "endTime": dates,
        "progress": st.integers(0, 100),
        "metrics": st.dictionaries(words, st.floats(allow_nan=False, allow_infinity=False), max_size=2),
        "error": st.fixed_dictionaries({"message": words}),
        "mapped": st.fixed_dictionaries({"total": huge}),
    },
)
conditions = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["Complete", "Stalled", "SpecApplied", "Suspended", "z"]),
        "status": st.sampled_from(["True", "False", "Unknown"]),
        "reason": words.filter(bool),
        "lastTransitionTime": dates,
    }
)
statuses: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {},
    optional={
        "observedGeneration": huge,
        "phase": phases,
        "reason": words,
        "message": words,
        "dagId": words,
        "airflowInstance": words,
        "dagRunId": words,
        "dagRunState": words,
        "attempts": huge,
        "failedAttempts": huge,
        "specHash": words,
        "submittedBy": words,
        "activeSince": dates,
        "submitTime": dates,
        "startTime": dates,
        "completionTime": dates,
        "lastEventTime": dates,
        "progress": words,
        "percent": st.integers(0, 100),
        "tasksOmitted": huge,
        "outputs": outputs,
        "tasks": st.lists(tasks, max_size=2),
        "history": st.lists(attempts, max_size=2),
        "conditions": st.lists(conditions, max_size=2),
    },
)
specs = st.fixed_dictionaries(
    {"dagId": st.sampled_from(["train", ".a.", "训练"])},
    optional={
        "activeDeadlineSeconds": st.sampled_from([1, 2**31 - 1]),
        "preRunningDeadlineSeconds": st.sampled_from([1, 2**31 - 1]),
        "ttlSecondsAfterFinished": st.sampled_from([0, 2**31 - 1]),
        "backoffLimit": st.sampled_from([0, 1000]),
        "runPolicy": st.sampled_from(["Once", "OnChange", "OncePerSpec"]),
        "retryStrategy": st.sampled_from(["ClearFailed", "NewRun"]),
        "suspend": st.booleans(),
        "cancel": st.booleans(),
        "conf": st.sampled_from([{}, nested(33)]),
    },
)


@given(specs, statuses, st.sampled_from([None, "2026-01-01T00:00:00Z"]), st.booleans())
def test_the_operator_can_continue_from_any_stored_status(
    spec: dict[str, Any], status: dict[str, Any], deleted: str | None, held: bool
) -> None:
    finalizers = ["mljob.dev/cancellation"] if held else []
    job = job_of(spec, status, deletionTimestamp=deleted, finalizers=finalizers)
    for now in (EPOCH, EPOCH + timedelta(days=40_000)):
        situation = classify(Inputs(job, remember(job.status), TransientState(), now))
        decide(situation)
        written = report(situation, ui_url="https://airflow")
        assert not job_of(spec, written).stored.is_invalid, "the operator reads every status that it writes"
