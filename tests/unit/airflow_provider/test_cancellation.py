from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from mljob_airflow.cancellation.plan import BATCH_SIZE, FINISHED_TASK_STATES, BatchResult, Task, TaskInstance, batches
from mljob_airflow.cancellation.runs import (
    MAX_ERROR_LENGTH,
    MAX_ERRORS,
    PARALLEL_RUNS,
    Summary,
    Target,
    Timing,
    cancel_run,
    cancel_runs,
)
from mljob_contract.events import CancellationMode, CancellationOutcome


class FakeClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class FakeRuns:
    """A fake Airflow with one run, for the requests of a cancellation (:class:`.Runs`). As in
    Airflow, setting a task instance to failed clears the downstream task instances that are in the
    state failed or upstream_failed.
    """

    run: str | None = "running"
    dag: list[Task] = field(default_factory=list)
    states: dict[tuple[str, int], str | None] = field(default_factory=dict)
    clock: FakeClock = field(default_factory=FakeClock)
    seconds_per_task: float = 0.05
    run_can_fail: bool = True
    unknown: frozenset[str] = frozenset()
    deleted: frozenset[str] = frozenset()
    """The ids of tasks whose task instances Airflow deletes after they were listed."""
    forgotten: tuple[str, ...] = ()
    """The ids of tasks whose state stays the same when the run is set to failed."""
    teardown_ends: bool = True
    restarts: bool = False
    """Whether a task instance that was set to failed is queued again at once."""
    order: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    complaint: str = "is not in the DAG"
    listings: int = 0
    """The number of requests that listed all task instances, also those that have ended."""

    def state(self, dag_id: str, dag_run_id: str) -> str | None:
        return self.run

    def conf(self, dag_id: str, dag_run_id: str) -> Mapping[str, Any]:
        return {}

    def tasks(self, dag_id: str) -> Sequence[Task]:
        return self.dag

    def task_instances(self, dag_id: str, dag_run_id: str) -> Iterable[TaskInstance]:
        self.listings += 1
        return self._listed()

    def unfinished_task_instances(self, dag_id: str, dag_run_id: str) -> Iterable[TaskInstance]:
        return [ti for ti in self._listed() if ti.state not in FINISHED_TASK_STATES]

    def fail_task_instances(
        self, dag_id: str, dag_run_id: str, instances: Sequence[TaskInstance], reason: str
    ) -> BatchResult:
        self.reasons.append(reason)
        errors = []
        failed = 0
        for instance in instances:
            self.clock.sleep(self.seconds_per_task)
            if instance.task_id in self.unknown:
                errors.append(f"{instance.task_id} {self.complaint}")
                continue
            if instance.task_id in self.deleted:
                del self.states[instance.task_id, instance.map_index]
                continue
            failed += 1
            self.order.append(instance.task_id)
            self.states[instance.task_id, instance.map_index] = "queued" if self.restarts else "failed"
            downstream = self._downstream(instance.task_id)
            for (task_id, index), state in self.states.items():
                if task_id in downstream and state in {"failed", "upstream_failed"}:
                    self.states[task_id, index] = None
        return BatchResult(failed, errors)

    def fail_run(self, dag_id: str, dag_run_id: str, note: str) -> None:
        if not self.run_can_fail:
            return
        self.notes.append(note)
        for (task_id, index), state in self.states.items():
            if task_id not in (*self._teardowns(), *self.forgotten) and state in {None, "running"}:
                self.states[task_id, index] = "failed" if state == "running" else "skipped"
        if all(
            state not in {None, "running"}
            for (task_id, _), state in self.states.items()
            if task_id not in self.forgotten
        ):
            self.run = "failed"

    def _listed(self) -> list[TaskInstance]:
        self._schedule()
        return [TaskInstance(task_id, index, state) for (task_id, index), state in self.states.items()]

    def _schedule(self) -> None:
        work = [state for (task_id, _), state in self.states.items() if task_id not in self._teardowns()]
        if self.teardown_ends and not {None, "running"} & set(work):
            for task_id, index in self.states:
                if task_id in self._teardowns():
                    self.states[task_id, index] = "success"

    def _teardowns(self) -> set[str]:
        return {task.task_id for task in self.dag if task.trigger_rule == "all_done_setup_success"}

    def _downstream(self, task_id: str) -> set[str]:
        direct = {name for task in self.dag if task.task_id == task_id for name in task.downstream_task_ids}
        return direct.union(*(self._downstream(name) for name in direct))


