from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mljob_airflow.monitoring.findings import bottlenecks, failures, outliers
from mljob_airflow.monitoring.findings.fingerprints import ErrorText
from mljob_airflow.monitoring.findings.health import Health, Need, feeds_of, health_findings, suspects
from mljob_airflow.monitoring.findings.stuck import stuck_runs, stuck_tasks
from mljob_airflow.monitoring.links import Links
from mljob_airflow.monitoring.observations import Asset, BrokenFile, Dag, Pool, QueuedRun, RunningRuns, TaskInstance
from mljob_airflow.monitoring.thresholds import Thresholds
from mljob_contract.reports import Finding, FindingKind, Severity

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)
LINKS = Links("https://airflow.example/")
CHURN = Dag("churn", ("team-a",), schedule="0 * * * *", bundle="b", file="churn.py", max_active_runs=2)


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def run(number: int = 1, dag_id: str = "churn", **span: float) -> QueuedRun:
    return QueuedRun(dag_id, f"run-{number}", ago(**span))


def instance(run_number: int = 1, **fields: Any) -> TaskInstance:
    return TaskInstance(**{"dag_id": "churn", "task_id": "fit", "run_id": f"run-{run_number}"} | fields)


def health_of(dag: Dag, need: Need | None = None, broken: tuple[BrokenFile, ...] = ()) -> list[Finding]:
    return health_findings(Health({dag.dag_id: dag}, broken, {dag.dag_id: need or Need()}), LINKS)


class TestHealth:
    def test_a_healthy_dag_is_no_suspect(self) -> None:
        assert suspects([CHURN], []) == []
        assert health_of(CHURN) == []

    def test_a_paused_dag_with_a_schedule_is_a_finding_for_its_owner(self) -> None:
        [finding] = health_of(Dag("churn", ("team-a",), is_paused=True, schedule="@daily"))
        assert (finding.kind, finding.severity, finding.owners) == (
            FindingKind.DAG_PAUSED,
            Severity.WARNING,
            ("team-a",),
        )
        assert finding.url == "https://airflow.example/dags/churn"

    def test_a_paused_dag_that_is_not_needed_is_no_finding(self) -> None:
        assert health_of(Dag("churn", is_paused=True)) == []

    def test_a_paused_dag_with_waiting_runs_is_critical(self) -> None:
        [finding] = health_of(Dag("churn", is_paused=True), Need([run(minutes=50)], ["mljob.team.churn.abcdefg234-1"]))
        assert finding.severity is Severity.CRITICAL
        assert finding.title == "churn is paused, 1 run waiting"
        assert finding.detail == "MLJobs run the DAG: team/churn. Unpause the DAG, or end the waiting runs."
        assert finding.since == ago(minutes=50)

    def test_a_paused_dag_is_needed_by_dags_that_are_scheduled_on_its_assets(self) -> None:
        [finding] = health_of(Dag("raw", is_paused=True), Need(feeds={"report", "churn"}))
        assert "DAGs that are scheduled on its assets: churn, report." in finding.detail

    def test_a_dag_that_is_scheduled_on_its_own_asset_is_not_needed_by_itself(self) -> None:
        shared = Asset(producers=frozenset({"raw"}), consumers=frozenset({"raw", "report"}))
        own = Asset(producers=frozenset({"loop"}), consumers=frozenset({"loop"}))
        assert feeds_of([shared, own]) == {"raw": {"report"}}

    def test_a_dag_that_is_stale_and_paused_is_reported_as_stale(self) -> None:
        [finding] = health_of(Dag("churn", is_paused=True, is_stale=True, schedule="@daily"))
        assert finding.kind is FindingKind.DAG_STALE

    def test_a_broken_file_is_one_finding_for_all_its_dags(self) -> None:
        broken = BrokenFile("churn.py", "b", NOW, "Traceback\n  File\nModuleNotFoundError: No module named 'torch'\n")
        dags = {
            name: Dag(name, (f"owner-{name}",), is_stale=True, schedule="@daily", bundle="b", file="churn.py")
            for name in "xy"
        }
        [finding] = health_findings(Health(dags, [broken], {}), LINKS)
        assert finding.kind is FindingKind.IMPORT_ERROR
        assert finding.owners == ("owner-x", "owner-y")
        assert finding.detail.startswith("ModuleNotFoundError: No module named 'torch'.")

    def test_a_broken_file_without_known_dags_has_no_owner(self) -> None:
        [finding] = health_of(CHURN, broken=(BrokenFile("new.py", "b", NOW, ""),))
        assert finding.owners == ()


