"""The operator dies right before or right after a call to Kubernetes, Airflow or Kafka, and a
replica becomes the leader. The replica starts no second run, and the MLJob ends as without a crash.

The results are written to the file ``crash-matrix.md`` in the folder of the stack's logs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from devstack.progress import say
from devstack.stack import Stack
from mljob_contract.mljob import PLURAL
from mljob_contract.resource import API_VERSION
from tests.conftest import NewInstallation
from tests.e2e.parity import differences
from tests.live import crashing_operator
from tests.live.airflow import AirflowRest
from tests.live.eventually import eventually
from tests.live.installation import Installation
from tests.live.kubectl import Kubectl
from tests.live.mljobs import Object, finished

PROGRAM = crashing_operator.__file__
CANCELLER = "mljob_cancel"
NAME = "mortal"
SIDE_BY_SIDE = 6
"""The number of cases that are tested at the same time. Each case has its own operator with two
replicas.
"""
LEASE_SECONDS = "8"
"""The duration of the Lease in seconds. A replica waits about that long after the death of the
leader. On a busy machine, a shorter Lease would end the term of a leader that is to die at a later
call.
"""

pytestmark = pytest.mark.timeout(1500)


@dataclass(frozen=True)
class Scenario:
    """What a user does with an MLJob, and how the MLJob must end, whether or not the operator
    crashes.

    Attributes:
        spec: The spec of the MLJob.
        then: The user's action when a task runs: ``delete``, a change of the spec, or None for no
            action.
        ends: The MLJob's last phase. None for a deleted MLJob.
        attempts: The number of the MLJob's attempts.
        run_ends: The last state of the run in Airflow.
    """

    spec: dict[str, Any]
    then: str | dict[str, Any] | None = None
    ends: str | None = "Succeeded"
    attempts: int = 1
    run_ends: str = "success"


INFER = {"dag_id": "attempts_infer", "conf": {"x": 2}}
WAIT = {"dag_id": "attempts_wait", "conf": {"seconds": 600}}
PREDICTION = [{"name": "prediction", "taskId": "predict"}]

# The API server adds no finalizer to a new MLJob with confFrom.
TAKES_CONF = {"confFrom": [{"configMapRef": {"name": "none", "optional": True}}]}

STORIES = {
    "runs": Scenario(INFER | {"outputs": PREDICTION}),
    "takes a conf": Scenario(INFER | TAKES_CONF),
    "is retried": Scenario({"dag_id": "attempts_flaky", "backoffLimit": 1}, attempts=2),
    "is deleted": Scenario(WAIT, then="delete", ends=None, run_ends="failed"),
    "is cancelled": Scenario(
        WAIT | {"cancellation": {"strategy": "Api"}}, then={"cancel": True}, ends="Cancelled", run_ends="failed"
    ),
    "expires": Scenario(INFER | {"ttlSecondsAfterFinished": 2}, ends=None),
}
CALLS = {
    "add the finalizer": "takes a conf",
    "write the attempt": "runs",
    "trigger the run": "runs",
    "write the submission": "runs",
    "write a status in mid-run": "runs",
    "commit offsets": "runs",
    "list the tasks": "runs",
    "read the outputs": "runs",
    "write the end": "runs",
    "remove the finalizer": "runs",
    "write the failed attempt": "is retried",
    "write the second attempt": "is retried",
    "clear the failed tasks": "is retried",
    "write the cancellation": "is deleted",
    "trigger the cancellation": "is deleted",
    "cancel through REST": "is cancelled",
    "delete the MLJob": "expires",
}
assert CALLS.keys() == crashing_operator.CALLS.keys()


@dataclass
class Case:
    """A call to Kubernetes, Airflow or Kafka, and whether the operator dies right before or right
    after this call.
    """

    when: str
    call: str
    installation: Installation
    asked: bool = False
    at_death: str = ""
    outcome: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def story(self) -> Scenario:
        return STORIES[CALLS[self.call]]

    @property
    def title(self) -> str:
        return f"{self.call}, {self.when}"

    @property
    def runs_prefix(self) -> str:
        return self.installation.run_prefix(NAME)


class Cluster:
    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl

    def jobs(self) -> dict[str, Object]:
        found = self._kubectl.api.get(f"/apis/{API_VERSION}/{PLURAL}", fieldSelector=f"metadata.name={NAME}")
        return {job["metadata"]["namespace"]: job for job in found["items"]}


@pytest.fixture(scope="module")
def matrix(stack: Stack) -> Iterator[list[Case]]:
    """A list to which each test adds its cases. After the last test of this module, the results of
    all cases are printed and written to a file.
    """
    cases: list[Case] = []
    yield cases
    file = stack.directory / "logs" / "crash-matrix.md"
    file.write_text(table(cases))
    say(f"\n{table(cases)}")


@pytest.mark.parametrize("number", range(-(-2 * len(CALLS) // SIDE_BY_SIDE)))
def test_operator_killed_at_any_call_loses_and_repeats_nothing(
    number: int,
    installation: NewInstallation,
    kubectl: Kubectl,
    airflow: AirflowRest,
    matrix: list[Case],
) -> None:
    both = [(when, call) for call in CALLS for when in ("before", "after")]
    cases = [
        Case(
            when,
            call,
            installation(
                f"crash-{number}-{place}",
                start=False,
                MLJOB_LEASE_SECONDS=LEASE_SECONDS,
            ),
        )
        for place, (when, call) in enumerate(both[number * SIDE_BY_SIDE :][:SIDE_BY_SIDE])
    ]
    matrix += cases
    cluster = Cluster(kubectl)
    try:
        live(cases, cluster)
        end(cases, cluster)
        for case in cases:
            case.problems += problems(case, airflow)
            case.outcome = "; ".join(case.problems) or outcome(case, airflow)
    finally:
        for case in cases:
            case.installation.jobs.remove_all()
        eventually(lambda: not cluster.jobs(), "nothing is left for the next")

    wrong = {case.title: case.problems for case in cases if case.problems}
    assert not wrong


def live(cases: list[Case], cluster: Cluster) -> None:
    """Start the operators, submit the MLJobs, and perform the users' actions. Wait until the first
    operator of each case has killed itself.
    """
    start(cases)
    for case in cases:
        case.installation.jobs.submit(NAME, **case.story.spec)

    def all_dead() -> bool:
        found = cluster.jobs()
        for case in cases:
            job = found.get(case.installation.jobs.namespace)
            if not case.installation.operator.runs:
                case.at_death = case.at_death or described(job)
            elif job is not None:
                ask(case, job)
        late = [case.title for case in cases if case.installation.operator.runs]
        assert not late, f"they live on: {late}"
        return True

    eventually(all_dead, "all operators are dead", within=300, evidence=lambda: evidence(cases))


def start(cases: list[Case]) -> None:
    """Start two operators for each case: the leader, which kills itself right before or right
    after the call of the case, and then a replica, which waits to become the leader.
    """
    for case in cases:
        case.installation.operator.begin(PROGRAM, case.when, case.call)
    for case in cases:
        operator = case.installation.operator
        eventually(operator.leads, f"the operator of {case.title} leads", within=180, evidence=operator.log_end)
    replicas = [case.installation.operator.replica() for case in cases]
    for replica in replicas:
        replica.begin("-m", "mljob_operator")
    for replica in replicas:
        eventually(replica.is_ready, f"{replica.name} stands by", within=180, evidence=replica.log_end)


def ask(case: Case, job: Object) -> None:
    """Perform the user's action of the scenario, if a task of the MLJob runs now and the action was
    not performed before.
    """
    if case.asked or case.story.then is None or not job.get("status", {}).get("taskCounts", {}).get("running"):
        return
    case.asked = True
    if case.story.then == "delete":
        case.installation.jobs.kubectl("delete", "mljob", NAME, "--wait=false")
    else:
        change = json.dumps({"spec": case.story.then})
        case.installation.jobs.kubectl("patch", "mljob", NAME, "--type=merge", "--patch", change)


def end(cases: list[Case], cluster: Cluster) -> None:
    def all_ended() -> bool:
        found = cluster.jobs()
        late = []
        for case in cases:
            job = found.get(case.installation.jobs.namespace)
            if (job is None) is not (case.story.ends is None) or (job is not None and not finished(job)):
                late.append(f"{case.title}: {described(job)}")
        assert not late, f"not ended: {late}"
        return True

    eventually(all_ended, "all MLJobs have ended", within=300, evidence=lambda: evidence(cases))


def problems(case: Case, airflow: AirflowRest) -> list[str]:
    """Return how the runs and the MLJob's status differ from the scenario, and how the status
    differs from Airflow.
    """
    found = []
    story = case.story
    runs = airflow.runs(case.runs_prefix)
    if story.ends is not None:
        runs = [airflow.ended(run["dag_id"], run["dag_run_id"]) for run in runs]
    states = [run["state"] for run in runs]
    if states != [story.run_ends]:
        found.append(f"runs: {states}, expected one that is {story.run_ends}")
    if story.ends is not None:
        status = case.installation.jobs.status(NAME)
        if (status["phase"], status["attempts"]) != (story.ends, story.attempts):
            found.append(f"{status['phase']} after {status['attempts']} attempts")
        wrong = differences(status, airflow)
        # Airflow has no state for a cancelled run.
        found += [f"{name}: {what}" for name, what in wrong.items() if (name, story.ends) != ("phase", "Cancelled")]
        if story.spec.get("outputs") and status.get("outputs") != {"prediction": {"y": 4.0}}:
            found.append(f"outputs: {status.get('outputs')}")
    for run in runs:
        cancellation = f"cancel.{run['dag_run_id']}"
        if airflow.run(CANCELLER, cancellation) is not None:
            # The cancellation DAG's run may end a moment after the run that it cancels.
            airflow.ended(CANCELLER, cancellation)
    return found


def outcome(case: Case, airflow: AirflowRest) -> str:
    run = airflow.runs(case.runs_prefix)[0]
    ends = case.story.ends or "gone"
    attempts = "" if case.story.attempts == 1 else f", {case.story.attempts} attempts"
    return f"{ends}{attempts}; one run, {run['state']}"


def described(job: Object | None) -> str:
    """Return the MLJob's phase, its number of attempts, and whether it has a finalizer."""
    if job is None:
        return "gone"
    status = job.get("status", {})
    held = "held" if job["metadata"].get("finalizers") else "not held"
    return f"{status.get('phase', 'no status')}, attempt {status.get('attempts', 0)}, {held}"


def evidence(cases: list[Case]) -> str:
    return "\n".join(case.installation.operator.log_end() for case in cases[:2])


def table(cases: list[Case]) -> str:
    rows = [f"| {case.call} | {case.when} | {case.at_death} | {case.outcome} |" for case in cases]
    return "\n".join(["| Call | Killed | Left behind | In the end |", "|---|---|---|---|", *rows, ""])
