"""Functions for tests in which a component fails while ten MLJobs are in progress. The functions
submit the MLJobs, wait for the MLJobs, and check the results.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle

from tests.e2e.parity import differences
from tests.live.airflow import AirflowRest
from tests.live.eventually import eventually
from tests.live.installation import Installation
from tests.live.mljobs import MLJobs, Object, manifest

DAGS = ("parity_retries", "parity_deferral", "parity_branch", "parity_states", "parity_mapped")
OVER = frozenset({"success", "failed"})
BOUND = 480


def submit_ten(jobs: MLJobs, prefix: str) -> list[str]:
    names = [f"{prefix}-{number}" for number in range(10)]
    jobs.apply(*(manifest(name, dag_id) for name, dag_id in zip(names, cycle(DAGS), strict=False)))
    return names


def runs_over(airflow: AirflowRest, installation: Installation) -> int:
    prefix = f"{installation.operator.prefix}.{installation.jobs.namespace}."
    return sum(run["state"] in OVER for run in airflow.runs(prefix))


def assert_all_ended_right(installation: Installation, names: list[str], airflow: AirflowRest) -> None:
    """Wait until all MLJobs in ``names`` have finished. Then assert that each MLJob has exactly one
    run in Airflow, and that the MLJob's status agrees with Airflow.
    """
    ended = installation.jobs.until_finished(*names, within=BOUND)
    for name in names:
        status = ended[name]["status"]
        assert len(airflow.runs(installation.run_prefix(name))) == 1
        assert not differences(status, airflow), installation.jobs.evidence(name)


def some(jobs: MLJobs, names: list[str], count: int, condition: Callable[[Object], object], what: str) -> None:
    """Wait until the statuses of at least ``count`` of the MLJobs ``names`` meet ``condition``.
    ``what`` describes the condition in the error message.
    """

    def look() -> bool:
        found = jobs.all()
        return sum(bool(condition(found[name].get("status", {}))) for name in names) >= count

    eventually(
        look, f"{count} of {len(names)} MLJobs: {what}", within=BOUND, evidence=lambda: jobs.evidence(*names[:2])
    )
