"""Where an MLJob's next run goes, and what keeps it from going there.

The Airflows and their rules change while MLJobs wait, so this is asked anew at each look and nothing of it is kept: what stood in the way and
does no more is forgotten by itself. Only where a run went is stored, with its attempt.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from .access import allows, refusal
from .instance import OWN, Instance

NOWHERE = "-"
"""Stands for the default Airflow where there is none; no object can have this name."""


LOST = "AirflowInstanceNotFound"
"""The reason while the Airflow that a run is in is not known any more."""


@dataclass(frozen=True, slots=True)
class Obstacle:
    """What keeps a run from being started, other than that it was tried and failed.

    Attributes:
        reason: One CamelCase word.
        message: What it is and what to do about it.
        stalls: Waiting can't help, only somebody who changes something.
    """

    reason: str
    message: str
    stalls: bool = False


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What there is around an MLJob.

    Attributes:
        instances: AirflowInstances by name; the Airflow of the settings has no entry.
        not_ready: Why an instance can't be used now, by its name.
        own: Whether the operator's settings name an Airflow.
        default: The Airflow for MLJobs that name none; ``NOWHERE`` where there is none.
        labels: Of the MLJob's namespace; None: they are not known yet.
        full: The Airflows in which there is no place for this MLJob yet.
    """

    instances: Mapping[str, Instance] = field(default_factory=dict)
    not_ready: Mapping[str, str] = field(default_factory=dict)
    own: bool = True
    default: str = OWN
    labels: Mapping[str, str] | None = field(default_factory=dict)
    full: Collection[str] = ()


def misfit(problem: str) -> Obstacle:
    """What in the spec doesn't fit the API keeps a run from being started, wherever it would go."""
    return Obstacle("ValidationFailed", f"{problem}. Change the spec to have it run.", stalls=True)


def obstacle(around: Surroundings, airflow: str, namespace: str, dag_id: str) -> Obstacle | None:
    """What keeps a namespace from running a DAG in an Airflow now."""
    if airflow == NOWHERE:
        return Obstacle(
            "NoDefaultAirflow",
            "spec.airflowRef is absent, and there is no default Airflow. Set spec.airflowRef.name to one of `kubectl get airflowinstances`, "
            'or annotate one of them with mljob.dev/is-default-instance: "true".',
        )
    if airflow == OWN:
        return None
    instance = around.instances.get(airflow)
    if instance is None:
        return Obstacle(
            "AirflowInstanceNotFound",
            f"There is no AirflowInstance {airflow!r} (spec.airflowRef). Correct the name, or create it: "
            "`kubectl get airflowinstances` lists those that are there.",
        )
    if instance.deleting:
        return Obstacle(
            "AirflowInstanceNotReady",
            f"AirflowInstance {airflow} is being deleted and takes no new runs. Set spec.airflowRef.name to another one.",
        )
    if instance.spec.access is not None and around.labels is None:
        return Obstacle("Submitting", f"The labels of namespace {namespace} are not known yet.")
    if not allows(instance.spec.access, around.labels or {}, dag_id):
        return Obstacle("ValidationFailed", refusal(airflow, namespace, around.labels or {}, dag_id), stalls=True)
    if (why := around.not_ready.get(airflow)) is not None:
        return Obstacle("AirflowInstanceNotReady", f"AirflowInstance {airflow} is not ready. {why}")
    if airflow in around.full:
        return Obstacle(
            "ConcurrencyLimit",
            f"AirflowInstance {airflow} has as many active runs as its spec.maxActiveRuns ({instance.spec.max_active_runs}) allows. "
            "MLJobs go in the order of their creation when a run ends.",
        )
    return None
