"""The tests kill the operator and start the operator again. In the end, each status agrees with
Airflow. No run is submitted twice. A retry that is requested while no operator runs is handled
once.
"""

from __future__ import annotations

import pytest

from tests.conftest import NewInstallation
from tests.e2e.ten_runs import BOUND, assert_all_ended_right, runs_over, some, submit_ten
from tests.live.airflow import AirflowRest
from tests.live.eventually import eventually

pytestmark = pytest.mark.timeout(BOUND + 240)


def test_ten_runs_end_right_when_the_operator_dies(installation: NewInstallation, airflow: AirflowRest) -> None:
    mortal = installation("mortal")
    prefix = f"{mortal.operator.prefix}.{mortal.jobs.namespace}."
    names = submit_ten(mortal.jobs, "operator-dies")

    # The operator first dies during the submissions ...
    eventually(lambda: airflow.runs(prefix), "a run is submitted", evidence=mortal.operator.log_end)
    mortal.operator.kill()
    mortal.operator.start()

    # ... and then during the runs: it receives no event of what happens while it is down.
    some(mortal.jobs, names, 3, lambda status: status.get("taskCounts", {}).get("success"), "a task has succeeded")
    mortal.operator.kill()
    over = runs_over(airflow, mortal)
    eventually(lambda: runs_over(airflow, mortal) >= min(over + 2, 10), "runs end without an operator", within=BOUND)
    mortal.operator.start()

    assert_all_ended_right(mortal, names, airflow)


def test_retry_requested_while_no_operator_runs_is_handled_once(
    installation: NewInstallation, airflow: AirflowRest
) -> None:
    away = installation("away")
    jobs = away.jobs
    jobs.submit("requested", "attempts_flaky", retryStrategy="NewRun")
    status = jobs.until_finished("requested")["requested"]["status"]
    assert status["phase"] == "Failed"

    away.operator.kill()
    jobs.kubectl("annotate", "mljob/requested", "mljob.dev/retry-requested-at=monday")
    away.operator.start()

    jobs.until("requested", lambda status: status.get("lastHandledRetry") == "monday", "the request is handled")
    status = jobs.until_finished("requested")["requested"]["status"]
    assert (status["phase"], status["attempts"]) == ("Succeeded", 2)

    away.operator.kill()
    away.operator.start()
    jobs.submit("after-the-restart", "parity_empty")
    jobs.until_finished("after-the-restart")

    again = jobs.status("requested")
    assert (again["phase"], again["attempts"]) == ("Succeeded", 2)
    assert len(airflow.runs(f"{away.operator.prefix}.{jobs.namespace}.requested.")) == 2