class TestStuck:
    def stuck(
        self, runs: Sequence[QueuedRun], dag: Dag = CHURN, running: int = 0, running_backfill: int = 0
    ) -> list[Finding]:
        active = {dag.dag_id: RunningRuns(running_backfill, running)}
        return stuck_runs(runs, {dag.dag_id: dag}, active, LINKS, minutes=30, now=NOW)

    def test_a_run_below_the_threshold_is_not_stuck(self) -> None:
        assert self.stuck([run(minutes=29)]) == []

    def test_all_stuck_runs_of_a_dag_are_one_finding(self) -> None:
        [finding] = self.stuck([run(1, minutes=40), run(2, hours=3), run(3, minutes=1)])
        assert finding.title == "churn: 2 runs queued for 3 h"
        assert (finding.url or "").endswith("/dags/churn/runs/run-2")

    def test_a_stuck_run_has_a_reason(self) -> None:
        assert "max_active_runs is 2" in self.stuck([run(hours=1)], running=2)[0].detail
        assert "scheduler" in self.stuck([run(hours=1)], running=1)[0].detail

    @pytest.mark.parametrize(
        ("dag", "running"),
        [(CHURN, {}), (Dag("churn"), {"churn": RunningRuns(other=1)})],
        ids=["running runs", "settings"],
    )
    def test_unread_details_of_a_dag_are_not_taken_for_its_cause(
        self, dag: Dag, running: dict[str, RunningRuns]
    ) -> None:
        [finding] = stuck_runs([run(hours=1)], {"churn": dag}, running, LINKS, minutes=30, now=NOW)
        assert "did not read" in finding.detail
        assert "is not reached" not in finding.detail

    def test_queued_runs_of_a_backfill_that_makes_progress_are_not_stuck(self) -> None:
        queued = [replace(run(n, hours=2), is_backfill=True) for n in range(355)]
        assert self.stuck(queued, running_backfill=10) == []
        [finding] = self.stuck([*queued, run(999, hours=1)], running_backfill=10)
        assert finding.title == "churn: 1 run queued for 60 min"
        assert (finding.url or "").endswith("/runs/run-999")

    @pytest.mark.parametrize(
        ("running", "cause"),
        [
            ({"churn": RunningRuns()}, "No run of the backfill is running: check whether the backfill is paused, and that the scheduler is running."),
            ({"churn": RunningRuns(other=2)}, "No run of the backfill is running: check whether the backfill is paused, and that the scheduler is running."),
            ({}, "whether the backfill is paused, and whether its max_active_runs is reached."),
        ],
        ids=["nothing runs", "other runs", "not read"],
    )  # fmt: skip
    def test_a_backfill_without_a_running_run_names_the_backfill_as_the_cause(
        self, running: dict[str, RunningRuns], cause: str
    ) -> None:
        queued = [replace(run(1, hours=2), is_backfill=True)]
        [finding] = stuck_runs(queued, {"churn": CHURN}, running, LINKS, minutes=30, now=NOW)
        assert finding.detail.endswith(cause)
        assert "of the DAG" not in finding.detail

    def test_running_runs_of_a_backfill_do_not_count_towards_the_limit_of_the_dag(self) -> None:
        [finding] = self.stuck([run(hours=1)], running=1, running_backfill=10)
        assert "max_active_runs is not reached" in finding.detail

    @pytest.mark.parametrize(
        "dag", [Dag("churn", is_paused=True), Dag("churn", is_stale=True)], ids=["is_paused", "is_stale"]
    )
    def test_runs_of_a_paused_or_stale_dag_are_not_stuck(self, dag: Dag) -> None:
        assert self.stuck([run(hours=1)], dag) == []

    def test_stuck_tasks_say_what_they_wait_for(self) -> None:
        waiting = [
            instance(1, state="scheduled", scheduled=ago(hours=1), pool="gpu"),
            instance(2, state="queued", scheduled=ago(hours=2), queued=ago(minutes=31)),
            instance(3, state="scheduled", scheduled=ago(minutes=1)),
        ]
        [finding] = stuck_tasks(waiting, {"churn": CHURN}, LINKS, minutes=30, now=NOW)
        assert finding.title == "churn: 2 tasks waiting for 60 min"
        assert "pool" in finding.detail
        assert "executor" in finding.detail
        assert finding.key == "stuck_queued:churn:tasks"

    def test_tasks_that_wait_because_their_dag_is_paused_are_not_stuck(self) -> None:
        paused = {"churn": replace(CHURN, is_paused=True)}
        scheduled = instance(1, state="scheduled", scheduled=ago(hours=1))
        assert stuck_tasks([scheduled], paused, LINKS, minutes=30, now=NOW) == []
        queued = instance(2, state="queued", queued=ago(minutes=40))
        [finding] = stuck_tasks([scheduled, queued], paused, LINKS, minutes=30, now=NOW)
        assert finding.title == "churn: 1 task waiting for 40 min"
        assert finding.detail == "fit. No worker: check the executor."


