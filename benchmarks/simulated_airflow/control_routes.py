"""Requests that observe or control the simulation. These requests need a token. The simulated
faults do not affect these requests.

- ``GET /simulation``: the numbers of runs by DAG, of active runs, of requests by route and status,
  and of events.
- ``PUT /simulation/faults``: replace the faults (:class:`.Faults`).
- ``GET /simulation/ends``: the end times of the 100,000 runs that ended last, by run id, in seconds
  of the monotonic clock.
- ``GET /simulation/task-ends``: when the tasks of these runs succeeded, by run id, as lists of
  seconds of the monotonic clock.
"""

from __future__ import annotations

from pydantic import ValidationError

from .airflow import SimulatedAirflow
from .faults import Faults
from .requests import Answer, Refused, Request


def get_counts(airflow: SimulatedAirflow, _: Request) -> Answer:
    """Return the numbers of runs, requests and events so far, and of active runs."""
    publisher = airflow.publisher
    counts = {name: getattr(publisher, name, 0) for name in ("sent", "undelivered", "lost")}
    return 200, {
        "runs": {dag_id: len(airflow.store.runs(dag_id)) for dag_id in airflow.store.dags},
        "active": len(airflow.active()),
        "requests": {f"{route} {status}": count for (route, status), count in sorted(airflow.requests.items())},
        "events": counts,
    }


def put_faults(airflow: SimulatedAirflow, request: Request) -> Answer:
    """Replace all faults, and return the new faults. A missing field gets its default. Answer 422
    for an invalid body.
    """
    try:
        airflow.plan.faults = Faults.model_validate(request.content())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise Refused(422, f"body.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    return 200, airflow.plan.faults.model_dump()


def get_ends(airflow: SimulatedAirflow, _: Request) -> Answer:
    """Return the end times of the 100,000 runs that ended last, by run id, in seconds of the
    monotonic clock.
    """
    return 200, airflow.store.ends


def get_task_ends(airflow: SimulatedAirflow, _: Request) -> Answer:
    """Return when the tasks of the newest 100,000 runs succeeded, by run id, as lists of seconds of
    the monotonic clock. The task that succeeded first comes first.
    """
    return 200, airflow.store.task_ends
