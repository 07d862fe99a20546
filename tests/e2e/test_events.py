"""The callbacks of ``airflow-provider-mljob`` and Airflow's own Kafka producer send the messages in
the table of docs/spec/events.md. The MLJob's status shows the states of the tasks within 40 seconds
(``FEED``), and the deletion of a run within 200 seconds (``RELIST``).
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from functools import partial

import pytest

from devstack.stack import Stack
from mljob_operator.core.run.states import TASK_RANK, TaskState
from tests.e2e.event_story import BOUND, Stage, Timeline
from tests.e2e.event_table import CASES, DAGS, Case, rows
from tests.e2e.parity import differences
from tests.live.airflow import AirflowRest
from tests.live.eventually import eventually
from tests.live.installation import Installation
from tests.live.mljobs import Object
from tests.live.topic import Told

EVENT, FEED, RELIST = 2.0, 40.0, 200.0
"""Bounds in seconds until the status shows a change: ``EVENT`` for the median of the changes that
an event reports, ``FEED`` for a change that the change feed reports, and ``RELIST`` for a change
that a relist finds. The change feed is read every 5 s, and all active runs are listed every 60 s.
The bounds leave time for a busy machine. A slower source would exceed the bound of a faster one.
"""
pytestmark = pytest.mark.timeout(BOUND + 120)


@pytest.fixture(scope="module")
def story(
    with_kafka: Installation, airflow: AirflowRest, stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Timeline]:
    eventually(lambda: set(DAGS.values()) <= set(airflow.dags(tags="events")), "the DAGs are parsed", within=120)
    with with_kafka.jobs.watch() as watch:
        stage = Stage(with_kafka, airflow, stack, watch, tmp_path_factory.mktemp("events"))
        try:
            stage.play()
            yield stage.story
        finally:
            stage.story.topic.close()
            with_kafka.jobs.kubectl("delete", "mljobs", "--wait=false", "--ignore-not-found", *DAGS)


def test_every_row_of_the_table_happens_on_airflow() -> None:
    assert rows().keys() == CASES.keys()


@pytest.mark.parametrize("row", CASES)
def test_messages_are_those_of_the_table(row: str, story: Timeline) -> None:
    case = CASES[row]
    for producer, wanted in rows()[row].items():
        for index in case.instances:
            told = story.words(case, index, producer)
            assert wanted.fullmatch(told), f"{producer}, map index {index}: {told!r}, and not {wanted.pattern!r}"


def test_states_reported_by_events_are_in_the_status_within_seconds(story: Timeline) -> None:
    late = {
        f"{row}: {said.state}": lateness
        for row, case in CASES.items()
        if case.task
        for index in case.instances
        for said, lateness in told_late(story, case, case.task, index)
    }
    assert max(late.values()) < FEED, late
    assert statistics.median(late.values()) < EVENT, late


def told_late(story: Timeline, case: Case, task: str, index: int) -> list[tuple[Told, float]]:
    """Return a pair for each reported state of each try of a task instance: the first message about
    the state, and the seconds from this message until a status shows the state or a later state.
    For a mapped task, the seconds begin when the state is reported for all instances. The state
    ``failed`` of a try has no pair if the try was reported as ``up_for_retry`` before.
    """
    first: dict[tuple[int, str], Told] = {}
    for said in story.told(case.job, task, index):
        if said.state == "failed" and (said.try_number, "up_for_retry") in first:
            continue
        first.setdefault((said.try_number or 0, said.state), said)
    found = []
    for said in first.values():
        reached = story.shown_at(case.job, task, partial(is_as_far, said, len(case.instances)))
        assert reached is not None, f"{task} never was {said.state} in a status"
        # A mapped task has one entry, which is as far as the last of its instances.
        others = [story.told(case.job, task, other) for other in case.instances if other != index]
        told_at = [min(one.at for one in told if one.state == said.state) for told in others]
        found.append((said, reached - max([said.at, *told_at])))
    return found


def is_as_far(said: Told, instances: int, entry: Object) -> bool:
    """Return whether a task's entry in a status shows the reported state or a later state. For a
    mapped task, all instances must have reached the state.
    """
    rank = TASK_RANK[TaskState(said.state)]
    if (mapped := entry.get("mapped")) is not None:
        as_far = sum(count for state, count in mapped["states"].items() if TASK_RANK[TaskState(state)] >= rank)
        return as_far == instances
    state = TaskState(entry["state"])
    # Airflow's own producer reports a retry as a failure, too.
    reached = TASK_RANK[state] >= rank or (said.state == "failed" and state is TaskState.UP_FOR_RETRY)
    return bool(entry["tryNumber"] > said.try_number or (entry["tryNumber"] == said.try_number and reached))


def is_in(state: str, entry: Object) -> bool:
    return bool(entry["state"] == state)


@pytest.mark.parametrize("row", [row for row, case in CASES.items() if case.silent])
def test_states_without_an_event_are_in_the_status_before_a_relist(row: str, story: Timeline) -> None:
    case = CASES[row]
    assert case.task
    for state in case.silent:
        assert state not in [told.state for told in story.told(case.job, case.task)]
        shown = story.shown_at(case.job, case.task, partial(is_in, state))
        assert shown is not None, f"{case.task} never was {state} in a status"
        in_airflow = story.in_airflow_at(case.job, case.task, state)
        assert in_airflow is not None, f"{case.task} never was {state}: {story.rest[case.job, case.task, -1]}"
        assert shown - in_airflow < FEED


def test_run_without_a_message_is_shown_as_queued_from_its_submission_on(story: Timeline) -> None:
    phases = [status.get("phase") for _, status in story.statuses["events-deleted"]]
    assert "Queued" in phases
    assert "Running" not in phases


def test_deleted_run_is_detected_by_a_relist(story: Timeline) -> None:
    [missed_at, *_] = [at for at, status in story.statuses["events-deleted"] if status.get("reason") == "DagRunDeleted"]
    assert story.deleted_at is not None
    assert missed_at - story.deleted_at < RELIST
    assert story.status("events-deleted")["phase"] == "Failed"


def test_status_says_that_a_run_timed_out(story: Timeline) -> None:
    assert story.status("events-timeout")["phase"] == "Failed"


@pytest.mark.parametrize("job", [job for job in DAGS if job != "events-deleted"])
def test_final_status_agrees_with_airflow(job: str, story: Timeline, airflow: AirflowRest) -> None:
    assert not differences(story.status(job), airflow)
