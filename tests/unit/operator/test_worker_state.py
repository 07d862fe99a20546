"""A worker keeps its observations of a run when a new version of the MLJob arrives, unless another
process has ended the MLJob or begun an attempt.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from mljob_contract.mljob import StatusSource
from mljob_operator.controllers.mljob.worker_state import WorkerState
from mljob_operator.core.mljob.remembered import remember
from mljob_operator.core.mljob.resource.job import Job
from mljob_operator.core.mljob.transient_state import TransientState
from mljob_operator.core.run.facts import RunFact, Snapshot, TaskFact
from mljob_operator.core.run.observed_run import ObservedRun, observe
from mljob_operator.core.run.run_key import SETTINGS_AIRFLOW, RunKey
from mljob_operator.core.run.states import RunState, TaskState
from tests.fakes.clock import FakeClock
from tests.fakes.jobs import FakeJobs

KEY = ("team-a", "churn")
NOW = FakeClock()()
QUEUED = observe(ObservedRun(), Snapshot(NOW, run=RunFact(RunState.QUEUED, StatusSource.REST, NOW, NOW, queued_at=NOW)))


def next_version(jobs: FakeJobs, phase: str, **status: object) -> Job:
    body = jobs.objects[KEY]
    body["status"] = {"observedGeneration": 1, "phase": phase, "attempts": 1, "dagId": "train", "dagRunId": "run-1"}
    body["status"] |= status
    return jobs.edit(KEY, {})


@pytest.fixture
def jobs() -> FakeJobs:
    jobs = FakeJobs()
    jobs.create("churn", {"dagId": "train"})
    return jobs


def worker(jobs: FakeJobs) -> WorkerState:
    worker = WorkerState(lambda _: None)
    worker.begin(next_version(jobs, "Queued"), TransientState())
    assert worker.tracked is not None
    worker.tracked = replace(worker.tracked, observed_run=QUEUED)
    return worker


def observed(worker: WorkerState) -> ObservedRun:
    assert worker.tracked is not None
    return worker.tracked.observed_run


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Cancelled"])
def test_run_whose_end_another_process_has_written_is_observed_anew(jobs: FakeJobs, phase: str) -> None:
    follower = worker(jobs)
    ended = next_version(jobs, phase)
    follower.update(ended)
    assert observed(follower) == remember(ended.status)
    assert follower.begin_count == 2, "a step in progress is dropped"


def test_run_in_progress_stays_known(jobs: FakeJobs) -> None:
    follower = worker(jobs)
    follower.update(next_version(jobs, "Running"))
    assert observed(follower) is QUEUED


def test_end_that_the_worker_itself_writes_keeps_the_run(jobs: FakeJobs) -> None:
    follower = worker(jobs)
    follower.writing = True
    # The watch delivers the status before the answer to the patch arrives.
    follower.update(next_version(jobs, "Succeeded"))
    assert observed(follower) is QUEUED


def test_end_of_an_attempt_of_another_process_is_not_that_of_the_patch_under_way(jobs: FakeJobs) -> None:
    follower = WorkerState(lambda _: TransientState())
    follower.begin(next_version(jobs, "Queued"), TransientState())
    follower.writing = True
    second = {"attempts": 2, "dagRunId": "run-2"}
    follower.update(next_version(jobs, "Queued", **second))
    assert follower.tracked is not None
    follower.tracked = replace(follower.tracked, observed_run=QUEUED)
    ended = next_version(jobs, "Failed", **second)
    follower.update(ended)
    assert observed(follower) == remember(ended.status)


def test_answer_from_before_an_end_that_another_process_has_written_is_dropped(jobs: FakeJobs) -> None:
    follower = worker(jobs)
    task = TaskFact("fit", -1, 0, TaskState.NONE, StatusSource.REST, NOW, NOW)
    follower.inbox.snapshots.append((RunKey(SETTINGS_AIRFLOW, "train", "run-1"), Snapshot(NOW, tasks=(task,))))
    follower.update(next_version(jobs, "Failed"))
    assert not follower.inbox.snapshots


def test_repeated_answers_do_not_pile_up_in_the_inbox(jobs: FakeJobs) -> None:
    follower, run = worker(jobs), RunKey(SETTINGS_AIRFLOW, "train", "run-1")

    def answer(seconds: int, state: TaskState) -> Snapshot:
        at = NOW + timedelta(seconds=seconds)
        return Snapshot(at, tasks=(TaskFact("fit", -1, 1, state, StatusSource.REST, at, at),))

    for seconds in range(9):
        follower.inbox.add_snapshot(run, answer(seconds, TaskState.RUNNING))
    ((_, snapshot),) = follower.inbox.snapshots
    assert (snapshot.requested_at, snapshot.tasks[0].occurred_at) == (NOW + timedelta(seconds=8), NOW)
    follower.inbox.add_snapshot(run._replace(run_id="run-2"), answer(9, TaskState.RUNNING))
    follower.inbox.add_snapshot(run, answer(10, TaskState.SUCCESS))
    assert len(follower.inbox.snapshots) == 3


def test_answer_stays_in_the_inbox_while_the_run_is_in_progress(jobs: FakeJobs) -> None:
    follower = worker(jobs)
    follower.inbox.snapshots.append((RunKey(SETTINGS_AIRFLOW, "train", "run-1"), Snapshot(NOW)))
    follower.update(next_version(jobs, "Running"))
    assert follower.inbox.snapshots


def test_run_is_observed_anew_after_a_refused_patch_if_it_has_ended_elsewhere(jobs: FakeJobs) -> None:
    follower = worker(jobs)
    before = follower.job
    assert before is not None
    follower.writing = True
    ended = next_version(jobs, "Succeeded")
    follower.update(ended)
    follower.drop_outdated_run(before)
    assert observed(follower) == remember(ended.status)
    follower.drop_outdated_run(ended)
    assert follower.begin_count == 2, "once"