RUN = Target("train", "run")


def timing_of(runs: FakeRuns) -> Timing:
    return Timing(clock=runs.clock, sleep=runs.clock.sleep)


def cancel(runs: FakeRuns, mode: CancellationMode = CancellationMode.GRACEFUL) -> Summary:
    return cancel_run(runs, RUN, reason="deleted", mode=mode, timing=timing_of(runs))


def chain(*task_ids: str) -> list[Task]:
    return [Task(name, tuple(task_ids[index + 1 : index + 2])) for index, name in enumerate(task_ids)]


def test_a_missing_run_counts_as_cancelled() -> None:
    summary = cancel(FakeRuns(run=None))
    assert (summary.outcome, summary.state) == (CancellationOutcome.NOT_FOUND, None)


@pytest.mark.parametrize("state", ["success", "failed"])
def test_a_run_that_has_ended_is_unchanged(state: str) -> None:
    runs = FakeRuns(run=state, states={("fit", -1): "success"})
    assert cancel(runs).outcome is CancellationOutcome.ALREADY_OVER
    assert runs.run == state
    assert runs.order == []


def test_only_unfinished_task_instances_are_failed() -> None:
    runs = FakeRuns(
        dag=chain("load", "fit", "publish"),
        states={("load", -1): "success", ("fit", 0): "running", ("fit", 1): "skipped", ("publish", -1): None},
    )
    summary = cancel(runs)
    assert runs.states == {
        ("load", -1): "success",
        ("fit", 0): "failed",
        ("fit", 1): "skipped",
        ("publish", -1): "failed",
    }
    assert (summary.outcome, summary.state, summary.failed_task_instances) == (
        CancellationOutcome.CANCELLED,
        "failed",
        2,
    )
    assert runs.notes == ["Cancelled: deleted"]
    assert set(runs.reasons) == {"deleted"}


def test_task_instances_that_are_gone_do_not_count_as_failed() -> None:
    states = {("fit", -1): "running", ("gone", -1): None}
    runs = FakeRuns(dag=[Task("fit"), Task("gone")], states=states, deleted=frozenset({"gone"}))
    summary = cancel(runs)
    assert (summary.outcome, summary.failed_task_instances) == (CancellationOutcome.CANCELLED, 1)


def test_upstream_tasks_are_failed_first() -> None:
    runs = FakeRuns(dag=chain("a", "b", "c", "d"), states={(name, -1): None for name in "dbca"})
    assert cancel(runs).rounds == 1
    assert runs.order == ["a", "b", "c", "d"]


def test_a_task_that_airflow_clears_is_failed_again() -> None:
    runs = FakeRuns(dag=chain("a", "b"), states={("a", -1): "running", ("b", -1): "failed"})
    assert cancel(runs).rounds == 2
    assert set(runs.states.values()) == {"failed"}


def test_a_teardown_task_runs_before_the_run_is_failed() -> None:
    dag = [*chain("work", "release")[:1], Task("release", (), "all_done_setup_success")]
    runs = FakeRuns(dag=dag, states={("work", -1): "running", ("release", -1): None})
    assert cancel(runs).state == "failed"
    assert runs.states["release", -1] == "success"


def test_a_teardown_task_is_failed_when_its_time_is_over() -> None:
    dag = [Task("work", ("release",)), Task("release", (), "all_done_setup_success")]
    runs = FakeRuns(dag=dag, states={("work", -1): "running", ("release", -1): None}, teardown_ends=False)
    assert cancel(runs).state == "failed"
    assert runs.states["release", -1] == "failed"
    assert 30 <= runs.clock.now < 40


def test_thousands_of_task_instances_end_with_the_run() -> None:
    runs = FakeRuns(dag=[Task("fit")], states={("fit", index): None for index in range(5000)})
    summary = cancel(runs)
    assert summary.state == "failed"
    assert summary.failed_task_instances < 5000
    assert set(runs.states.values()) == {"failed", "skipped"}
    assert runs.clock.now < 30


