"""Kafka, Airflow's API server, the Kubernetes API server and the operator's leader are killed at
random times, while MLJobs run or are cancelled or deleted.

By default the test is short. `make chaos` runs 200 MLJobs with outages of 60 s, and writes
benchmarks/results/chaos.json. Settings of the test:

- ``MLJOB_CHAOS_JOBS``: the number of MLJobs.
- ``MLJOB_CHAOS_AWAY``: the seconds of each outage.
- ``MLJOB_CHAOS_SEED``: the seed of the random numbers.
"""

from __future__ import annotations

import json
import logging
import os
import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from devstack.progress import say
from devstack.stack import Stack
from tests.conftest import NewInstallation
from tests.e2e.chaos import Course, Outages, Watcher, insist, planned
from tests.e2e.parity import differences
from tests.live.airflow import AirflowRest
from tests.live.eventually import eventually
from tests.live.installation import Installation
from tests.live.mljobs import Object, finished, manifest
from tests.live.operators import OperatorProcess

JOBS = int(os.environ.get("MLJOB_CHAOS_JOBS", "16"))
AWAY = float(os.environ.get("MLJOB_CHAOS_AWAY", "8"))
SEED = int(os.environ.get("MLJOB_CHAOS_SEED", "1"))
LONG_FORM = 200
RESULT = Path(__file__).parents[2] / "benchmarks" / "results" / "chaos.json"

DAGS = ("parity_empty", "parity_branch", "parity_empty", "parity_mapped", "parity_empty", "parity_params")
CONF = {"parity_params": {"count": 1}}
PACE = 1.5
"""Seconds between the submissions of two MLJobs."""
CANCELLED_SHARE, DELETED_SHARE = 0.1, 0.1
OVER = frozenset({"success", "failed"})
SETTLING = 15.0
"""Seconds in which a status may still differ from Airflow: after the end of its run, and after the
last part of the system is back. The report counts the statuses that differ for longer.
"""
BOUND = 900 + JOBS * 6

pytestmark = [pytest.mark.timeout(BOUND + 300), pytest.mark.disruptive]


@pytest.fixture
def pair(installation: NewInstallation, stack: Stack) -> Iterator[tuple[Installation, list[OperatorProcess]]]:
    """An installation of the operator, and the processes of its two replicas."""
    made = installation("chaos")
    yield made, [made.operator, made.operator.replica().start()]
    for component in ("kube-apiserver", "kafka", "airflow-api-server"):
        stack.start(component)


def component(stack: Stack, name: str) -> Callable[[], Callable[[], None]]:
    def take_away() -> Callable[[], None]:
        stack.kill(name)
        return lambda: stack.start(name)

    return take_away


def leader(operators: list[OperatorProcess]) -> Callable[[], Callable[[], None]]:
    def take_away() -> Callable[[], None]:
        leads = eventually(lambda: next((each for each in operators if each.leads()), None), "an operator leads")
        assert leads is not None
        leads.kill(frees_the_lease=False)
        return lambda: leads.begin("-m", "mljob_operator")

    return take_away


def test_mljobs_end_right_while_each_part_is_away_at_random(
    pair: tuple[Installation, list[OperatorProcess]],
    airflow: AirflowRest,
    stack: Stack,
    caplog: pytest.LogCaptureFixture,
) -> None:
    made, operators = pair
    # The watch asks an API server that is away five times a second.
    caplog.set_level(logging.ERROR, "urllib3.connectionpool")
    chance = random.Random(SEED)
    names = [f"chaos-{number:03d}" for number in range(JOBS)]
    cancelled = set(chance.sample(names, round(JOBS * CANCELLED_SHARE)))
    deleted = set(chance.sample(sorted(set(names) - cancelled), round(JOBS * DELETED_SHARE)))
    parts = {name: component(stack, name) for name in ("kafka", "airflow-api-server", "kube-apiserver")}
    outages = Outages(planned(parts | {"leader": leader(operators)}, JOBS * PACE, chance), AWAY)

    with Watcher(made.jobs.kubectl.api, made.jobs.path) as watcher:
        outages.begin()
        try:
            for number, (name, dag_id) in enumerate(zip(names, cycle(DAGS), strict=False)):
                submit(made, name, dag_id)
                # Each is cancelled or deleted while it waits, runs or has just ended, by chance.
                if number >= 4 and (victim := names[number - 4]) in cancelled | deleted:
                    end(made, victim, delete=victim in deleted)
                time.sleep(PACE)
            for victim in names[-4:]:
                if victim in cancelled | deleted:
                    end(made, victim, delete=victim in deleted)
            outages.wait()
        finally:
            outages.end()
        left = set(names) - deleted
        ended = until_all_are_over(made, operators, left)
        runs = until_no_run_is_left(made, airflow)

    doubled = {name: number for name, number in Counter(map(owner, runs)).items() if number != 1}
    run_ids = {run["dag_run_id"] for run in runs}
    wrong = {name: found for name, job in ended.items() if (found := differences_from_airflow(job, run_ids, airflow))}
    backward = {name: course.backward for name, course in watcher.courses.items() if course.backward}
    report_figures(watcher.courses, runs, outages, doubled=doubled, wrong=wrong, backward=backward)
    assert (doubled, wrong, backward) == ({}, {}, {})


