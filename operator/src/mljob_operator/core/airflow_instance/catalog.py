"""Where an MLJob's next run goes, and what keeps it from going there.

The Airflows and their rules change while MLJobs wait, so this is asked anew at each look and nothing of it is kept: what stood in the way and
does no more is forgotten by itself. Only where a run went is stored, with its attempt.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from mljob_contract.airflow_instance import AccessRule, Credentials

from ..run.run_key import SETTINGS_AIRFLOW
from ..text.sentences import capitalised
from .access import EVERYBODY, OUR_DAGS, Namespace, depends_on_labels, first_match, matches, refusal
from .admission import Limits, Reservation
from .instance import Instance

NO_AIRFLOW = "-"
"""Stands for the default Airflow where there is none; no object can have this name."""


AIRFLOW_GONE = "AirflowInstanceNotFound"
"""The reason while the Airflow that a run is in is not known any more."""


@dataclass(frozen=True, slots=True)
class Blocker:
    """What keeps a run from being started, other than that it was tried and failed.

    Attributes:
        reason: One CamelCase word.
        message: What it is and what to do about it.
        stalls: Waiting can't help, only somebody who changes something.
    """

    reason: str
    message: str
    stalls: bool = False

    @property
    def is_limit(self) -> bool:
        """Whether the MLJob waits for its turn among the active runs."""
        return self.reason == "ConcurrencyLimit"


@dataclass(frozen=True, slots=True)
class AirflowCatalog:
    """What there is around an MLJob.

    Attributes:
        instances: AirflowInstances by name; the Airflow of the settings has no entry.
        not_ready: Why an Airflow can't be used now, by its name.
        own: Whether the operator's settings name an Airflow.
        own_access: The access rules of the settings' Airflow; None: the settings have none.
        default: The Airflow for MLJobs that name none; ``NO_AIRFLOW`` where there is none.
        namespace: The MLJob's.
        reserved: Globs of DAG ids that no MLJob may run.
        logins: Why the credentials of an access rule can't be used now, by Airflow and credentials. None: they can; absent: they are being read.
        full: The Airflows in which there is no place for this MLJob yet.
    """

    instances: Mapping[str, Instance] = field(default_factory=dict)
    not_ready: Mapping[str, str] = field(default_factory=dict)
    own: bool = True
    own_access: Sequence[AccessRule] | None = None
    default: str = SETTINGS_AIRFLOW
    namespace: Namespace = field(default_factory=lambda: Namespace("default"))
    reserved: Sequence[str] = OUR_DAGS
    logins: Mapping[tuple[str, Credentials], str | None] = field(default_factory=dict)
    full: Collection[str] = ()

    def knows(self, airflow: str) -> bool:
        """Whether an Airflow is there: its AirflowInstance, or the setting that names it."""
        return self.own if airflow == SETTINGS_AIRFLOW else airflow in self.instances

    def access(self, airflow: str) -> Sequence[AccessRule]:
        """The rules of an Airflow, none for one that is not there.

        Who has no rules lets nobody in. Only where the settings' Airflow is all there is, and nobody has made a rule, it is everybody's.
        """
        if airflow == SETTINGS_AIRFLOW:
            return self.own_access if self.own_access is not None else () if self.instances else (EVERYBODY,)
        instance = self.instances.get(airflow)
        return (instance.spec.access if instance is not None else None) or ()

    def undecided(self, airflow: str, dag_id: str) -> bool:
        """Whether it takes labels of the namespace that are not known yet to tell which rule the MLJob comes under."""
        return self.namespace.pending and depends_on_labels(self.access(airflow), dag_id)

    def rule(self, airflow: str, dag_id: str) -> int | None:
        """The access rule that the MLJob comes under with a DAG in an Airflow: its place among the rules; None: there is none, or none yet."""
        if self.undecided(airflow, dag_id):
            return None
        return first_match(self.access(airflow), self.namespace, dag_id)

    def may_run(self, airflow: str, dag_id: str) -> bool:
        """Whether the MLJob's namespace may run a DAG in an Airflow, and hence hear of it."""
        return not matches(self.reserved, dag_id) and self.rule(airflow, dag_id) is not None

    def credentials(self, airflow: str, dag_id: str) -> Credentials | None:
        """The credentials of that rule; None: those of the Airflow."""
        place = self.rule(airflow, dag_id)
        return self.access(airflow)[place].credentials if place is not None else None

    def limits(self, airflow: str) -> Limits:
        """How many runs of MLJobs may be active in an Airflow."""
        instance = self.instances.get(airflow)
        total = instance.spec.max_active_runs if instance is not None else None
        return Limits(total, tuple(rule.max_active_runs for rule in self.access(airflow)))

    def reservation(self, airflow: str, dag_id: str, *, active: bool) -> Reservation:
        """What the MLJob wants of an Airflow in which it may run a DAG, or has where it runs it."""
        place = self.rule(airflow, dag_id)
        priority = self.access(airflow)[place].priority if place is not None else 0
        return Reservation(airflow, place, priority, active)


