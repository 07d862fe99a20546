from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mljob_contract.backfill_marker import Marker
from mljob_contract.mljob import ReprocessBehavior
from mljob_operator.core.run.backfill import Backfill, BackfillRequest
from mljob_operator.core.run.states import RunState
from mljob_operator.errors import BackfillActive, DagNotFound, ValidationFailed
from mljob_operator.ports import Backfills

from .conftest import AirflowWorld, new_run_id, now

DAG = "backfill_contract_days"
"""A paused DAG with a schedule, so that the runs of its backfills stay queued."""
FIRST, LAST = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 3, tzinfo=UTC)
DAYS = [FIRST, FIRST + timedelta(days=1), LAST]
ORDER = BackfillRequest(
    FIRST, LAST, ReprocessBehavior.COMPLETED, max_active_runs=2, backwards=False, conf={"seconds": 0}
)


@pytest.fixture
def backfills(airflow_world: AirflowWorld) -> Backfills:
    return airflow_world.dag_runs.backfills


@pytest.fixture
async def made(backfills: Backfills) -> AsyncIterator[Backfill]:
    backfill = await backfills.create(DAG, Marker(new_run_id(), 1), ORDER)
    yield backfill
    await backfills.cancel(backfill.id)


async def test_backfill_is_created_as_requested(made: Backfill, backfills: Backfills) -> None:
    assert (made.dag_id, made.start, made.end, made.max_active_runs) == (DAG, FIRST, LAST, 2)
    assert (made.reprocess, made.conf) == (ReprocessBehavior.COMPLETED, {"seconds": 0})
    assert not made.paused
    assert made.completed_at is None
    assert made.marker is not None
    assert await backfills.find(DAG, made.marker.run_id) == made


async def test_runs_of_a_backfill_exist_at_once(made: Backfill, backfills: Backfills) -> None:
    members = await backfills.list_runs(made)
    assert sorted(member.date for member in members if member.date) == DAYS
    assert {member.run.state for member in members} == {RunState.QUEUED}
    assert {member.attempt for member in members} == {1}
    assert len({member.run_id for member in members}) == 3
    assert await backfills.not_created(made, len(members)) == 0


async def test_run_has_the_conf_of_its_backfill(
    made: Backfill, backfills: Backfills, airflow_world: AirflowWorld
) -> None:
    member, *_ = await backfills.list_runs(made)
    assert made.marker is not None
    assert await airflow_world.submitted_conf(DAG, member.run_id) == {"seconds": 0, **made.marker.as_conf()}


async def test_creation_with_the_same_marker_returns_the_same_backfill(made: Backfill, backfills: Backfills) -> None:
    assert made.marker is not None
    assert (await backfills.create(DAG, made.marker, ORDER)).id == made.id


async def test_second_backfill_of_a_dag_is_refused_while_one_is_active(made: Backfill, backfills: Backfills) -> None:
    with pytest.raises(BackfillActive, match="another backfill in progress"):
        await backfills.create(DAG, Marker(new_run_id(), 1), ORDER)


async def test_missing_backfill_is_none(backfills: Backfills) -> None:
    assert await backfills.find(DAG, new_run_id()) is None
    assert await backfills.find("no_such_dag", new_run_id()) is None


async def test_attempts_are_distinguished_by_their_marker(made: Backfill, backfills: Backfills) -> None:
    assert made.marker is not None
    assert await backfills.find(DAG, made.marker.run_id, 1) == made
    assert await backfills.find(DAG, made.marker.run_id, 2) is None


async def test_unknown_dag_is_not_found(backfills: Backfills) -> None:
    with pytest.raises(DagNotFound, match="no_such_dag"):
        await backfills.create("no_such_dag", Marker(new_run_id(), 1), ORDER)


async def test_dag_without_a_schedule_is_refused(backfills: Backfills) -> None:
    with pytest.raises(ValidationFailed, match="schedule"):
        await backfills.create("parity_paused", Marker(new_run_id(), 1), ORDER)


async def test_range_in_the_future_is_refused(backfills: Backfills) -> None:
    ahead = replace(ORDER, start=now() + timedelta(days=2), end=now() + timedelta(days=3))
    with pytest.raises(ValidationFailed, match="future"):
        await backfills.create(DAG, Marker(new_run_id(), 1), ahead)


async def test_backfill_can_be_paused_and_unpaused(made: Backfill, backfills: Backfills) -> None:
    assert made.marker is not None
    for paused in (True, True, False, False):
        await backfills.pause(made.id, paused=paused)
        found = await backfills.find(DAG, made.marker.run_id)
        assert found is not None
        assert found.paused is paused


async def test_closing_a_backfill_fails_its_queued_runs(made: Backfill, backfills: Backfills) -> None:
    for _ in range(2):
        await backfills.cancel(made.id)
    assert made.marker is not None
    found = await backfills.find(DAG, made.marker.run_id)
    assert found is not None
    assert found.completed_at is not None
    assert {member.run.state for member in await backfills.list_runs(found)} == {RunState.FAILED}
    await backfills.pause(made.id, paused=False)


async def test_failed_runs_are_created_again_by_the_next_attempt(made: Backfill, backfills: Backfills) -> None:
    assert made.marker is not None
    before = await backfills.list_runs(made)
    await backfills.cancel(made.id)
    again = await backfills.create(DAG, replace(made.marker, attempt=2), ORDER.for_failed_runs())
    assert again.id != made.id
    members = await backfills.list_runs(again)
    assert {member.run_id for member in members} == {member.run_id for member in before}
    assert {(member.attempt, member.run.state) for member in members} == {(2, RunState.QUEUED)}
    created = {member.run_id: member.run.queued_at for member in before}
    assert all(member.run.queued_at and member.run.queued_at > created[member.run_id] for member in members)  # type: ignore[operator]
    await backfills.cancel(again.id)


async def test_existing_runs_that_are_kept_are_counted(made: Backfill, backfills: Backfills) -> None:
    await backfills.cancel(made.id)
    other = await backfills.create(
        DAG, Marker(new_run_id(), 1), replace(ORDER, reprocess=ReprocessBehavior.NONE, end=LAST + timedelta(days=1))
    )
    members = await backfills.list_runs(other)
    in_range = len(members) + await backfills.not_created(other, len(members))
    assert (len(members) <= 1, in_range) == (True, 4)
    await backfills.cancel(other.id)


async def test_change_feed_has_runs_that_changed_since_a_time(made: Backfill, backfills: Backfills) -> None:
    changed = await backfills.changed(now() - timedelta(seconds=30))
    ours = [change for change in changed if change.marker == made.marker]
    assert sorted(change.member.date for change in ours if change.member.date) == DAYS
    assert {change.dag_id for change in ours} == {DAG}
    assert await backfills.changed(now() + timedelta(hours=1)) == []