def test_a_task_that_was_removed_from_the_dag_does_not_keep_the_run_open() -> None:
    states = {("fit", -1): "running", ("gone", -1): None}
    runs = FakeRuns(dag=[Task("fit")], states=states, unknown=frozenset({"gone"}), forgotten=("gone",))
    summary = cancel(runs)
    assert summary.state == "failed"
    assert summary.errors
    assert summary.as_dict()["errors"] == summary.errors


def test_a_run_that_stays_open_is_reported_as_not_over() -> None:
    summary = cancel(FakeRuns(dag=[Task("fit")], states={("fit", -1): "running"}, run_can_fail=False))
    assert (summary.outcome, summary.state) == (CancellationOutcome.NOT_OVER, "running")
    assert summary.errors == ["15 s after the run was set failed, the run is running"]
    assert 15 <= summary.seconds < 20


def test_task_instances_that_go_on_after_the_end_of_the_run_are_failed() -> None:
    states = {("fit", index): None for index in range(1000)} | {("load", -1): "up_for_retry"}
    runs = FakeRuns(dag=[Task("fit"), Task("load")], states=states, forgotten=("load",))
    runs.dag = chain("fit", "load")
    summary = cancel(runs)
    assert (summary.outcome, summary.state) == (CancellationOutcome.CANCELLED, "failed")
    assert runs.states["load", -1] == "failed"


def test_a_run_whose_tasks_go_on_after_its_end_is_not_over() -> None:
    states: dict[tuple[str, int], str | None] = {("fit", -1): "running", ("gone", -1): "queued"}
    unknown = frozenset({"gone"})
    summary = cancel(FakeRuns(dag=[Task("fit")], states=states, unknown=unknown, forgotten=("gone",)))
    assert summary.outcome is CancellationOutcome.NOT_OVER
    assert summary.errors == [
        "gone is not in the DAG",
        "15 s after the run was set failed, the run is failed, and gone is queued",
    ]


def test_failing_tasks_that_go_on_after_the_end_of_the_run_takes_no_extra_time() -> None:
    # The scheduler starts each task instance again, so no round ends the wait.
    runs = FakeRuns(dag=[Task("fit")], states={("fit", -1): "running"}, forgotten=("fit",), restarts=True)
    runs.seconds_per_task = 1.0
    summary = cancel(runs)
    assert summary.outcome is CancellationOutcome.NOT_OVER
    assert summary.errors == ["15 s after the run was set failed, the run is failed, and fit is queued"]
    assert 35 <= summary.seconds < 37, "20 s before the run was set to failed, and 15 s after it"


@pytest.mark.parametrize("ends", [False, True], ids=["still-goes-on", "ends"])
def test_the_retry_of_an_unfinished_cancellation_fails_the_tasks_that_go_on(ends: bool) -> None:
    runs = FakeRuns(dag=[Task("fit")], states={("fit", -1): "running"}, forgotten=("fit",), restarts=True)
    assert cancel(runs).outcome is CancellationOutcome.NOT_OVER
    assert (runs.run, runs.states["fit", -1]) == ("failed", "queued")
    runs.restarts = not ends
    summary = cancel(runs)
    if ends:
        assert (summary.outcome, summary.failed_task_instances) == (CancellationOutcome.CANCELLED, 1)
        assert runs.states["fit", -1] == "failed"
    else:
        assert summary.outcome is CancellationOutcome.NOT_OVER
        assert summary.errors == ["15 s after the run was set failed, the run is failed, and fit is queued"]


def test_a_task_that_was_removed_from_the_dag_does_not_reopen_an_ended_run() -> None:
    runs = FakeRuns(run="failed", dag=[Task("fit")], states={("fit", -1): "failed", ("gone", -1): None})
    assert cancel(runs).outcome is CancellationOutcome.ALREADY_OVER
    assert runs.order == []


TEARDOWN = "all_done_setup_success"


def with_teardown(**states: str | None) -> FakeRuns:
    dag = [Task("work", ("release",)), Task("release", (), TEARDOWN)]
    return FakeRuns(dag=dag, states={(task_id, -1): state for task_id, state in states.items()})


def test_an_immediate_cancellation_fails_teardown_tasks_too() -> None:
    runs = with_teardown(work="running", release=None)
    runs.teardown_ends = False
    assert cancel(runs, CancellationMode.IMMEDIATE).outcome is CancellationOutcome.CANCELLED
    assert runs.states == {("work", -1): "failed", ("release", -1): "failed"}
    assert runs.clock.now < 1