def submit(made: Installation, name: str, dag_id: str) -> None:
    body = manifest(name, dag_id, CONF.get(dag_id))
    path, api = f"{made.jobs.path}/{name}", made.jobs.kubectl.api
    insist(lambda: api.apply(path, body, manager="chaos"), f"{name} is submitted")


def end(made: Installation, name: str, *, delete: bool) -> None:
    path, api = f"{made.jobs.path}/{name}", made.jobs.kubectl.api
    if delete:
        insist(lambda: api.delete(path), f"{name} is deleted")
    else:
        insist(lambda: api.patch(path, {"spec": {"cancel": True}}), f"{name} is cancelled")


def until_all_are_over(made: Installation, operators: list[OperatorProcess], left: set[str]) -> dict[str, Object]:
    """Wait until all MLJobs are finished and only those in ``left`` exist. Return the MLJobs by
    name.
    """

    def look() -> dict[str, Object] | None:
        found = made.jobs.all()
        late = sorted(name for name, job in found.items() if name not in left or not finished(job))
        assert not late, f"not over: {late}"
        assert set(found) == left
        return found

    found = eventually(
        look, "all MLJobs are over", within=BOUND, evidence=lambda: "\n".join(each.log_end() for each in operators)
    )
    assert found is not None
    return found


def until_no_run_is_left(made: Installation, airflow: AirflowRest) -> list[Object]:
    def look() -> list[Object]:
        runs = airflow.runs(f"{made.operator.prefix}.{made.jobs.namespace}.")
        assert not (unfinished := left_behind(runs)), f"unfinished: {unfinished}"
        return runs

    return eventually(look, "no run is left behind") or []


def left_behind(runs: list[Object]) -> list[str]:
    return [run["dag_run_id"] for run in runs if run["state"] not in OVER]


def owner(run: Object) -> str:
    return str(run["dag_run_id"].split(".")[2])


def differences_from_airflow(job: Object, run_ids: set[str], airflow: AirflowRest) -> Any:
    """Return the differences between the status of a finished MLJob and the MLJob's run in Airflow.

    Args:
        run_ids: The ids of all runs of the test's MLJobs in Airflow.

    Returns:
        - If Airflow has the run: the differences by field, empty if there are none.
        - If the MLJob was cancelled before its run was submitted: None.
        - If the run is missing in Airflow for another reason: the whole status.
    """
    status = job["status"]
    if status.get("dagRunId") not in run_ids:
        # The MLJob was cancelled before its run was submitted.
        return None if status["phase"] == "Cancelled" and "dagRunState" not in status else status
    found = differences(status, airflow)
    if status["phase"] == "Cancelled":
        found.pop("phase", None)
    return found


def report_figures(
    courses: dict[str, Course],
    runs: list[Object],
    outages: Outages,
    *,
    doubled: dict[str, int],
    wrong: dict[str, Any],
    backward: dict[str, list[str]],
) -> None:
    """Print the figures of the test. With 200 MLJobs, also write the figures to ``RESULT``."""
    all_back = max(back for _, back in outages.times.values())
    ends = {owner(run): _epoch(run["end_date"]) for run in runs}
    behind = [
        course.ended - max(ends[name], all_back if ends[name] > _first(outages) else 0)
        for name, course in courses.items()
        if name in ends and course.ended
    ]
    figures = {
        "jobs": JOBS,
        "away_seconds": AWAY,
        "seed": SEED,
        "cores": os.cpu_count(),
        "runs": len(runs),
        "runs_doubled": len(doubled),
        "runs_left_behind": len(left_behind(runs)),
        "statuses_wrong": len(wrong),
        f"statuses_behind_after_{SETTLING:.0f}_s": sum(late > SETTLING for late in behind),
        "slowest_status_seconds": round(max(behind, default=0), 1),
        "backward_steps": sum(map(len, backward.values())),
        "outages": {part: [round(at - _first(outages), 1) for at in times] for part, times in outages.times.items()},
    }
    say(f"\n  chaos: {json.dumps(figures, indent=2)}")
    if JOBS == LONG_FORM:
        RESULT.write_text(json.dumps(figures, indent=2) + "\n")


def _first(outages: Outages) -> float:
    return min(began for began, _ in outages.times.values())


def _epoch(time_of_airflow: str) -> float:
    return datetime.fromisoformat(time_of_airflow.replace("Z", "+00:00")).timestamp()
