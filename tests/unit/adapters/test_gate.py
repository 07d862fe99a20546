"""A process that is not the leader changes nothing in Airflow."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mljob_contract.backfill_marker import Marker
from mljob_contract.mljob import ReprocessBehavior
from mljob_operator.adapters.airflow.client import Airflow
from mljob_operator.core.run.backfill import BackfillRequest
from mljob_operator.errors import NotLeading
from tests.fakes import logins
from tests.fakes.meter import SilentMeter
from tests.scripted_airflow import CANCEL_DAG, DAG, REQUESTS, ScriptedAirflow
from tests.simulation.virtual_time import EPOCH

RUN = (DAG, "mljob.a.b.c")
READS = {"login", *(request.name for request in REQUESTS if request.method == "GET")}
BACKFILL = BackfillRequest(EPOCH, EPOCH, ReprocessBehavior.NONE, 1, False, {})
CHANGES: dict[str, Callable[[Airflow], Awaitable[Any]]] = {
    "submission": lambda airflow: airflow.submit(*RUN, {}, "note"),
    "clearing": lambda airflow: airflow.clear_failed(*RUN, since=None),
    "cancellation DAG": lambda airflow: airflow.trigger_cancellation(*RUN, "reason"),
    "cancellation": lambda airflow: airflow.cancelling.cancel(*RUN),
    "note": lambda airflow: airflow.set_note(*RUN, "note"),
    "backfill": lambda airflow: airflow.backfills.create(DAG, Marker(run_id=RUN[1], attempt=1), BACKFILL),
    "pause": lambda airflow: airflow.backfills.pause(7, paused=True),
    "cancellation of a backfill": lambda airflow: airflow.backfills.cancel(7),
}


@pytest.fixture
def follower(server: ScriptedAirflow) -> Airflow:
    """The Airflow client of a process that is not the leader. The client's methods that change
    something in Airflow raise NotLeading.
    """
    login, _ = logins.split({}, user="mljob", password="right")
    return Airflow("prod", server.url, SilentMeter(), login, prefix="mljob", cancel_dag_id=CANCEL_DAG)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
async def test_request_that_changes_something_is_not_sent(
    server: ScriptedAirflow, follower: Airflow, change: Callable[[Airflow], Awaitable[Any]]
) -> None:
    with pytest.raises(NotLeading):
        await change(follower)
    assert set(server.asked) <= READS
    await follower.close()


async def test_reading_and_logging_in_are_allowed(server: ScriptedAirflow, follower: Airflow) -> None:
    assert (await follower.probe()).version
    assert await follower.get(*RUN) is not None
    await follower.close()
