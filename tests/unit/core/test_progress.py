from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mljob_contract.mljob import MAX_TASKS, StatusSource
from mljob_operator.core.run.facts import Failure, Report, RunFact, Snapshot, TaskFact
from mljob_operator.core.run.observed_run import ObservedRun, fold, observe
from mljob_operator.core.run.states import RunState, TaskState
from mljob_operator.core.status.task_entry import error_text
from mljob_operator.core.status.tasks import first_failure, summarise, within_bounds
from tests.strategies import EPOCH, event, rest, task_events

from .situations import failed, job, reported, running, task, under_way

URL = "https://airflow.example/dags/train/runs/mljob.a.b.aaaaaaaaaa-1"


def listed(*tasks: TaskFact) -> ObservedRun:
    return observe(ObservedRun(), Snapshot(EPOCH, tasks=tasks, complete=True))


@given(st.lists(task_events(), max_size=20))
def test_counts_match_the_observed_run(events: list[TaskFact]) -> None:
    observed_run = fold(ObservedRun(), events)
    counts = summarise(observed_run, URL).counts.model_dump()
    states = Counter(str(fact.shown_state) for fact in observed_run.tasks.values())
    assert counts.pop("total") == len(observed_run.tasks)
    assert {state: n for state, n in counts.items() if n} == dict(states)


def test_progress_counts_successes_and_percent_adds_reported_progress() -> None:
    observed_run = fold(
        listed(
            rest("a", TaskState.SUCCESS),
            rest("b", TaskState.NONE),
            rest("c", TaskState.NONE),
            rest("d", TaskState.NONE),
        ),
        [event("b", TaskState.RUNNING, seconds=1, progress=Report(1, EPOCH, progress=0.5))],
    )
    summary = summarise(observed_run, URL)
    assert (summary.progress, summary.percent, summary.current_task) == ("1/4", 37, "b")


@pytest.mark.parametrize(
    ("run", "states", "expected"),
    [
        pytest.param(RunState.SUCCESS, ["success", "success", "success"], ("3/3", 100), id="a run that succeeded"),
        pytest.param(RunState.RUNNING, ["success", "failed", "none"], ("1/3", 33), id="a failed task"),
        pytest.param(RunState.FAILED, ["success", "failed", "upstream_failed"], ("1/3", 33), id="a failed run"),
        pytest.param(RunState.SUCCESS, ["success", "failed", "success"], ("2/3", 66), id="a failure that is tolerated"),
        pytest.param(RunState.RUNNING, ["success", "skipped", "running"], ("2/3", 66), id="a branch not taken"),
        pytest.param(RunState.SUCCESS, ["success", "skipped", "removed"], ("3/3", 100), id="tasks that did not run"),
        pytest.param(RunState.FAILED, ["failed", "skipped", "skipped"], ("0/3", 0), id="a run that was set to failed"),
        pytest.param(RunState.FAILED, ["success", "skipped", "removed"], ("1/3", 33), id="set to failed between tasks"),
        pytest.param(None, ["success", "skipped"], ("2/2", 100), id="a run that Airflow was not asked about"),
    ],
)
def test_progress_and_percent_count_what_succeeded(
    run: RunState | None, states: list[str], expected: tuple[str, int]
) -> None:
    tasks = tuple(rest(f"task_{number}", TaskState(state)) for number, state in enumerate(states))
    answer = RunFact(run, StatusSource.REST, EPOCH, EPOCH) if run is not None else None
    summary = summarise(observe(ObservedRun(), Snapshot(EPOCH, run=answer, tasks=tasks, complete=True)), URL)
    assert (summary.progress, summary.percent) == expected


def test_percent_does_not_fall_when_a_mapped_task_expands() -> None:
    def percent(*mapped: TaskFact) -> int | None:
        tasks = (rest("before", TaskState.SUCCESS), *mapped, rest("after", TaskState.NONE))
        return summarise(listed(*tasks), URL).percent

    unexpanded = rest("mapped", TaskState.NONE)
    expanded = [rest("mapped", TaskState.NONE, map_index=number) for number in range(20)]
    done = [rest("mapped", TaskState.SUCCESS, map_index=number) for number in range(20)]
    assert percent(unexpanded) == percent(*expanded) == 33
    assert percent(*done[:5], *expanded[5:]) == 41
    assert percent(*done) == 66


def test_percent_falls_only_if_the_run_fails() -> None:
    known = (task("before", "success"), task("mapped", "success", index=0))
    before = reported(job(), status=under_way(), run=running(*known))
    listed_later = (*known, task("mapped", index=1), task("mapped", index=2))
    after = reported(job(), status=before, run=running(*listed_later))
    ended = reported(job(), status=after, run=failed(*known, task("mapped", "failed", index=1)))

    assert (before["percent"], after["percent"], ended["percent"]) == (100, 100, 75)


def test_percent_of_a_run_whose_instances_all_succeeded_is_100() -> None:
    for instances in range(1, 60):
        tasks = tuple(
            rest(f"task_{task}", TaskState.SUCCESS, map_index=number)
            for task in range(3)
            for number in range(instances)
        )
        assert summarise(listed(*tasks), URL).percent == 100


