"""What the deletion of all MLJobs, as in docs/operations/uninstall.md, does to their runs."""

from __future__ import annotations

import pytest

from mljob_contract.mljob import FINALIZER
from tests.conftest import NewInstallation
from tests.live.eventually import eventually
from tests.live.installation import Installation
from tests.pages import ROOT, blocks, typed
from tests.walk.airflow import SUCCEEDS, WAITS, WalkAirflow

TROUBLESHOOTING = ROOT / "docs" / "operations" / "troubleshooting.md"


@pytest.fixture
def operator(simulated_airflow: WalkAirflow, installation: NewInstallation) -> Installation:
    return installation("uninstall", **simulated_airflow.operator_settings, MLJOB_RESYNC_INTERVAL_SECONDS="1")


def test_deleting_all_mljobs_ends_their_runs_but_those_to_be_retained(
    operator: Installation, simulated_airflow: WalkAirflow
) -> None:
    jobs = operator.jobs
    jobs.submit("done", SUCCEEDS)
    jobs.submit("ended", WAITS)
    jobs.submit("retained", WAITS, deletionPolicy="Retain")
    jobs.until_phase("done", "Succeeded")
    ended, retained = (jobs.until_phase(name, "Running")["dagRunId"] for name in ("ended", "retained"))

    jobs.kubectl("delete", "mljobs", "--all")

    assert jobs.all() == {}
    assert ended in simulated_airflow.run_ids()
    assert simulated_airflow.active() == [retained]


def test_without_an_operator_a_deletion_waits_until_the_finalizer_is_removed(
    operator: Installation, simulated_airflow: WalkAirflow
) -> None:
    jobs = operator.jobs
    jobs.submit("done", SUCCEEDS)
    jobs.submit("left", WAITS)
    jobs.until_phase("done", "Succeeded")
    eventually(lambda: not jobs.get("done")["metadata"].get("finalizers"), "the finished MLJob has no finalizer")
    run = jobs.until_phase("left", "Running")["dagRunId"]
    operator.operator.stop()

    jobs.kubectl("delete", "mljobs", "--all", "--wait=false")

    jobs.until_gone("done")
    assert jobs.get("left")["metadata"]["finalizers"] == [FINALIZER]
    (command,) = [
        line
        for block in blocks(TROUBLESHOOTING, "console")
        for line in typed(block)
        if "metadata/finalizers" in line and "mljob <" in line
    ]
    _, _, patch = command.partition(" -p ")
    jobs.kubectl("patch", "mljob", "left", "--type=json", "-p", patch.strip("'"))
    jobs.until_gone("left")
    assert simulated_airflow.active() == [run]