class TestFailures:
    def judged(
        self, failed: int, runs: int, errors: Callable[[int], ErrorText | None], times: int = 3
    ) -> list[Finding]:
        history = [
            instance(n, state="failed" if n <= failed else "success", end=ago(hours=n)) for n in range(1, runs + 1)
        ]
        last = failures.last_runs(CHURN, "fit", history, [], runs=10)
        last.errors.update({f"run-{n}": errors(n) for n in range(1, failed + 1)})
        return failures.recurring(last, LINKS, times=times)

    def test_a_recurring_error_is_one_finding(self) -> None:
        [finding] = self.judged(3, 8, lambda n: ErrorText("ValueError", f"row {n} is bad"))
        assert finding.title == "churn.fit failed in 3 of its last 8 runs"
        assert finding.detail == "ValueError: row 1 is bad"
        assert finding.severity is Severity.WARNING
        assert finding.since == ago(hours=3)

    def test_different_errors_are_not_the_same(self) -> None:
        assert self.judged(3, 8, lambda n: ErrorText("ValueError", "abc"[n - 1])) == []

    def test_failing_every_time_is_critical(self) -> None:
        assert self.judged(4, 4, lambda n: ErrorText("ValueError", ""))[0].severity is Severity.CRITICAL

    def test_errors_that_cannot_be_read_are_one_finding(self) -> None:
        [finding] = self.judged(3, 8, lambda n: None)
        assert finding.variant == failures.UNKNOWN

    @pytest.mark.parametrize(
        ("read", "detail", "has_fingerprint"),
        [
            (["x", "x"], "ValueError: x (in 2 of 3 failures; the other logs were not read)", True),
            (["x"], "ValueError: x (in 1 of 3 failures; the other logs were not read)", True),
            ([None], "no error in the log (in 1 of 3 failures; the other logs were not read)", False),
            ([], "The logs of the failures were not read.", False),
        ],
    )
    def test_a_log_that_was_not_read_counts_for_the_most_frequent_error(
        self, read: list[str | None], detail: str, has_fingerprint: bool
    ) -> None:
        last = failures.last_runs(CHURN, "fit", [instance(n, state="failed") for n in (1, 2, 3)], [], runs=10)
        for number, text in enumerate(read, 1):
            last.errors[f"run-{number}"] = ErrorText("ValueError", text) if text else None
        [finding] = failures.recurring(last, LINKS, times=3)
        assert finding.detail == detail
        assert finding.variant == (ErrorText("ValueError", "x").fingerprint if has_fingerprint else failures.UNKNOWN)

    def test_an_error_that_can_not_have_recurred_is_no_finding(self) -> None:
        last = failures.last_runs(CHURN, "fit", [instance(n, state="failed") for n in (1, 2, 3)], [], runs=10)
        last.errors.update({"run-1": ErrorText("ValueError", "x"), "run-2": ErrorText("ValueError", "y")})
        assert failures.recurring(last, LINKS, times=3) == []

    def test_a_mapped_task_fails_once_in_a_run(self) -> None:
        failed = [instance(1, state="failed", map_index=n) for n in range(100)]
        assert failures.candidates(failed, times=2) == []
        assert failures.candidates([*failed, instance(2, state="failed")], times=2) == [("churn", "fit")]

    def test_a_failed_mapped_instance_counts_for_its_run(self) -> None:
        history = [instance(1, state="success", map_index=0), instance(2, state="success", map_index=0)]
        last = failures.last_runs(CHURN, "fit", history, [instance(2, state="failed", map_index=7)], runs=10)
        assert [(ti.run_id, ti.map_index) for ti in last.failed] == [("run-2", 7)]

    def test_runs_before_the_last_m_do_not_count(self) -> None:
        history = [instance(n, state="success") for n in range(1, 11)]
        last = failures.last_runs(CHURN, "fit", history, [instance(50, state="failed")], runs=10)
        assert last.failed == []