def misfit(problem: str) -> Blocker:
    """What in the spec doesn't fit the API keeps a run from being started, wherever it would go."""
    return Blocker("ValidationFailed", f"{problem}. Correct the spec to run the MLJob.", stalls=True)


def find_blocker(catalog: AirflowCatalog, airflow: str, dag_id: str) -> Blocker | None:
    """What keeps an MLJob from running a DAG in an Airflow now: the first check's answer that has one."""
    return next((found for check in CHECKS if (found := check(catalog, airflow, dag_id)) is not None), None)


def _reserved(catalog: AirflowCatalog, airflow: str, dag_id: str) -> Blocker | None:
    if not matches(catalog.reserved, dag_id):
        return None
    return Blocker(
        "ValidationFailed",
        f"DAG {dag_id!r} is reserved for the platform: no MLJob may run it. To cancel an MLJob, set its spec.cancel to true or delete it; "
        "to run something else, set spec.dagId to another DAG.",
        stalls=True,
    )


def _missing(catalog: AirflowCatalog, airflow: str, dag_id: str) -> Blocker | None:
    if airflow == SETTINGS_AIRFLOW:
        return None
    if airflow == NO_AIRFLOW:
        return Blocker(
            "NoDefaultAirflow",
            "spec.airflowRef is absent, and there is no default Airflow. Set spec.airflowRef.name to one of `kubectl get airflowinstances`, "
            'or annotate one of them with mljob.dev/is-default-instance: "true".',
        )
    if (instance := catalog.instances.get(airflow)) is None:
        return Blocker(
            "AirflowInstanceNotFound",
            f"There is no AirflowInstance {airflow!r} (spec.airflowRef). Correct the name, or create the "
            "AirflowInstance. `kubectl get airflowinstances` lists the existing ones.",
        )
    if instance.deleting:
        return Blocker(
            "AirflowInstanceNotReady",
            f"AirflowInstance {airflow} is being deleted and takes no new runs. Set spec.airflowRef.name to another one.",
        )
    return None


def _misfit(catalog: AirflowCatalog, airflow: str, dag_id: str) -> Blocker | None:
    """Of an instance that does not fit the API, nothing counts: neither its address nor its access rules."""
    instance = catalog.instances.get(airflow)
    if instance is None or instance.problem is None:
        return None
    text = f"AirflowInstance {airflow} is not ready. {instance.problem}. Correct the spec of the AirflowInstance."
    return Blocker("AirflowInstanceNotReady", text)


def _refused(catalog: AirflowCatalog, airflow: str, dag_id: str) -> Blocker | None:
    if catalog.undecided(airflow, dag_id):
        return Blocker("Submitting", f"The labels of namespace {catalog.namespace.name} are not known yet.")
    if catalog.rule(airflow, dag_id) is not None:
        return None
    words = _Words.of(airflow)
    text = refusal(words.airflow, words.where, catalog.access(airflow), catalog.namespace, dag_id)
    return Blocker("ValidationFailed", text, stalls=True)


def _not_ready(catalog: AirflowCatalog, airflow: str, dag_id: str) -> Blocker | None:
    why = catalog.not_ready.get(airflow)
    if not why:
        return None
    name = _Words.of(airflow).airflow
    return Blocker("AirflowInstanceNotReady", f"{capitalised(name)} is not ready. {why}")


def _no_login(catalog: AirflowCatalog, airflow: str, dag_id: str) -> Blocker | None:
    credentials = catalog.credentials(airflow, dag_id)
    if credentials is None:
        return None
    if (airflow, credentials) not in catalog.logins:
        return Blocker("Submitting", f"{capitalised(credentials.source)} is being read.")
    why = catalog.logins[airflow, credentials]
    return Blocker("AirflowUnauthorized", why) if why is not None else None


def _full(catalog: AirflowCatalog, airflow: str, dag_id: str) -> Blocker | None:
    if airflow not in catalog.full:
        return None
    words, limits, place = _Words.of(airflow), catalog.limits(airflow), catalog.rule(airflow, dag_id)
    names = {"spec.maxActiveRuns": limits.total}
    if place is not None:
        names[f"{words.field}[{place}].maxActiveRuns"] = limits.of_rule(place)
    named = " or ".join(f"{name} ({limit})" for name, limit in names.items() if limit is not None)
    return Blocker(
        "ConcurrencyLimit",
        f"{capitalised(words.airflow)} has as many active runs as {named} allows. When a run ends, MLJobs with a higher priority "
        "go first; then namespaces take turns, each with its oldest MLJob.",
    )


CHECKS = (_reserved, _missing, _misfit, _refused, _not_ready, _no_login, _full)


@dataclass(frozen=True, slots=True)
class _Words:
    """What to call an Airflow, and the field that its access rules are in: by itself, and in a sentence."""

    airflow: str
    field: str
    where: str

    @classmethod
    def of(cls, airflow: str) -> _Words:
        if airflow == SETTINGS_AIRFLOW:
            where = "airflow.access of the operator's chart (MLJOB_AIRFLOW_ACCESS)"
            return cls("the Airflow of the operator's settings", "airflow.access", where)
        return cls(f"AirflowInstance {airflow}", "spec.access", "its spec.access")