def test_an_immediate_cancellation_of_a_large_run_fails_its_teardown_tasks() -> None:
    runs = with_teardown(release=None)
    runs.teardown_ends = False
    runs.states |= {("work", index): None for index in range(5000)}
    assert cancel(runs, CancellationMode.IMMEDIATE).outcome is CancellationOutcome.CANCELLED
    assert runs.states["release", -1] == "failed"


def test_a_run_that_has_not_started_does_not_wait_for_teardown_tasks() -> None:
    # A queued run may never start, for example while its DAG is paused.
    runs = with_teardown(work=None, release=None)
    runs.run, runs.teardown_ends = "queued", False
    assert cancel(runs).outcome is CancellationOutcome.CANCELLED
    assert runs.clock.now < 1


def test_the_wait_for_teardown_tasks_does_not_list_ended_task_instances() -> None:
    runs = with_teardown(work="running", release=None)
    runs.teardown_ends = False
    cancel(runs)
    assert runs.clock.now >= 30
    assert runs.listings == 1, "only to find out whether a task has started"


def test_a_teardown_task_that_did_not_end_is_named() -> None:
    runs = with_teardown(work="running", release=None)
    runs.teardown_ends = False
    assert cancel(runs).errors == ["teardown tasks took longer than 30 s, and are set failed: release"]


class Several:
    def __init__(self, **runs: FakeRuns) -> None:
        self.runs = runs

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda dag_id, *rest: getattr(self.runs[dag_id], name)(dag_id, *rest)


def cancel_all(runs: Several, *targets: Target) -> dict[Target, Summary]:
    clock = FakeClock()
    timing = Timing(clock=clock, sleep=clock.sleep)
    return {summary.target: summary for summary in cancel_runs(lambda: runs, targets, reason="why", timing=timing)}


def test_each_run_has_its_own_outcome() -> None:
    runs = Several(
        a=FakeRuns(dag=[Task("fit")], states={("fit", -1): "running"}),
        b=FakeRuns(run="success"),
        c=FakeRuns(run=None),
        d=FakeRuns(dag=[Task("fit")], states={("fit", -1): "running"}, run_can_fail=False),
    )
    targets = [Target(name, "run") for name in "abcd"]
    outcomes = {target.dag_id: summary.outcome.value for target, summary in cancel_all(runs, *targets).items()}
    assert outcomes == {"a": "cancelled", "b": "already_over", "c": "not_found", "d": "not_over"}


def test_an_error_with_one_run_does_not_affect_the_others() -> None:
    runs = Several(good=FakeRuns(dag=[Task("fit")], states={("fit", -1): "running"}))
    secret, good = Target("secret", "run"), Target("good", "run")
    summaries = cancel_all(runs, secret, good)
    assert summaries[good].outcome is CancellationOutcome.CANCELLED
    assert summaries[secret].outcome is CancellationOutcome.NOT_OVER
    assert summaries[secret].errors == ["'secret'"]


def test_a_run_that_is_named_twice_is_cancelled_once() -> None:
    runs = Several(a=FakeRuns(dag=[Task("fit")], states={("fit", -1): "running"}))
    assert len(cancel_all(runs, Target("a", "run"), Target("a", "run"))) == 1
    assert runs.runs["a"].notes == ["Cancelled: why"]


def test_without_a_connection_each_run_is_not_over_and_has_the_error() -> None:
    def connect() -> FakeRuns:
        raise ConnectionError("could not log in at http://airflow/auth/token as mljob: 401")

    found = list(cancel_runs(connect, [Target("a", "run"), Target("b", "run")], reason="why"))
    assert [(summary.target.dag_id, summary.outcome.value) for summary in found] == [
        ("a", "not_over"),
        ("b", "not_over"),
    ]
    assert found[0].errors == ["could not log in at http://airflow/auth/token as mljob: 401"]


def test_runs_are_cancelled_in_parallel() -> None:
    together = threading.Barrier(PARALLEL_RUNS, timeout=20)

    class Meeting(FakeRuns):
        def state(self, dag_id: str, dag_run_id: str) -> str | None:
            together.wait()
            return "success"

    targets = [Target(str(number), "run") for number in range(PARALLEL_RUNS)]
    found = list(cancel_runs(Meeting, targets, reason="why"))
    assert [summary.outcome for summary in found] == [CancellationOutcome.ALREADY_OVER] * PARALLEL_RUNS