class TestOutliers:
    def judged(self, *newest: TaskInstance, past: float = 200, runs: int = 30) -> list[Finding]:
        history = [*newest, *(self.ended(n, past) for n in range(2, runs + 2))]
        return outliers.outlier_findings(
            CHURN,
            "fit",
            history,
            LINKS,
            slow_seconds=120,
            wait_seconds=300,
            min_history=20,
            since=ago(hours=2),
            now=NOW,
        )

    def ended(self, number: int, seconds: float, wait: float = 1, **fields: Any) -> TaskInstance:
        start = ago(hours=number)
        times = {
            "scheduled": start - timedelta(seconds=wait),
            "queued": start,
            "start": start,
            "end": start + timedelta(seconds=seconds),
        }
        return instance(number, state="success", duration=seconds, **times | fields)

    def test_a_usual_duration_is_no_finding(self) -> None:
        assert self.judged(self.ended(1, 210)) == []

    def test_a_hanging_task_is_a_finding_while_it_runs(self) -> None:
        [finding] = self.judged(instance(1, state="running", start=ago(hours=3)))
        assert finding.kind is FindingKind.SLOW_TASK
        assert finding.title == "churn.fit has run for 3 h, usually 3 min"
        assert finding.numbers["median_seconds"] == pytest.approx(200)
        assert finding.history[-1] == 3 * 3600

    def running(self, number: int = 1, **span: float) -> TaskInstance:
        return instance(number, state="running", start=ago(**span))

    def test_a_run_that_just_started_does_not_hide_a_slow_task(self) -> None:
        slow = [self.ended(1, 900), self.ended(1, 900)]
        for newest in ([], [self.running(0, minutes=1)], [self.running(0, minutes=1), self.running(0, minutes=2)]):
            [finding] = self.judged(*newest, *slow)
            assert finding.title == "churn.fit took 15 min, usually 3 min"
            assert finding.numbers["runs"] == 31

    @pytest.mark.parametrize("newer", ["running", "success"])
    def test_a_newer_normal_run_does_not_hide_a_hang(self, newer: str) -> None:
        normal = self.running(0, minutes=1) if newer == "running" else self.ended(1, 200)
        [finding] = self.judged(normal, self.running(1, hours=3))
        assert finding.title == "churn.fit has run for 3 h, usually 3 min"

    def test_of_several_hangs_the_longest_is_reported(self) -> None:
        [finding] = self.judged(*(self.running(9 - hours, hours=hours) for hours in (2, 5, 3, 4)))
        assert finding.title == "churn.fit has run for 5 h, usually 3 min"

    def test_the_time_that_running_instances_have_taken_so_far_is_no_part_of_the_baseline(self) -> None:
        started = [self.running(n, seconds=2) for n in range(60)]
        assert self.judged(self.ended(1, 310), *started) == []

    def test_the_duration_of_a_failed_task_is_ignored(self) -> None:
        assert self.judged(instance(1, state="failed", duration=9999, start=ago(hours=1), end=ago(minutes=1))) == []

    def test_a_long_wait_says_what_the_task_waited_for(self) -> None:
        newest = self.ended(1, 200, wait=1800, queued=ago(hours=1, minutes=5))
        [finding] = self.judged(newest)
        assert finding.kind is FindingKind.LONG_WAIT
        assert "for a slot in default_pool" in finding.detail

    def test_short_tasks_are_never_slow(self) -> None:
        assert self.judged(self.ended(1, 110), past=1) == []

    def test_a_task_that_ended_long_ago_is_no_finding(self) -> None:
        assert self.judged(self.ended(5, 4000)) == []

    def test_only_tasks_with_a_long_duration_or_wait_are_candidates(self) -> None:
        recent = [
            self.ended(1, 50, task_id="short"),
            self.ended(2, 500, task_id="long"),
            self.ended(3, 5, wait=900, task_id="late"),
        ]
        found = outliers.candidates(recent, slow_seconds=120, wait_seconds=300, now=NOW)
        assert found == [("churn", "late"), ("churn", "long")]

    def test_a_deferred_task_has_no_wait(self) -> None:
        assert instance(scheduled=ago(minutes=1), start=ago(minutes=9)).wait is None


