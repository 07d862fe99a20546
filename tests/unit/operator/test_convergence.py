"""The simulation judges the operator when everything has come to rest: not in the midst of a
cancellation, and never too late to find one that was lost.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from mljob_contract.mljob import Phase
from tests.simulation.machine import Machine

from .simulated import KEY


@pytest.fixture
def machine() -> Iterator[Machine]:
    machine = Machine()
    yield machine
    machine.world.close()


def test_cancellation_that_has_just_begun_is_not_lost(machine: Machine) -> None:
    """The deadline of the requested retry counts anew, and passes 190 s after the repair."""
    machine.create(KEY, {"dagId": "train", "activeDeadlineSeconds": 120}, 1)
    machine.request_a_retry(0, 61)
    machine.ends_well()
    status = machine.world.status(KEY)
    assert (status.phase, status.reason, status.attempts) == (Phase.FAILED, "DeadlineExceeded", 2)


def test_operator_that_forgets_a_cancellation_is_found(machine: Machine) -> None:
    machine.create(KEY, {"dagId": "train"}, 1)
    machine.edit(KEY, {"cancel": True}, 0.4)
    assert machine.world.status(KEY).phase is Phase.CANCELLING
    assert machine.world.process is not None
    machine.world.process.job_controller.workers.stop()
    with pytest.raises(AssertionError, match="its cancellation was lost"):
        machine.ends_well()


def test_mljob_that_never_comes_to_rest_is_found(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def changes() -> None:
        machine.world.cluster.request_retry(KEY, machine.world.clock().isoformat())

    machine.create(KEY, {"dagId": "train"}, 1)
    monkeypatch.setattr(machine.world.airflow, "cancellations_go_on", changes)
    with pytest.raises(AssertionError, match="MLJobs still change after 1200 s"):
        machine.ends_well()
