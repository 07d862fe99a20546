"""The collector makes a monitoring report with few requests to Airflow."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mljob_airflow.monitoring import collector, report_limits
from mljob_airflow.monitoring.collector import ReportContext, collect_bottlenecks, collect_problems
from mljob_airflow.monitoring.findings.fingerprints import STOPPED, ErrorText
from mljob_airflow.monitoring.findings.mutes import parse
from mljob_airflow.monitoring.links import Links
from mljob_airflow.monitoring.observations import (
    Asset,
    BrokenFile,
    Dag,
    Listing,
    Pool,
    QueuedRun,
    RunningRuns,
    TaskInstance,
)
from mljob_airflow.monitoring.thresholds import Thresholds
from mljob_airflow.rest.client import AirflowApiError
from mljob_contract.reports import FindingKind, MonitoringReport, Severity

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
CONTEXT = ReportContext("mljob_monitor", "tests", "mljob", Links("https://airflow.example"), NOW)
ABOUT_DAGS = (FindingKind.DAG_PAUSED, FindingKind.DAG_STALE, FindingKind.IMPORT_ERROR)


@dataclass
class FakeAirflow:
    dags: list[Dag] = field(default_factory=list)
    unlisted: dict[str, Dag] = field(default_factory=dict)
    broken: list[BrokenFile] = field(default_factory=list)
    known_assets: list[Asset] = field(default_factory=list)
    queued: list[QueuedRun] = field(default_factory=list)
    ours: set[str] = field(default_factory=set)
    tasks: list[TaskInstance] = field(default_factory=list)
    errors: dict[str, ErrorText] = field(default_factory=dict)
    complete: bool = True
    cut: set[str] = field(default_factory=set)
    """The requests whose lists have more rows than were read."""
    forbidden: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)

    @property
    def requests(self) -> int:
        return len(self.calls)

    def _asked(self, what: str) -> None:
        self.calls.append(what)
        if what in self.forbidden:
            raise AirflowApiError(f"could not {what}: 403", 403)

    def dags_in_use(self, since: datetime) -> Listing[Dag]:
        self._asked("dags")
        return Listing(self.dags, self.complete)

    def dag(self, dag_id: str) -> Dag | None:
        self._asked("dag")
        return self.unlisted.get(dag_id)

    def import_errors(self) -> Listing[BrokenFile]:
        self._asked("import_errors")
        return Listing(self.broken)

    def assets(self) -> Listing[Asset]:
        self._asked("assets")
        return Listing(self.known_assets, "assets" not in self.cut)

    def queued_runs(self, now: datetime) -> Listing[QueuedRun]:
        self._asked("queued")
        return Listing(self.queued)

    def running_runs(self, dag_id: str) -> RunningRuns:
        self._asked("running")
        return RunningRuns()

    def mljob_runs(self, dag_id: str, prefix: str, since: datetime) -> Sequence[str]:
        self._asked("mljobs")
        return [f"{prefix}.team.churn.abcdefg234-1"] if dag_id in self.ours else []

    def failed_tasks(self, since: datetime) -> Listing[TaskInstance]:
        self._asked("failed")
        return Listing([ti for ti in self.tasks if ti.state == "failed"])

    def waiting_tasks(self) -> Listing[TaskInstance]:
        self._asked("waiting")
        return Listing([ti for ti in self.tasks if ti.state in ("queued", "scheduled")])

    def recent_tasks(self, since: datetime) -> Listing[TaskInstance]:
        self._asked("recent")
        return Listing([ti for ti in self.tasks if ti.state in ("success", "running")])

    def task_history(self, dag_id: str, task_id: str, states: Sequence[str], limit: int) -> Sequence[TaskInstance]:
        self._asked("history")
        of_task = [ti for ti in self.tasks if (ti.dag_id, ti.task_id) == (dag_id, task_id)]
        return [ti for ti in of_task if ti.state in states][:limit]

    def tasks_of_window(self, since: datetime) -> Listing[TaskInstance]:
        self._asked("window")
        return Listing(self.tasks, self.complete)

    def pools(self) -> Listing[Pool]:
        self._asked("pools")
        return Listing([Pool("default_pool", 8)], "pools" not in self.cut)

    def last_error(self, instance: TaskInstance) -> ErrorText | None:
        self._asked("log")
        return self.errors.get(instance.task_id)


def failing(task_id: str, runs: int = 3, dag_id: str = "churn") -> list[TaskInstance]:
    return [
        TaskInstance(dag_id, f"run-{n}", task_id, state="failed", end=NOW - timedelta(hours=n)) for n in range(runs)
    ]


def make_report(airflow: FakeAirflow, **thresholds: Any) -> MonitoringReport:
    return collect_problems(airflow, Thresholds(**thresholds), CONTEXT)


def kinds(report: MonitoringReport) -> list[FindingKind]:
    return [finding.kind for finding in report.findings]


def test_an_airflow_without_problems_takes_six_requests() -> None:
    airflow = FakeAirflow(dags=[Dag("churn", schedule="@daily")])
    assert make_report(airflow).findings == ()
    assert airflow.calls == ["dags", "queued", "import_errors", "waiting", "failed", "recent"]


def test_findings_have_owners_and_are_sorted_by_severity() -> None:
    old = NOW - timedelta(hours=2)
    airflow = FakeAirflow(
        dags=[Dag("paused", ("team-a",), is_paused=True, schedule="@daily"), Dag("churn", ("team-b",))],
        unlisted={"new": Dag("new", ("team-c",))},
        broken=[BrokenFile("x.py", "b", old, "SyntaxError: x")],
        queued=[QueuedRun("new", "manual", old)],
        tasks=[*failing("fit"), TaskInstance("churn", "r", "late", state="queued", queued=old)],
        errors={"fit": ErrorText("ValueError", "no rows")},
    )
    report = make_report(airflow)
    assert [(finding.kind.value, finding.owners) for finding in report.findings] == [
        ("recurring_failure", ("team-b",)),
        ("stuck_queued", ("team-b",)),
        ("stuck_queued", ("team-c",)),
        ("dag_paused", ("team-a",)),
        ("import_error", ()),
    ]
    assert report.incomplete == {}
    assert report.requests == len(airflow.calls)


def test_a_paused_dag_without_a_schedule_is_a_finding_when_mljobs_run_it() -> None:
    airflow = FakeAirflow(dags=[Dag("a", is_paused=True), Dag("b", is_paused=True)], ours={"b"})
    [finding] = make_report(airflow).findings
    assert (finding.subject, finding.mljobs) == ("b", ("team/churn",))
    assert finding.detail == "MLJobs run the DAG: team/churn. Unpause the DAG."


@pytest.mark.parametrize(
    ("run_id", "mljobs"),
    [
        ("mljob.team.churn.abcdefg234-1", ("team/churn",)),
        ("other.team.churn.abcdefg234-1", ("team/churn",)),
        ("manual", ()),
    ],
    ids=["ours", "another cluster's", "nobody's"],
)
def test_a_queued_run_names_its_mljob_by_its_id(run_id: str, mljobs: tuple[str, ...]) -> None:
    airflow = FakeAirflow(dags=[Dag("churn", is_paused=True)], queued=[QueuedRun("churn", run_id, NOW)])
    [finding] = make_report(airflow).findings
    assert finding.mljobs == mljobs
    assert ("MLJobs run the DAG: team/churn." in finding.detail) is bool(mljobs)


def test_the_number_of_logs_is_bounded_and_the_report_says_so() -> None:
    airflow = FakeAirflow(
        tasks=[*failing("a"), *failing("b"), *failing("c")], errors={n: ErrorText("E", "") for n in "abc"}
    )
    report = make_report(airflow, log_reads=4)
    assert airflow.calls.count("log") == 4
    assert "log_reads" in report.incomplete[FindingKind.RECURRING_FAILURE]


def test_a_failure_keeps_its_key_when_not_all_logs_are_read() -> None:
    names = [f"t{n:02}" for n in range(30)]
    tasks = [instance for name in names for instance in failing(name)]
    airflow = FakeAirflow(
        tasks=tasks, errors={name: ErrorText("OperationalError", f"{name} is down") for name in names}
    )
    some, every = make_report(airflow), make_report(airflow, log_reads=1000)
    assert airflow.calls.count("log") == 60 + 90
    assert FindingKind.RECURRING_FAILURE in some.incomplete
    assert {finding.key for finding in some.findings} == {finding.key for finding in every.findings}
    assert all(finding.detail.startswith("OperationalError: t") for finding in some.findings)


def test_a_task_with_many_failures_leaves_logs_to_read_for_the_others() -> None:
    often = [*failing("a", runs=8), *failing("b")]
    airflow = FakeAirflow(tasks=often, errors={n: ErrorText("E", n) for n in "ab"})
    report = make_report(airflow, log_reads=6)
    assert {finding.detail for finding in report.findings} == {"E: a", "E: b"}


def cancelled(task_id: str, runs: int, **fields: Any) -> list[TaskInstance]:
    return [replace(task, run_id=f"cancelled-{n}", **fields) for n, task in enumerate(failing(task_id, runs))]


@pytest.mark.parametrize("others", [0, 3])
@pytest.mark.parametrize(
    ("fields", "error", "runs"),
    [
        pytest.param({"try_number": 0}, None, 20, id="before it started"),
        pytest.param({"is_cancelled": True}, None, 20, id="by the cancellation DAG"),
        pytest.param({}, STOPPED, 7, id="while it ran"),
    ],
)
def test_cancelled_tasks_neither_are_nor_hide_recurring_failures(
    fields: dict[str, Any], error: ErrorText | None, runs: int, others: int
) -> None:
    class Logs(FakeAirflow):
        def last_error(self, instance: TaskInstance) -> ErrorText | None:
            return error if instance.run_id.startswith("cancelled") else ErrorText("ValueError", "no rows")

    report = make_report(Logs(tasks=[*cancelled("fit", runs, **fields), *failing("fit", others)]))
    assert [(finding.severity, finding.title) for finding in report.findings] == (
        [(Severity.CRITICAL, "churn.fit failed in 3 of its last 3 runs")] if others else []
    )


@pytest.mark.parametrize("state", [None, "scheduled", "queued", "running", "up_for_retry", "upstream_failed"])
@pytest.mark.parametrize("waiting", [1, 20])
def test_runs_whose_task_has_not_ended_hide_no_recurring_failure(state: str | None, waiting: int) -> None:
    unended = [TaskInstance("churn", f"newer-{n}", "fit", state=state) for n in range(waiting)]
    airflow = FakeAirflow(tasks=[*unended, *failing("fit")], errors={"fit": ErrorText("ValueError", "no rows")})
    [finding] = make_report(airflow).findings
    assert (finding.severity, finding.title) == (Severity.CRITICAL, "churn.fit failed in 3 of its last 3 runs")


def test_runs_that_have_not_started_do_not_shorten_the_history_of_durations() -> None:
    old = [measured(n) for n in range(1, 40)]
    slow = [replace(measured(0, minutes=n), run_id=f"slow-{n}", duration=900.0) for n in (1, 2)]
    unstarted = [TaskInstance("churn", f"newer-{n}", "fit") for n in range(100)]
    report = make_report(FakeAirflow(dags=[Dag("churn", ("team-a",))], tasks=[*unstarted, *slow, *old]))
    assert kinds(report) == [FindingKind.SLOW_TASK]


def test_the_number_of_suspects_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "MAX_SUSPECTS", 3)
    airflow = FakeAirflow(
        dags=[Dag(f"d{n}", is_paused=True, schedule="@daily") for n in range(9)], queued=[QueuedRun("d8", "r", NOW)]
    )
    report = make_report(airflow)
    assert airflow.calls.count("mljobs") == 3
    assert [finding.subject for finding in report.findings] == ["d8", "d0", "d1"]
    assert FindingKind.DAG_PAUSED in report.incomplete


def test_the_number_of_unlisted_dags_with_queued_runs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "MAX_UNLISTED", 2)
    names = ["d0", "d1", "d2"]
    airflow = FakeAirflow(
        unlisted={name: Dag(name, is_paused=True) for name in names},
        queued=[QueuedRun(name, "r", NOW - timedelta(minutes=9 - n)) for n, name in enumerate(names)],
    )
    report = make_report(airflow)
    assert [(finding.kind, finding.subject) for finding in report.findings] == [
        (FindingKind.DAG_PAUSED, "d0"),
        (FindingKind.DAG_PAUSED, "d1"),
    ]
    why = "only 2 of the DAGs that the list of DAGs in use lacks were read"
    assert report.incomplete == dict.fromkeys(ABOUT_DAGS, why)


def retried(dag_id: str) -> list[TaskInstance]:
    return [TaskInstance(dag_id, f"r{n}", "load", state="success", try_number=2, end=NOW) for n in range(6)]


def test_dags_with_retries_are_read_in_one_list() -> None:
    names = [f"d{n:03}" for n in range(150)]
    airflow = FakeAirflow(
        dags=[Dag(name, (f"team-{name}",), tags=("mljob-mute",) * (name == "d120")) for name in names],
        tasks=[task for name in names for task in retried(name)],
    )
    report = collect_bottlenecks(airflow, Thresholds(), CONTEXT)
    assert airflow.calls == ["window", "pools", "dags"]
    assert report.muted_keys == {"many_retries:d120.load"}
    assert {finding.dag_id: finding.owners for finding in report.findings} == {
        name: (f"team-{name}",) for name in names if name != "d120"
    }
    assert report.incomplete == {}


LATE = NOW - timedelta(hours=2)


@pytest.mark.parametrize(
    ("collect", "airflow", "found"),
    [
        (
            collect_bottlenecks,
            lambda name: FakeAirflow(tasks=retried(name)),
            {FindingKind.MANY_RETRIES},
        ),
        (
            collect_problems,
            lambda name: FakeAirflow(tasks=failing("load", dag_id=name)),
            {FindingKind.RECURRING_FAILURE},
        ),
        (
            collect_problems,
            lambda name: FakeAirflow(queued=[QueuedRun(name, "r", LATE)]),
            {*ABOUT_DAGS, FindingKind.STUCK_QUEUED},
        ),
        (
            collect_problems,
            lambda name: FakeAirflow(tasks=[TaskInstance(name, "r", "load", state="queued", queued=LATE)]),
            {FindingKind.STUCK_QUEUED},
        ),
        (
            collect_problems,
            lambda name: FakeAirflow(tasks=[TaskInstance(name, "r", "load", state="running", start=LATE)]),
            {FindingKind.SLOW_TASK, FindingKind.LONG_WAIT},
        ),
    ],
    ids=["retries", "failures", "queued runs", "waiting tasks", "outliers"],
)
def test_a_report_without_a_dag_that_it_needs_is_incomplete(
    monkeypatch: pytest.MonkeyPatch,
    collect: Callable[[FakeAirflow, Thresholds, ReportContext], MonitoringReport],
    airflow: Callable[[str], FakeAirflow],
    found: set[FindingKind],
) -> None:
    assert collect(airflow("new"), Thresholds(), CONTEXT).incomplete == {}
    monkeypatch.setattr(collector, "MAX_UNLISTED", 0)
    assert collect(airflow("new"), Thresholds(), CONTEXT).incomplete.keys() == found


def test_running_runs_are_counted_for_a_limited_number_of_active_dags(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "MAX_UNLISTED", 2)
    paused, *active = dags = [Dag(f"d{n}", is_paused=n == 0, max_active_runs=1) for n in range(4)]
    queued = [QueuedRun(dag.dag_id, "r", NOW - timedelta(hours=9 - n)) for n, dag in enumerate(dags)]
    airflow = FakeAirflow(dags=dags, queued=queued)
    report = make_report(airflow)
    assert airflow.calls.count("running") == 2
    unknown = {finding.subject: "did not read" in finding.detail for finding in report.findings}
    assert unknown == {paused.dag_id: False, **{dag.dag_id: dag is active[2] for dag in active}}


def test_a_list_that_was_cut_makes_the_report_incomplete() -> None:
    assert FindingKind.DAG_STALE in make_report(FakeAirflow(complete=False)).incomplete


def test_a_list_of_assets_that_was_cut_makes_the_report_incomplete() -> None:
    asset = Asset(frozenset({"raw"}), frozenset({"raw", "report"}))
    report = make_report(FakeAirflow(dags=[Dag("raw", is_paused=True)], known_assets=[asset], cut={"assets"}))
    assert kinds(report) == [FindingKind.DAG_PAUSED]
    why = "only the first 1 assets were read"
    assert report.incomplete == {FindingKind.DAG_PAUSED: why, FindingKind.DAG_STALE: why}


def test_a_list_of_pools_that_was_cut_makes_the_report_incomplete() -> None:
    report = collect_bottlenecks(FakeAirflow(cut={"pools"}), Thresholds(), CONTEXT)
    assert report.incomplete == {FindingKind.POOL_SATURATED: "only the first 1 pools were read"}


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        ("import_errors", FindingKind.IMPORT_ERROR),
        ("failed", FindingKind.RECURRING_FAILURE),
        ("recent", FindingKind.SLOW_TASK),
        ("waiting", FindingKind.STUCK_QUEUED),
    ],
)
def test_a_forbidden_request_makes_the_report_incomplete(what: str, kind: FindingKind) -> None:
    airflow = FakeAirflow(dags=[Dag("paused", is_paused=True, schedule="@daily")], forbidden={what})
    report = make_report(airflow)
    assert kinds(report) == [FindingKind.DAG_PAUSED]
    assert "403" in report.incomplete[kind]


def test_the_number_of_findings_in_a_report_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_limits, "MAX_FINDINGS", 2)
    airflow = FakeAirflow(dags=[Dag(f"d{n}", is_paused=True, schedule="@daily") for n in range(5)])
    report = make_report(airflow)
    assert len(report.findings) == 2
    assert FindingKind.DAG_PAUSED in report.incomplete


def of_many_and_one() -> list[Dag]:
    """Return nine DAGs of team-a, and then one DAG of team-b."""
    return [*(Dag(f"a{n}", ("team-a",)) for n in range(9)), Dag("b", ("team-b",))]


def owners(report: MonitoringReport) -> list[str]:
    return sorted(owner for finding in report.findings for owner in finding.owners)


def test_the_most_severe_findings_of_one_owner_leave_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_limits, "MAX_FINDINGS", 3)
    *many, one = of_many_and_one()
    stuck = [QueuedRun(dag.dag_id, "r", LATE) for dag in many]
    report = make_report(FakeAirflow([*many, replace(one, is_paused=True, schedule="@daily")], queued=stuck))
    assert [finding.subject for finding in report.findings] == ["a0", "a1", "b"]
    assert report.incomplete == {FindingKind.STUCK_QUEUED: "the report has only 3 of 10 findings"}


@pytest.mark.parametrize("collect", [collect_problems, collect_bottlenecks])
def test_the_size_of_a_report_is_bounded(
    monkeypatch: pytest.MonkeyPatch, collect: Callable[[FakeAirflow, Thresholds, ReportContext], MonitoringReport]
) -> None:
    names = [f"d{n}" for n in range(100)]
    paused = [Dag(name, is_paused=True, schedule="@daily") for name in names]
    airflow = FakeAirflow(paused, tasks=[task for name in names for task in retried(name)])
    whole = len(collect(airflow, Thresholds(), CONTEXT).model_dump_json(exclude_none=True))
    monkeypatch.setattr(report_limits, "MAX_BYTES", whole - 5000)
    report = collect(airflow, Thresholds(), CONTEXT)
    assert 0 < len(report.findings) < 100
    assert len(report.model_dump_json(exclude_none=True)) <= whole - 5000


def test_suspects_of_one_owner_leave_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "MAX_SUSPECTS", 3)
    dags = [replace(dag, is_paused=True, schedule="@daily") for dag in of_many_and_one()]
    report = make_report(FakeAirflow(dags))
    assert owners(report) == ["team-a", "team-a", "team-b"]
    why = "only 3 of 10 DAGs that are paused, stale or broken were checked"
    assert report.incomplete == {FindingKind.DAG_PAUSED: why, FindingKind.DAG_STALE: why}


def test_a_broken_file_has_the_owners_of_dags_that_were_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "MAX_SUSPECTS", 1)
    dags = [replace(dag, bundle="b", file="f.py") for dag in of_many_and_one()]
    [finding] = make_report(FakeAirflow(dags, broken=[BrokenFile("f.py", "b", NOW, "SyntaxError: x")])).findings
    assert finding.owners == ("team-a", "team-b")


def test_running_runs_are_counted_for_each_owner_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "MAX_UNLISTED", 2)
    dags = [replace(dag, max_active_runs=1) for dag in of_many_and_one()]
    report = make_report(FakeAirflow(dags, queued=[QueuedRun(dag.dag_id, "r", LATE) for dag in dags]))
    assert {finding.subject for finding in report.findings if "did not read" not in finding.detail} == {"a0", "b"}


def test_failing_tasks_of_one_owner_leave_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "MAX_RECURRING", 3)
    tasks = [task for dag in of_many_and_one() for task in failing("load", 3 if dag.dag_id == "b" else 9, dag.dag_id)]
    report = make_report(FakeAirflow(of_many_and_one(), tasks=tasks))
    assert owners(report) == ["team-a", "team-a", "team-b"]
    assert report.incomplete == {FindingKind.RECURRING_FAILURE: "only 3 of 10 tasks were compared"}


def test_failing_tasks_that_also_name_a_person_leave_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "MAX_RECURRING", 3)
    dags = [
        replace(dag, owners=("team-a", f"person-{dag.dag_id}")) if dag.dag_id != "b" else dag
        for dag in of_many_and_one()
    ]
    tasks = [task for dag in dags for task in failing("load", 3 if dag.dag_id == "b" else 9, dag.dag_id)]
    report = make_report(FakeAirflow(dags, tasks=tasks))
    assert [finding.owners[0] for finding in report.findings] == ["team-a", "team-a", "team-b"]


def test_logs_are_read_for_each_owner_in_turn() -> None:
    tasks = [task for dag in of_many_and_one() for task in failing("load", dag_id=dag.dag_id)]
    airflow = FakeAirflow(of_many_and_one(), tasks=tasks, errors={"load": ErrorText("KeyError", "x")})
    report = make_report(airflow, log_reads=14)
    all_read = {finding.dag_id for finding in report.findings if finding.detail == "KeyError: x"}
    assert all_read == {"a0", "b"}


def test_slow_tasks_of_one_owner_leave_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "MAX_OUTLIERS", 3)
    tasks = [
        replace(task, dag_id=dag.dag_id, duration=task.duration or (9e3 if dag.owners == ("team-a",) else 5e3))
        for dag in of_many_and_one()
        for task in [replace(measured(0), duration=None), *(measured(n) for n in range(1, 40))]
    ]
    report = make_report(FakeAirflow(of_many_and_one(), tasks=tasks))
    assert owners(report) == ["team-a", "team-a", "team-b"]
    assert report.incomplete == dict.fromkeys(
        (FindingKind.SLOW_TASK, FindingKind.LONG_WAIT), "only 3 of 10 tasks were judged"
    )


def measured(days: int, **earlier: float) -> TaskInstance:
    ended = NOW - timedelta(days=days, **earlier)
    return TaskInstance("churn", f"r{days}", "fit", state="success", start=ended, end=ended, duration=150.0 + days % 5)


def test_a_slow_task_is_judged_by_its_own_history() -> None:
    start = NOW - timedelta(hours=1)
    tasks = [TaskInstance("churn", "r0", "fit", state="running", start=start)]
    tasks += [measured(n) for n in range(1, 40)]
    report = make_report(FakeAirflow(dags=[Dag("churn", ("team-a",))], tasks=tasks))
    assert kinds(report) == [FindingKind.SLOW_TASK]


def test_a_hang_is_found_behind_any_number_of_newer_runs() -> None:
    hanging = TaskInstance("churn", "old", "fit", state="running", start=NOW - timedelta(hours=9))
    tasks = [*(measured(0, minutes=n) for n in range(200)), hanging]
    tasks = [replace(task, run_id=f"run-{n}") for n, task in enumerate(tasks)]
    [finding] = make_report(FakeAirflow(dags=[Dag("churn", ("team-a",))], tasks=tasks)).findings
    assert finding.title == "churn.fit has run for 9 h, usually 2 min"


def test_the_report_about_bottlenecks_has_tables_and_charts() -> None:
    tasks = [
        TaskInstance(
            "churn",
            f"r{n}",
            "fit",
            state="success",
            start=NOW - timedelta(hours=n + 1),
            end=NOW - timedelta(hours=n),
            duration=3600.0,
        )
        for n in range(5)
    ]
    report = collect_bottlenecks(FakeAirflow(tasks=tasks), Thresholds(), CONTEXT)
    assert [table.title for table in report.tables] == ["Tasks that took most time", "Pools", "Most retries"]
    assert [series.title for series in report.series] == ["Pool default_pool"]


def test_muted_findings_are_counted_and_not_in_the_report() -> None:
    paused = [Dag(name, ("team-a",), is_paused=True, schedule="@daily") for name in ("churn", "reports")]
    tagged = Dag("tagged", is_paused=True, schedule="@daily", tags=("mljob-mute:paused",))
    mutes = parse('[{"dags": "ch*", "until": "2026-06-01T00:00:00Z", "reason": "x"}]')
    report = collect_problems(FakeAirflow([*paused, tagged]), Thresholds(), replace(CONTEXT, mutes=mutes))
    assert [finding.subject for finding in report.findings] == ["reports"]
    assert report.muted == 2
    assert report.muted_keys == {"dag_paused:churn", "dag_paused:tagged"}
    assert "muted_keys" not in report.model_dump()


def test_a_dag_file_is_muted_if_all_its_dags_are_muted() -> None:
    broken = BrokenFile("f.py", "b", NOW, "ImportError: x")
    dags = [Dag(name, bundle="b", file="f.py", schedule="@daily") for name in ("churn", "reports")]
    for glob, muted in (("churn", 0), ("*", 1)):
        mutes = parse(json.dumps([{"dags": glob, "until": "2026-06-01T00:00:00Z", "reason": "x"}]))
        report = collect_problems(FakeAirflow(dags, broken=[broken]), Thresholds(), replace(CONTEXT, mutes=mutes))
        assert (report.muted, len(report.findings)) == (muted, 1 - muted)
