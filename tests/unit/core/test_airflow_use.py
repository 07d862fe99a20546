"""Whether the operator can reach and needs the Airflow of an MLJob, and whether the MLJob counts
against the limits on active runs.
"""

from __future__ import annotations

from typing import Any

import pytest

from mljob_operator.core.airflow_instance.admission import Reservation
from mljob_operator.core.mljob.airflow_use import (
    active_reservation,
    is_lost,
    is_reachable,
    needs_airflow,
    reservation,
)

from .situations import (
    Given,
    ago,
    catalog,
    classified,
    ended,
    failed,
    finished,
    given,
    instance,
    job,
    later,
    not_found,
    retrying,
    running,
    submitting,
    succeeded,
    suspended,
    under_way,
)

PROD: dict[str, Any] = {"airflow_ref": {"name": "prod"}}
WITH_PROD = catalog(instances={"prod": instance()}, settings_access=[{}])
WITHOUT_PROD = catalog(instances={"other": instance()}, settings_access=[{}])


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(given(job(**PROD), status=under_way(airflow="prod"), catalog=WITH_PROD), False, id="known"),
        pytest.param(given(job(**PROD), status=under_way(airflow="prod"), catalog=WITHOUT_PROD), True, id="deleted"),
        pytest.param(
            given(job(), status=under_way(), catalog=catalog(settings_airflow=False)), True, id="not in the settings"
        ),
        pytest.param(given(job(**PROD), catalog=WITHOUT_PROD), False, id="no run is there"),
        pytest.param(
            given(job(**PROD), status=finished(airflow="prod"), catalog=WITHOUT_PROD), False, id="the MLJob is finished"
        ),
    ],
)
def test_a_run_is_lost_if_its_airflow_is_no_longer_known(situation: Given, expected: bool) -> None:
    assert is_lost(classified(situation)) is expected


@pytest.mark.parametrize(
    ("instances", "not_ready", "expected"),
    [
        pytest.param({"prod": instance()}, {}, True, id="ready"),
        pytest.param({"prod": instance()}, {"prod": "No answer in 5 s."}, False, id="not ready"),
        pytest.param({"prod": instance()}, {"": "No answer in 5 s."}, True, id="another one is not ready"),
        pytest.param({}, {}, False, id="not known"),
    ],
)
def test_a_reachable_airflow_is_known_and_ready(
    instances: dict[str, Any], not_ready: dict[str, str], expected: bool
) -> None:
    there = catalog(instances=instances, not_ready=not_ready)
    assert is_reachable(classified(job(**PROD), status=under_way(airflow="prod"), catalog=there)) is expected


@pytest.mark.parametrize(
    ("situation", "expected"),
    [
        pytest.param(given(job(), run=running()), True, id="the run is in progress"),
        pytest.param(given(job(), status=under_way()), True, id="the status says that the run was submitted"),
        pytest.param(given(job(), status=finished()), True, id="a finished MLJob, whose run may be cleared"),
        pytest.param(
            given(job(run_policy="OncePerSpec"), status=finished(ran={"dag_id": "other"})),
            False,
            id="a finished MLJob that runs again",
        ),
        pytest.param(given(job()), False, id="no attempt"),
        pytest.param(given(job(held=False), run=running()), False, id="without a finalizer nobody waits"),
        pytest.param(given(job(), status=retrying(), run=failed()), False, id="between two attempts"),
        pytest.param(given(job(suspend=True), status=suspended()), False, id="suspended"),
        pytest.param(given(job(), status=submitting()), False, id="announced by this process and not sent"),
        pytest.param(
            given(job(), status=submitting(), restarted=True), True, id="announced by a process that may have sent it"
        ),
        pytest.param(
            given(job(), status=submitting(), restarted=True, run=not_found(since=ago(10), again=True)),
            False,
            id="Airflow proved that there is no run",
        ),
        pytest.param(
            given(job(), status=submitting(), unknown_until=later(30)), True, id="a submission may still arrive"
        ),
    ],
)
def test_an_mljob_needs_its_airflow_while_a_run_may_be_there(situation: Given, expected: bool) -> None:
    assert needs_airflow(classified(situation)) is expected


@pytest.mark.parametrize(
    ("situation", "active"),
    [
        pytest.param(given(job(), run=running()), True, id="the run is in progress"),
        pytest.param(given(job(), status=submitting(), unknown_until=later(30)), True, id="a submission is in doubt"),
        pytest.param(given(job()), False, id="a run is due"),
        pytest.param(given(job(), catalog=catalog(full=[""])), False, id="a run is due, and the Airflow is full"),
        pytest.param(given(job(), catalog=catalog(settings_access=[])), None, id="no access"),
        pytest.param(given(job(backoff_limit=3), status=retrying()), None, id="a retry is not due yet"),
        pytest.param(given(job(backoff_limit=3), status=retrying(at=ago(60))), False, id="a retry is due"),
        pytest.param(given(job(), run=succeeded()), None, id="the run has ended"),
        pytest.param(given(job(), status=under_way(), run=not_found(since=ago(10), again=True)), None, id="deleted"),
        pytest.param(given(job(suspend=True)), None, id="suspended"),
        pytest.param(given(job(), status=finished()), None, id="finished"),
        pytest.param(
            given(job(backoff_limit=3), status=submitting(2, history=(ended(1),))), False, id="a retry was not sent yet"
        ),
    ],
)
def test_an_mljob_counts_against_the_limits_while_it_has_or_wants_a_run(situation: Given, active: bool | None) -> None:
    found = reservation(classified(situation))
    assert (found.active if found is not None else None) is active


ACCESS = [{"dags": ["score"], "priority": 9}, {"dags": ["train"], "priority": 5}]


def test_a_reservation_has_the_priority_of_the_access_rule() -> None:
    there = catalog(instances={"prod": instance(access=ACCESS)})
    waiting = classified(job(**PROD), catalog=there)
    submitted = classified(job(**PROD), status=under_way(airflow="prod"), catalog=there)
    assert reservation(waiting) == Reservation("prod", 1, 5, active=False)
    assert reservation(submitted) == active_reservation(waiting) == Reservation("prod", 1, 5, active=True)


def test_a_run_counts_after_its_access_rule_was_removed() -> None:
    there = catalog(instances={"prod": instance(access=ACCESS[:1])})
    submitted = classified(job(**PROD), status=under_way(airflow="prod"), catalog=there)
    assert reservation(submitted) == Reservation("prod", None, 0, active=True)
