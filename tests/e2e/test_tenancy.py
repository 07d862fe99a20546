"""A tenant can neither end another tenant's run nor use an Airflow that is closed to the tenant."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from devstack.stack import Stack
from tests.conftest import NewInstallation
from tests.live.airflow import AirflowRest
from tests.live.airflow_instances import Platform, platform_of
from tests.live.eventually import eventually
from tests.live.installation import Installation
from tests.live.kubectl import Kubectl
from tests.live.mljobs import MLJobs, holds

WAIT = "attempts_wait"
RULE = {"namespaceSelector": {"matchLabels": {"team": "churn"}}, "dags": [WAIT]}


@pytest.fixture
def other_team(kubectl: Kubectl) -> Kubectl:
    name = f"other-team-{secrets.token_hex(3)}"
    kubectl("create", "namespace", name)
    return kubectl.within(name)


@pytest.mark.parametrize("dag_id", ["mljob_cancel", "mljob_monitor", "mljob_monitor_bottlenecks"])
def test_platform_dags_are_refused_and_the_run_of_the_other_team_continues(
    installation: NewInstallation, other_team: Kubectl, airflow: AirflowRest, dag_id: str
) -> None:
    # The cancellation DAG is always refused. A monitoring DAG needs an access rule that names it.
    ours = installation("tenancy", start=False)
    ours.operator.start(MLJOB_NAMESPACES=f"{ours.jobs.namespace},{other_team.namespace}")
    theirs = MLJobs(other_team, ours.operator.log_end)
    ours.jobs.submit("victim", WAIT, {"seconds": 600}, cancellation={"strategy": "Api"})
    run = ours.jobs.until_phase("victim", "Running")
    conf = {"dag_id": run["dagId"], "dag_run_id": run["dagRunId"]}

    theirs.submit("attack", dag_id, conf)

    status = theirs.until("attack", lambda status: status.get("reason") == "ValidationFailed", "is refused")
    assert "reserved" in status["message"]
    assert holds(status, "Stalled")
    eventually(lambda: "finalizers" not in theirs.get("attack")["metadata"], "it can be deleted at any time")
    assert airflow.runs(f"{ours.operator.prefix}.{theirs.namespace}.") == []

    def state() -> str | None:
        victim = airflow.run(run["dagId"], run["dagRunId"])
        assert victim is not None
        # The event that a run is running may arrive before the scheduler has committed this state.
        return str(victim["state"]) if victim["state"] != "queued" else None

    assert eventually(state, "the run has left the queue") == "running"
    assert ours.jobs.status("victim")["phase"] == "Running"
    theirs.remove_all()
    theirs.until_gone("attack")
    ours.jobs.remove_all()
    ours.jobs.until_gone("victim")


@pytest.fixture
def with_settings_airflow(installation: NewInstallation) -> Installation:
    """An operator that manages AirflowInstances. The operator's settings name an Airflow, but have
    no access rules. As soon as an AirflowInstance exists, every MLJob needs an access rule, so no
    MLJob may use the Airflow of the settings.
    """
    return installation("closed", MLJOB_AIRFLOW_INSTANCES="true", MLJOB_AIRFLOW_ACCESS="")


@pytest.fixture
def platform(with_settings_airflow: Installation, kubectl: Kubectl, stack: Stack) -> Iterator[Platform]:
    with platform_of(with_settings_airflow, kubectl, stack) as platform:
        yield platform


def test_without_a_default_instance_the_airflow_of_the_settings_is_closed_until_a_rule_opens_it(
    with_settings_airflow: Installation, platform: Platform, kubectl: Kubectl, airflow: AirflowRest
) -> None:
    jobs, operator = with_settings_airflow.jobs, with_settings_airflow.operator
    platform.make("only", default=True, access=[RULE])
    platform.until("only", "Ready")
    jobs.submit("kept-out", WAIT, {"seconds": 0})
    jobs.until("kept-out", lambda status: status.get("reason") == "ValidationFailed", "is refused")

    platform.annotate("only", default=False)

    status = jobs.until(
        "kept-out", lambda status: "MLJOB_AIRFLOW_ACCESS" in status.get("message", ""), "is refused there as well"
    )
    assert status["reason"] == "ValidationFailed"
    assert airflow.runs(f"{operator.prefix}.{jobs.namespace}.") == []

    operator.stop()
    operator.start(MLJOB_AIRFLOW_ACCESS="[{}]")
    assert jobs.until_finished("kept-out")["kept-out"]["status"]["phase"] == "Succeeded"