WINDOW = bottlenecks.Window(ago(hours=24), NOW)


def busy(begin: float, end: float | None, number: int = 1, **fields: Any) -> TaskInstance:
    """Return a task instance that started ``begin`` hours ago and ended ``end`` hours ago. With
    None as ``end``, the task instance has no end.
    """
    fields = {"state": "success", "start": ago(hours=begin), "end": None if end is None else ago(hours=end)} | fields
    if end is not None:
        fields.setdefault("duration", (begin - end) * 3600)
    return instance(number, **fields)


class TestBottlenecks:
    def test_a_full_pool_that_tasks_wait_for_is_saturated(self) -> None:
        tasks = [
            busy(20 - n, 18 - n, n, pool="gpu", scheduled=ago(hours=21 - n), queued=ago(hours=20 - n))
            for n in range(0, 18, 2)
        ]
        [finding] = bottlenecks.bottleneck_findings(tasks, [Pool("gpu", 1)], {}, WINDOW, Thresholds(), LINKS)
        assert finding.kind is FindingKind.POOL_SATURATED
        assert finding.title == "Pool gpu was full 75% of the time"
        assert finding.numbers["slot_wait_p95_seconds"] == 3600

    def test_a_full_pool_without_waiting_tasks_is_no_finding(self) -> None:
        tasks = [busy(20, 2, pool="gpu", scheduled=ago(hours=20), queued=ago(hours=20))]
        assert bottlenecks.bottleneck_findings(tasks, [Pool("gpu", 1)], {}, WINDOW, Thresholds(), LINKS) == []

    def test_tasks_that_wait_with_a_slot_need_workers(self) -> None:
        tasks = [busy(2, 1, n, queued=ago(hours=2.5)) for n in range(5)]
        [finding] = bottlenecks.bottleneck_findings(tasks, [Pool("default_pool", 128)], {}, WINDOW, Thresholds(), LINKS)
        assert finding.kind is FindingKind.WORKERS_SATURATED

    def test_many_retries_are_a_finding_for_the_owner(self) -> None:
        tasks = [busy(2, 1, n, try_number=2 if n < 6 else 1) for n in range(10)]
        assert bottlenecks.often_retried(tasks, Thresholds()) == [("churn", "fit")]
        [finding] = bottlenecks.bottleneck_findings(tasks, [], {"churn": CHURN}, WINDOW, Thresholds(), LINKS)
        assert finding.owners == ("team-a",)
        assert finding.title == "churn.fit needed retries in 6 of 10 runs"

    def test_the_tables_are_sorted_by_total_time(self) -> None:
        tasks = [*(busy(3, 2, n) for n in range(3)), busy(9, 4, task_id="load")]
        slowest, pools, retries = bottlenecks.bottleneck_tables(
            tasks, [Pool("default_pool", 8), Pool("idle", 3)], WINDOW, LINKS
        )
        assert [row[0] for row in slowest.rows] == ["churn.load", "churn.fit"]
        assert [row[0] for row in pools.rows] == ["default_pool"]
        assert retries.rows == ()

    @given(
        st.lists(st.tuples(st.floats(-5, 30), st.floats(0, 30), st.integers(1, 4)), max_size=30), st.integers(1, 200)
    )
    def test_the_chart_has_the_occupied_time_of_all_tasks(
        self, spans: list[tuple[float, float, int]], steps: int
    ) -> None:
        tasks = [busy(begin, begin - length, pool_slots=slots) for begin, length, slots in spans]
        expected = sum(max(min(begin, 24) - max(begin - length, 0), 0) * slots for begin, length, slots in spans)
        charted = sum(bottlenecks.occupancy(tasks, WINDOW, steps)) * 24 / steps
        assert charted == pytest.approx(expected, abs=0.01 * 24 + 1e-6)

    def test_the_time_during_which_a_pool_was_full_is_exact(self) -> None:
        tasks = [busy(12, 6), busy(9, 3)]
        assert bottlenecks.full_share(tasks, 2, WINDOW) == pytest.approx(3 / 24)
        assert bottlenecks.full_share(tasks, 1, WINDOW) == pytest.approx(9 / 24)

    def test_a_running_task_occupies_the_pool_until_now(self) -> None:
        assert bottlenecks.full_share([busy(6, None, state="running")], 1, WINDOW) == pytest.approx(6 / 24)
