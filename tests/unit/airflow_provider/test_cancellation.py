"""Cancelling a run, against an Airflow in memory that has the real one's habits."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pytest

from mljob_airflow.cancellation import (
    BATCH_SIZE,
    CancellationError,
    Task,
    TaskInstance,
    Timing,
    batches,
    cancel_run,
    upstream_first,
)


class FakeClock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class FakeRuns:
    """One run. Setting a task failed clears its failed downstream tasks, as Airflow does."""

    run: str | None = "running"
    dag: list[Task] = field(default_factory=list)
    states: dict[tuple[str, int], str | None] = field(default_factory=dict)
    clock: FakeClock = field(default_factory=FakeClock)
    seconds_per_task: float = 0.05
    run_can_fail: bool = True
    unknown: frozenset[str] = frozenset()
    teardown_ends: bool = True
    order: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def state(self, dag_id: str, dag_run_id: str) -> str | None:
        return self.run

    def tasks(self, dag_id: str) -> Sequence[Task]:
        return self.dag

    def task_instances(self, dag_id: str, dag_run_id: str) -> Iterable[TaskInstance]:
        self._schedule()
        return [TaskInstance(task_id, index, state) for (task_id, index), state in self.states.items()]

    def fail_task_instances(self, dag_id: str, dag_run_id: str, instances: Sequence[TaskInstance]) -> list[str]:
        errors = []
        for instance in instances:
            self.clock.sleep(self.seconds_per_task)
            if instance.task_id in self.unknown:
                errors.append(f"{instance.task_id} is not in the DAG")
                continue
            self.order.append(instance.task_id)
            self.states[instance.task_id, instance.map_index] = "failed"
            downstream = self._downstream(instance.task_id)
            for (task_id, index), state in self.states.items():
                if task_id in downstream and state in {"failed", "upstream_failed"}:
                    self.states[task_id, index] = None
        return errors

    def fail_run(self, dag_id: str, dag_run_id: str, note: str) -> None:
        if not self.run_can_fail:
            return
        self.notes.append(note)
        for (task_id, index), state in self.states.items():
            if task_id not in self._teardowns() and state in {None, "running"}:
                self.states[task_id, index] = "failed" if state == "running" else "skipped"
        if all(state not in {None, "running"} for state in self.states.values()):
            self.run = "failed"

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


def cancel(runs: FakeRuns):
    timing = Timing(clock=runs.clock, sleep=runs.clock.sleep)
    return cancel_run(runs, "train", "run", reason="deleted", timing=timing)


def chain(*task_ids: str) -> list[Task]:
    return [Task(name, tuple(task_ids[index + 1 : index + 2])) for index, name in enumerate(task_ids)]


def test_a_run_that_is_not_there_is_cancelled_already():
    summary = cancel(FakeRuns(run=None))
    assert (summary.outcome, summary.state) == ("not_found", None)


@pytest.mark.parametrize("state", ["success", "failed"])
def test_a_run_that_is_over_is_left_as_it_is(state):
    runs = FakeRuns(run=state, states={("fit", -1): "success"})
    assert cancel(runs).outcome == "already_over"
    assert runs.run == state
    assert runs.order == []


def test_every_unfinished_task_instance_is_failed_and_no_finished_one():
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
    assert (summary.outcome, summary.state, summary.failed_task_instances) == ("cancelled", "failed", 2)
    assert runs.notes == ["Cancelled: deleted"]


def test_upstream_tasks_are_failed_first_so_that_nothing_is_cleared_again():
    runs = FakeRuns(dag=chain("a", "b", "c", "d"), states={(name, -1): None for name in "dbca"})
    assert cancel(runs).rounds == 1
    assert runs.order == ["a", "b", "c", "d"]


def test_what_comes_back_is_failed_again():
    """A downstream task had failed by itself; failing the one before it puts it back to work."""
    runs = FakeRuns(dag=chain("a", "b"), states={("a", -1): "running", ("b", -1): "failed"})
    assert cancel(runs).rounds == 2
    assert set(runs.states.values()) == {"failed"}


def test_a_teardown_runs_before_the_run_is_failed():
    dag = [*chain("work", "release")[:1], Task("release", (), "all_done_setup_success")]
    runs = FakeRuns(dag=dag, states={("work", -1): "running", ("release", -1): None})
    assert cancel(runs).state == "failed"
    assert runs.states["release", -1] == "success"


def test_a_teardown_that_does_not_end_is_failed_when_its_time_is_over():
    dag = [Task("work", ("release",)), Task("release", (), "all_done_setup_success")]
    runs = FakeRuns(dag=dag, states={("work", -1): "running", ("release", -1): None}, teardown_ends=False)
    assert cancel(runs).state == "failed"
    assert runs.states["release", -1] == "failed"
    assert 30 <= runs.clock.now < 40


def test_thousands_of_instances_end_with_the_run_when_failing_them_one_by_one_takes_too_long():
    runs = FakeRuns(dag=[Task("fit")], states={("fit", index): None for index in range(5000)})
    summary = cancel(runs)
    assert summary.state == "failed"
    assert summary.failed_task_instances < 5000
    assert set(runs.states.values()) == {"failed", "skipped"}
    assert runs.clock.now < 30


def test_a_task_that_the_dag_has_lost_does_not_keep_the_run_alive():
    runs = FakeRuns(dag=[Task("fit")], states={("fit", -1): "running", ("gone", -1): None}, unknown=frozenset({"gone"}))
    summary = cancel(runs)
    assert summary.state == "failed"
    assert summary.errors
    assert summary.as_dict()["errors"] == summary.errors


def test_a_run_that_stays_open_is_an_error_so_that_the_task_is_tried_again():
    with pytest.raises(CancellationError, match="still running"):
        cancel(FakeRuns(dag=[Task("fit")], states={("fit", -1): "running"}, run_can_fail=False))


def test_ranks_follow_the_longest_way():
    dag = [Task("a", ("b", "d")), Task("b", ("c",)), Task("c", ("d",)), Task("d")]
    assert upstream_first(dag) == {"a": 0, "b": 1, "c": 2, "d": 3}


def test_batches_hold_one_rank_and_begin_with_what_has_not_begun():
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
