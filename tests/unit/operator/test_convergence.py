"""Tests of ``Machine.ends_well``, the last step of a simulation. This step fails if a status does
not agree with Airflow, or if the operator has forgotten a request of a user.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mljob_contract.mljob import Phase
from mljob_operator.core.run.states import RunState
from tests.simulation.machine import Machine

from .simulated import KEY


@pytest.fixture
def machine() -> Iterator[Machine]:
    machine = Machine()
    yield machine
    machine.world.close()


def test_cancellation_that_has_just_begun_is_not_lost(machine: Machine) -> None:
    machine.create(KEY, {"dagId": "train", "activeDeadlineSeconds": 120}, 1)
    machine.request_a_retry(0, 61)
    # During this check, the retry exceeds its deadline and the operator cancels the run.
    machine.ends_well()
    status = machine.world.status(KEY)
    assert (status.phase, status.reason, status.attempts) == (Phase.FAILED, "DeadlineExceeded", 2)


def test_finished_mljob_that_waits_for_another_to_be_retried_may_outlive_its_ttl(machine: Machine) -> None:
    other = (KEY[0], "score")
    machine.create(other, {"dagId": "train"}, 1)
    waits = {"confFrom": [{"outputsRef": {"name": other[1]}}], "activeDeadlineSeconds": 20}
    machine.create(KEY, {"dagId": "train", "ttlSecondsAfterFinished": 30, **waits}, 21)
    # The deadline has passed while KEY waited for the outputs of the other MLJob.
    assert machine.world.status(KEY).phase is Phase.FAILED
    machine.request_a_retry(1, 1)
    machine.ends_well()
    assert machine.world.status(other).phase is Phase.SUCCEEDED
    assert KEY not in machine.world.cluster.objects


def test_operator_that_forgets_a_cancellation_is_found(machine: Machine) -> None:
    machine.create(KEY, {"dagId": "train"}, 1)
    machine.edit(KEY, {"cancel": True}, 0.4)
    assert machine.world.status(KEY).phase is Phase.CANCELLING
    assert machine.world.process is not None
    machine.world.process.job_controller.workers.stop()
    with pytest.raises(AssertionError, match="its cancellation was lost"):
        machine.ends_well()


def test_operator_that_forgets_a_time_to_live_is_found(machine: Machine) -> None:
    machine.create(KEY, {"dagId": "train", "ttlSecondsAfterFinished": 30}, 1)
    machine.a_run_comes_to_its_end(RunState.SUCCESS, 0, 21)
    assert machine.world.status(KEY).phase is Phase.SUCCEEDED
    assert machine.world.process is not None
    machine.world.process.job_controller.workers.stop()
    with pytest.raises(AssertionError, match="its time to live has passed"):
        machine.ends_well()


def test_mljob_that_never_comes_to_rest_is_found(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def changes() -> None:
        machine.world.cluster.request_retry(KEY, machine.world.clock().isoformat())

    machine.create(KEY, {"dagId": "train"}, 1)
    monkeypatch.setattr(machine.world.airflow, "cancellations_go_on", changes)
    with pytest.raises(AssertionError, match="MLJobs still change after 1200 s"):
        machine.ends_well()