def test_a_mapped_task_is_one_entry() -> None:
    states = [TaskState.SUCCESS, TaskState.FAILED, TaskState.RUNNING, TaskState.FAILED]
    summary = summarise(listed(*(rest("score", state, map_index=i) for i, state in enumerate(states))), URL)
    (entry,) = summary.tasks
    assert entry.mapped is not None
    assert (entry.state, entry.mapped.total, entry.mapped.failed_indexes) == ("failed", 4, [1, 3])
    assert entry.mapped.states == {"failed": 2, "running": 1, "success": 1}


def test_mapped_task_does_not_show_the_error_of_an_earlier_try() -> None:
    facts = [
        event("score", TaskState.FAILED, map_index=0, failure=Failure(1, EPOCH, "first try")),
        event("score", TaskState.FAILED, map_index=0, try_number=2, seconds=5),
        event("score", TaskState.SUCCESS, map_index=1),
    ]
    (entry,) = summarise(fold(ObservedRun(), facts), URL).tasks
    assert (entry.state, entry.try_number, entry.error) == ("failed", 2, None)


def test_a_report_of_an_earlier_try_is_not_shown() -> None:
    observed_run = fold(
        ObservedRun(),
        [
            event("fit", TaskState.RUNNING, progress=Report(1, EPOCH, progress=0.9)),
            event("fit", TaskState.RUNNING, try_number=2, seconds=5),
        ],
    )
    (entry,) = summarise(observed_run, URL).tasks
    assert (entry.try_number, entry.progress) == (2, None)


def test_a_finished_task_that_reported_is_at_100() -> None:
    observed_run = fold(
        ObservedRun(),
        [
            event("fit", TaskState.RUNNING, progress=Report(1, EPOCH, progress=0.9)),
            event("fit", TaskState.SUCCESS, seconds=1),
        ],
    )
    assert summarise(observed_run, URL).tasks[0].progress == 100


@pytest.mark.parametrize("state", [TaskState.FAILED, TaskState.UP_FOR_RETRY])
def test_failing_task_links_to_its_log(state: TaskState) -> None:
    (entry,) = summarise(listed(rest("group.größe/1", state)), URL).tasks
    assert entry.log_url == f"{URL}/tasks/group.gr%C3%B6%C3%9Fe%2F1"


@pytest.mark.parametrize("state", [TaskState.NONE, TaskState.RUNNING, TaskState.SUCCESS])
def test_log_of_a_task_that_does_not_fail_follows_from_the_run(state: TaskState) -> None:
    (entry,) = summarise(listed(rest("fit", state)), URL).tasks
    assert entry.log_url is None


def test_mapped_task_links_to_its_log_if_an_instance_failed() -> None:
    instances = [rest("fit", TaskState.SUCCESS, map_index=0), rest("fit", TaskState.FAILED, map_index=1)]
    (entry,) = summarise(listed(*instances), URL).tasks
    assert entry.log_url == f"{URL}/tasks/fit"


def test_the_first_failure_is_the_one_that_ended_first() -> None:
    early = event("z", TaskState.FAILED, seconds=1, failure=Failure(1, EPOCH, "no such column", "KeyError"))
    late = event("a", TaskState.FAILED, seconds=2)
    fact = first_failure(fold(ObservedRun(), [late, early]))
    assert fact is not None
    assert (fact.task_id, error_text(fact)) == ("z", "KeyError: no such column")


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 400), st.integers(0, 40))
def test_failed_tasks_are_kept_first(tasks: int, failed: int) -> None:
    facts = [
        event(f"task_{i:03}" + "n" * 60, TaskState.SUCCESS, seconds=i, start=EPOCH + timedelta(seconds=i))
        for i in range(tasks)
    ]
    facts += [
        event(f"failed_{i:03}", TaskState.FAILED, failure=Failure(1, EPOCH, "x" * 2000, "ValueError"))
        for i in range(failed)
    ]
    summary = summarise(fold(ObservedRun(), facts), URL)
    assert (len(summary.tasks), summary.counts.total) == (tasks + failed, tasks + failed)
    kept = within_bounds(summary.entries, 30 * 1024)
    assert len(kept) <= MAX_TASKS
    if any(entry.status.state == "success" for entry in kept):
        assert {f"failed_{i:03}" for i in range(failed)} <= {entry.status.task_id for entry in kept}


def test_without_room_no_task_is_kept() -> None:
    assert within_bounds(summarise(listed(rest("fit", TaskState.RUNNING)), URL).entries, -5) == []


def test_metrics_without_a_json_number_are_left_out() -> None:
    metrics = {"loss": float("nan"), "n" * 100: 1.0, "steps": float("inf"), "epoch": 3.0}
    observed_run = fold(ObservedRun(), [event("fit", TaskState.RUNNING, metrics=Report(1, EPOCH, metrics=metrics))])
    assert summarise(observed_run, URL).tasks[0].metrics == {"epoch": 3.0, "n" * 60 + "...": 1.0}


def test_five_thousand_mapped_instances_are_counted_exactly() -> None:
    observed_run = listed(
        *(rest("score", TaskState.SUCCESS if i % 2 else TaskState.RUNNING, map_index=i) for i in range(5000))
    )
    summary = summarise(observed_run, URL)
    assert (summary.progress, summary.counts.running, len(summary.tasks)) == ("2500/5000", 2500, 1)