class Stopped(BaseException):
    """Stands for ``AirflowTaskTimeout`` and other exceptions with which Airflow stops a task."""


@pytest.mark.parametrize("waits_for", ["teardown", "end", "task"])
def test_a_cancellation_ends_when_airflow_stops_the_task(waits_for: str) -> None:
    runs = with_teardown(work="failed", release="running")
    runs.teardown_ends = False
    if waits_for == "end":
        runs = FakeRuns(dag=[Task("fit")], states={("fit", -1): "failed"}, run_can_fail=False)
    if waits_for == "task":
        runs = FakeRuns(dag=[Task("fit")], states={("fit", -1): "running"}, restarts=True, seconds_per_task=0)
    waiting, ended, give_up = threading.Event(), threading.Event(), threading.Event()
    # Before the end of the test, no time of a step is over.
    timing = Timing(clock=lambda: math.inf if give_up.is_set() else 0.0, sleep=lambda _: waiting.set())

    class Waiting(Several):
        def fail_task_instances(self, *rest: Any) -> BatchResult:
            waiting.set()
            return runs.fail_task_instances(*rest)

    airflow = Waiting(quick=FakeRuns(run=None), slow=runs)
    targets = [Target("quick", "run"), Target("slow", "run")]
    summaries = cancel_runs(lambda: airflow, targets, reason="why", timing=timing)
    assert next(summaries).target.dag_id == "quick"
    assert waiting.wait(180)

    def stop() -> None:
        with pytest.raises(Stopped):
            summaries.throw(Stopped())
        ended.set()

    stopping = threading.Thread(target=stop)
    stopping.start()
    try:
        assert ended.wait(60), "the cancellation goes on"
    finally:
        give_up.set()
        stopping.join()


@pytest.mark.parametrize(
    "last",
    [
        "state",
        "conf",
        "tasks",
        "task_instances",
        "unfinished_task_instances",
        "fail_task_instances",
        "fail_run",
    ],
)
def test_a_cancellation_sends_no_further_request_when_airflow_stops_the_task(last: str) -> None:
    runs = with_teardown(work="running", release=None)
    sent: list[str] = []

    class Recording(Several):
        def __getattr__(self, name: str) -> Callable[..., Any]:
            sent.append(name)
            return super().__getattr__(name)

    timing = Timing(clock=runs.clock, sleep=runs.clock.sleep, stopped=lambda: last in sent)
    summary = cancel_run(Recording(train=runs), RUN, reason="why", timing=timing)
    assert summary.outcome is CancellationOutcome.NOT_OVER
    assert sent.index(last) == len(sent) - 1


def test_the_errors_of_a_summary_are_bounded() -> None:
    states: dict[tuple[str, int], str | None] = {(f"gone-{number}", -1): None for number in range(50)}
    long = "x" * 2 * MAX_ERROR_LENGTH
    runs = FakeRuns(states=states, unknown=frozenset(task_id for task_id, _ in states))
    runs.complaint = long
    summary = cancel(runs)
    assert summary.rounds == 1
    assert len(summary.errors) == MAX_ERRORS
    assert {len(error) for error in summary.errors} == {MAX_ERROR_LENGTH}


def test_error_beyond_the_limit_is_not_logged_again_in_each_round() -> None:
    summary = Summary(Target("train", "run"))
    assert [summary.note(f"error {number}") for number in range(MAX_ERRORS)] == [True] * MAX_ERRORS
    assert not summary.note("error 0")
    assert not summary.note("one more")


def test_a_batch_has_one_rank_and_starts_with_tasks_that_do_not_run() -> None:
    instances = [
        TaskInstance("b", -1, None),
        *(TaskInstance("a", index, "running" if index < 2 else None) for index in range(BATCH_SIZE + 1)),
        TaskInstance("gone", -1, None),
    ]
    first, second, third, fourth = batches(instances, {"a": 0, "b": 1})
    assert len(first) == BATCH_SIZE
    assert [ti.state for ti in first[-2:]] == [None, "running"]
    assert [ti.map_index for ti in second] == [1]
    assert [ti.task_id for ti in (*third, *fourth)] == ["b", "gone"]
