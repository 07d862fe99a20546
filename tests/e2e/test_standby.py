"""Two replicas of the operator: the second replica becomes the leader when the leader is killed,
ended or paused. Operators with different label selectors can share a namespace.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from devstack.progress import say
from tests.conftest import NewInstallation
from tests.live.eventually import eventually
from tests.live.installation import Installation
from tests.live.mljobs import MLJobs
from tests.live.operators import OperatorProcess

pytestmark = pytest.mark.timeout(600)

LONG = "60"
"""The duration of a Lease in seconds. It is so long that a faster takeover shows that the Lease was
released.
"""


def selecting(team: str) -> str:
    return json.dumps({"matchLabels": {"team": team}})


def until_an_operator_acts(jobs: MLJobs, name: str, evidence: Callable[[], object]) -> None:
    """Create a suspended MLJob, and wait until an operator has written its status."""
    jobs.submit(name, "parity_empty", suspend=True)
    eventually(lambda: jobs.status(name).get("phase") == "Suspended", f"{name} has a status", evidence=evidence)


@contextmanager
def measured(what: str) -> Iterator[None]:
    began = time.monotonic()
    yield
    say(f"  {what}: {time.monotonic() - began:.1f} s")


def pair(installation: NewInstallation, name: str) -> tuple[Installation, OperatorProcess]:
    """Start an operator, and then a second replica of this operator. Return the Installation and
    the process of the second replica. The leader is the first replica, ``Installation.operator``.
    """
    made = installation(name)
    standby = made.operator.replica().start()
    assert (made.operator.leads(), standby.leads()) == (True, False)
    return made, standby


def test_standby_acts_after_the_leader_was_killed_and_the_next_leader_was_told_to_end(
    installation: NewInstallation,
) -> None:
    made, standby = pair(installation, "pair")
    first, jobs = made.operator, made.jobs
    until_an_operator_acts(jobs, "by-the-first", first.log_end)

    first.kill(frees_the_lease=False)
    with measured("from kill -9 of the leader to a status by the standby"):
        until_an_operator_acts(jobs, "by-the-second", standby.log_end)
    assert standby.leads()

    standby.stop()
    first.start(MLJOB_LEASE_SECONDS=LONG)
    standby.start(MLJOB_LEASE_SECONDS=LONG)
    assert first.leads()
    first.signal(signal.SIGTERM)
    began = time.monotonic()
    with measured("from SIGTERM to a status by the standby"):
        until_an_operator_acts(jobs, "by-the-second-again", standby.log_end)
    assert time.monotonic() - began < float(LONG) / 2, "the Lease was released"
    eventually(lambda: not first.runs, "the leader has ended", evidence=first.log_end)
    assert any("released the Lease" in record["message"] for record in first.records())


def test_leader_that_was_paused_stands_by_and_can_lead_again(installation: NewInstallation) -> None:
    made, standby = pair(installation, "paused")
    first, jobs = made.operator, made.jobs
    until_an_operator_acts(jobs, "before", first.log_end)
    first.signal(signal.SIGSTOP)
    try:
        until_an_operator_acts(jobs, "meanwhile", standby.log_end)
        assert standby.leads()
        jobs.kubectl("patch", "mljob", "before", "--type=merge", '--patch={"spec": {"cancel": true, "suspend": false}}')
        jobs.until_phase("before", "Cancelled")
        versions = {name: job["metadata"]["resourceVersion"] for name, job in jobs.all().items()}
    finally:
        first.signal(signal.SIGCONT)
    eventually(
        lambda: any("changes nothing any more" in record["message"] for record in first.records()),
        "the first one has noticed",
        evidence=first.log_end,
    )
    eventually(lambda: first.is_ready() and not first.leads(), "the first one stands by", evidence=first.log_end)
    assert standby.leads()
    assert {name: job["metadata"]["resourceVersion"] for name, job in jobs.all().items()} == versions

    standby.stop()
    until_an_operator_acts(jobs, "again", first.log_end)
    assert first.leads(), "a process leads more than once"
    eventually(first.is_ready, "it watches MLJobs again", evidence=first.log_end)
    assert first.get("/livez")[0] == 200


def test_operators_with_selectors_share_a_namespace_and_an_overlapping_one_is_refused(
    installation: NewInstallation,
) -> None:
    churn = installation("churn", MLJOB_SELECTOR=selecting("churn"))
    jobs = churn.jobs
    # Another operator of the same namespace of MLJobs.
    fraud = installation("fraud", start=False)
    fraud.operator.start(MLJOB_NAMESPACES=jobs.namespace, MLJOB_SELECTOR=selecting("fraud"))
    for team in ("churn", "fraud", "none"):
        jobs.submit(team, "parity_empty", suspend=team == "none")
    for team in ("churn", "fraud"):
        jobs.kubectl("label", "mljob", team, f"team={team}")
    for team, operator in (("churn", churn.operator), ("fraud", fraud.operator)):
        status = jobs.until_finished(team)[team]["status"]
        assert status["phase"] == "Succeeded"
        assert status["dagRunId"].startswith(f"{operator.prefix}."), "each has its own prefix"
    assert jobs.status("none").get("phase") != "Suspended", "no operator selects it"

    late = installation("late", start=False)
    late.operator.start_refused(MLJOB_NAMESPACES=jobs.namespace)
    [line] = [each["message"] for each in late.operator.records() if each["level"] == "critical"]
    assert "the operator can't start: another operator runs under the Lease test-" in line
    assert "MLJOB_SELECTOR and MLJOB_NAMESPACES of this operator select too" in line
    assert churn.operator.leads()
    assert fraud.operator.leads()
