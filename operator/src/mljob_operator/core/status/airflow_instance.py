"""The status of an AirflowInstance, and the Kubernetes Events for its changes.

The condition Ready shows whether the operator submits runs to this Airflow. The condition Healthy
is Airflow's own report about its components. The operator submits runs even if Healthy is False,
because an unhealthy scheduler may recover soon. There is no condition Stalled, because an
AirflowInstance may become ready by itself.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field
from datetime import datetime, timedelta
from typing import Any, Protocol

from mljob_contract.airflow_instance import (
    ACCEPT_VANISHED_RUNS,
    IS_DEFAULT,
    AirflowInstanceStatus,
    Credentials,
    InstanceHealth,
)
from mljob_contract.mljob import ConditionStatus

from ..airflow_instance.instance import Instance, sends_in_the_clear
from ..frozen import frozen
from ..run.accepted_loss import AcceptedLoss
from ..run.run_key import Key
from ..run.vanishing import how_to_accept
from .conditions import DesiredCondition, transition
from .events import NORMAL, WARNING, KubeEvent

PROBE_TIME_EVERY = timedelta(minutes=5)
"""The maximum age of ``lastProbeTime`` while nothing else changes. A patch every few seconds would
show readers nothing new. Kubernetes updates the status of a Node by the same rule.
"""
MAX_NAMED = 5
"""The maximum number of MLJobs or of Secrets that a message names."""
HEALTHY = "healthy"


@frozen
class Readiness:
    """Whether an Airflow can be used, with the reason and the message for the condition Ready."""

    ready: bool
    reason: str
    message: str


@frozen
class LoginProblem:
    """Why the credentials of an access rule can't be used: the reason and the message for the
    condition AccessCredentials.
    """

    reason: str
    message: str


class Brokers(Protocol):
    """The connection to the Kafka brokers that have the events of an Airflow."""

    @property
    def connected(self) -> bool:
        """Whether the operator is connected to the brokers now, and the brokers have not refused
        the topic.
        """
        ...

    @property
    def brokers(self) -> str:
        """The addresses of the brokers as configured, for messages."""
        ...

    @property
    def problem(self) -> str | None:
        """Why the operator is not connected to the brokers, or why the brokers refuse the topic.
        None if :attr:`connected` is true, or has been false for a short time only.
        """
        ...

    @property
    def topic_refused(self) -> bool:
        """Whether :attr:`problem` is the reason why the brokers refuse the topic."""
        ...


@frozen
class View:
    """Everything from which the status of an AirflowInstance is computed.

    Attributes:
        instance: The AirflowInstance.
        readiness: Whether the Airflow could be used at the last check.
        version: The version that Airflow reports, or None if Airflow did not answer.
        health: The health of Airflow's components as Airflow reports it, or None if Airflow did not
            answer.
        defaults: The names of all AirflowInstances that are annotated as the default. The first
            name is the effective default.
        active: How many MLJobs certainly or possibly have a run in progress in this Airflow.
        waiting: How many MLJobs wait because of a limit on active runs in this Airflow.
        users: The MLJobs that still need this Airflow while the AirflowInstance is being deleted.
            Otherwise empty.
        now: The current time.
        logins: For the credentials of each access rule, why these credentials can't be used. None
            means that they can be used. Credentials that were not read yet have no entry.
        namespaces: The names of all namespaces.
        brokers: The connection to the Kafka brokers, or None if the operator reads no events.
    """

    instance: Instance
    readiness: Readiness
    version: str | None
    health: InstanceHealth | None
    defaults: Sequence[str]
    active: int
    waiting: int
    users: Sequence[Key]
    now: datetime
    logins: Mapping[Credentials, LoginProblem | None] = field(default_factory=dict)
    namespaces: Collection[str] = ()
    brokers: Brokers | None = None

    @property
    def accepted_loss(self) -> AcceptedLoss:
        """The value of the annotation mljob.dev/accept-vanished-runs."""
        return AcceptedLoss.of(self.instance.accepts, self.now)


def report(view: View) -> dict[str, Any]:
    """Return the status to store for the AirflowInstance, as JSON."""
    old, instance = view.instance.status, view.instance
    new = AirflowInstanceStatus(
        observed_generation=instance.generation,
        version=view.version or old.version,
        health=view.health,
        active_runs=view.active,
        waiting_jobs=view.waiting if _is_limited(instance) else None,
        last_probe_time=old.last_probe_time,
        last_accepted_vanished_runs=instance.accepts if view.accepted_loss.before is not None else None,
        conditions=transition(old.conditions, _conditions(view), instance.generation, view.now),
    )
    answered = view.version is not None
    stale = old.last_probe_time is None or view.now - old.last_probe_time >= PROBE_TIME_EVERY
    if answered and (stale or new != old):
        new = new.model_copy(update={"last_probe_time": view.now.replace(microsecond=0)})
    return new.model_dump(mode="json", by_alias=True, exclude_none=True)


def events_of(old: AirflowInstanceStatus, new: AirflowInstanceStatus) -> list[KubeEvent]:
    """Return the Events for a change from ``old`` to ``new``: one for each condition whose reason
    has changed, and one for each condition that ``old`` lacks. Exception: a condition that ``old``
    lacks and that reports no problem gets no Event, unless this condition has the type Ready.
    """
    before = {condition.type: condition for condition in old.conditions or ()}
    events = []
    for condition in new.conditions or ():
        previous = before.get(condition.type)
        if previous is not None and previous.reason == condition.reason:
            continue
        if previous is None and condition.reason in (
            "Healthy",
            "DefaultInstance",
            "AccessCredentials",
            "EventsConnected",
        ):
            # A condition that appears for the first time and is good needs no Event.
            continue
        is_normal = (
            condition.status == "True" and condition.reason != "SeveralDefaults"
        ) or condition.reason == "Deleting"
        events.append(KubeEvent(NORMAL if is_normal else WARNING, condition.reason, condition.message[:1024]))
    return events


def _conditions(view: View) -> list[DesiredCondition]:
    conditions = [_ready(view)]
    if view.health is not None:
        unhealthy = [
            part for part, state in view.health.model_dump(by_alias=True).items() if state not in (HEALTHY, None)
        ]
        conditions.append(
            DesiredCondition(
                "Healthy",
                False,
                "Unhealthy",
                f"Airflow says that these parts are not healthy: {', '.join(unhealthy)}. See their logs.",
            )
            if unhealthy
            else DesiredCondition("Healthy", True, "Healthy", "Airflow says that its parts are healthy.")
        )
    if view.brokers is not None and (events := _events_connected(view, view.brokers)) is not None:
        conditions.append(events)
    if view.instance.annotated:
        conditions.append(_default(view))
    if (problem := view.accepted_loss.problem) is not None:
        conditions.append(
            DesiredCondition(
                "VanishedRunsAccepted",
                False,
                "AcceptanceRefused",
                f'The annotation {ACCEPT_VANISHED_RUNS} has no effect: its value "{view.instance.accepts}" {problem}. '
                f"If runs are lost, {how_to_accept(view.instance.name)} makes them count as deleted.",
            )
        )
    if view.instance.problem is not None:
        # Not all fields of the spec can be read, so the following conditions could be wrong.
        return conditions
    if view.logins:
        conditions.append(_access_credentials(view))
    if sends_in_the_clear(view.instance.spec.url, view.namespaces):
        conditions.append(
            DesiredCondition(
                "Secure",
                False,
                "PlainHttp",
                f"{view.instance.spec.url} uses http: anybody on the network path to this host can read the credentials and the requests. "
                "Set spec.url to an https URL, with spec.tls.caBundle if its CA is not a public one.",
            )
        )
    return conditions


def _ready(view: View) -> DesiredCondition:
    if not view.instance.deleting:
        return DesiredCondition("Ready", view.readiness.ready, view.readiness.reason, view.readiness.message)
    users = [f"{namespace}/{name}" for namespace, name in view.users]
    more = f" and {len(users) - MAX_NAMED} more" if len(users) > MAX_NAMED else ""
    return DesiredCondition(
        "Ready",
        False,
        "Deleting",
        "The AirflowInstance is being deleted and takes no new runs. It is removed once the runs of these MLJobs have ended: "
        f"{', '.join(users[:MAX_NAMED]) or 'none'}{more}. Cancel or delete these MLJobs to remove it sooner.",
    )


def _events_connected(view: View, link: Brokers) -> DesiredCondition | None:
    """Return the condition EventsConnected, which shows whether the operator is connected to the
    Kafka brokers and may read the topic. Return None while the state of the connection is unknown.
    A short interruption does not change the condition.
    """
    if link.connected:
        return DesiredCondition(
            "EventsConnected", True, "EventsConnected", f"The brokers {link.brokers} are connected."
        )
    if link.problem is not None and link.topic_refused:
        return DesiredCondition(
            "EventsConnected",
            False,
            "TopicRefused",
            f"The brokers {link.brokers} don't let the operator read the topic of the events, so statuses come from Airflow's REST API, seconds later: {link.problem}",
        )
    if link.problem is not None:
        return DesiredCondition(
            "EventsConnected",
            False,
            "BrokersUnreachable",
            f"The brokers {link.brokers} are not connected, so statuses come from Airflow's REST API, seconds later: {link.problem}",
        )
    for before in view.instance.status.conditions or ():
        if before.type == "EventsConnected":
            return DesiredCondition(before.type, before.status == ConditionStatus.TRUE, before.reason, before.message)
    return None


def _access_credentials(view: View) -> DesiredCondition:
    problems = [
        (f"spec.access[{index}].credentials: {problem.message}", problem.reason)
        for index, rule in enumerate(view.instance.spec.access or ())
        if rule.credentials is not None and (problem := view.logins.get(rule.credentials)) is not None
    ]
    if not problems:
        return DesiredCondition(
            "AccessCredentials", True, "AccessCredentials", "The credentials of the access rules can be used."
        )
    more = f" And {len(problems) - MAX_NAMED} more." if len(problems) > MAX_NAMED else ""
    message = " ".join(text for text, _ in problems[:MAX_NAMED])
    return DesiredCondition("AccessCredentials", False, problems[0][1], f"{message}{more}")


def _is_limited(instance: Instance) -> bool:
    limits = [instance.spec.max_active_runs, *(rule.max_active_runs for rule in instance.spec.access or ())]
    return any(limit is not None for limit in limits)


def _default(view: View) -> DesiredCondition:
    first, name = view.defaults[0] if view.defaults else view.instance.name, view.instance.name
    others = [other for other in view.defaults if other != name]
    if not others:
        return DesiredCondition("DefaultInstance", True, "DefaultInstance", "MLJobs without spec.airflowRef run in it.")
    return DesiredCondition(
        "DefaultInstance",
        first == name,
        "SeveralDefaults",
        f"{', '.join(others)} {'is' if len(others) == 1 else 'are'} annotated with {IS_DEFAULT} as well. "
        f"The newest of them, {first}, is the default. Remove the annotation from all but one.",
    )
