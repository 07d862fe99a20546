"""In which Airflow an MLJob's next run is started, and what blocks it.

The Airflows and their access rules change while MLJobs wait. So the answer is computed anew in each
round, and a blocker that no longer applies disappears by itself. Only the Airflow of a submitted
run is stored, with its attempt.
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
"""Stands for the default Airflow if there is none. No object can have this name."""


AIRFLOW_GONE = "AirflowInstanceNotFound"
"""The reason in the status while the operator no longer knows the Airflow of a run."""


@dataclass(frozen=True, slots=True)
class Blocker:
    """What prevents the start of a run, other than a failed request.

    Attributes:
        reason: One CamelCase word.
        message: The cause, and what to do about it.
        stalls: Whether waiting doesn't help: somebody has to change something.
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
    """The Airflows, as one MLJob sees them.

    Attributes:
        instances: AirflowInstances by name; the Airflow of the settings has no entry.
        not_ready: Why an Airflow can't be used now, by its name.
        own: Whether the operator's settings name an Airflow.
        own_access: The access rules of the settings' Airflow; None: the settings have none.
        default: The Airflow for MLJobs without spec.airflowRef; ``NO_AIRFLOW``: there is none.
        namespace: The MLJob's namespace.
        reserved: Globs of DAG ids that no MLJob may run.
        logins: Why the credentials of an access rule can't be used now, by Airflow and credentials.
            None: they can be used; absent: they are being read.
        full: The Airflows whose limits leave no place for this MLJob now.
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
        """Whether an Airflow exists: as an AirflowInstance, or in the operator's settings."""
        return self.own if airflow == SETTINGS_AIRFLOW else airflow in self.instances

    def access(self, airflow: str) -> Sequence[AccessRule]:
        """The access rules of an Airflow; none for an unknown Airflow.

        An Airflow without rules lets no MLJob in. The exception is the settings' Airflow: while
        there is no AirflowInstance and the settings have no rules, every namespace may use it.
        """
        if airflow == SETTINGS_AIRFLOW:
            return self.own_access if self.own_access is not None else () if self.instances else (EVERYBODY,)
        instance = self.instances.get(airflow)
        return (instance.spec.access if instance is not None else None) or ()

    def undecided(self, airflow: str, dag_id: str) -> bool:
        """Whether the MLJob's rule depends on labels of its namespace that are not known yet."""
        return self.namespace.pending and depends_on_labels(self.access(airflow), dag_id)

    def rule(self, airflow: str, dag_id: str) -> int | None:
        """The index of the access rule that lets the MLJob run a DAG in an Airflow; None: no rule
        does, or it is not known yet.
        """
        if self.undecided(airflow, dag_id):
            return None
        return first_match(self.access(airflow), self.namespace, dag_id)

    def may_run(self, airflow: str, dag_id: str) -> bool:
        """Whether the MLJob's namespace may run a DAG in an Airflow, and so may see facts about it."""
        return not matches(self.reserved, dag_id) and self.rule(airflow, dag_id) is not None

    def credentials(self, airflow: str, dag_id: str) -> Credentials | None:
        """The credentials of the MLJob's access rule; None: the credentials of the Airflow apply."""
        place = self.rule(airflow, dag_id)
        return self.access(airflow)[place].credentials if place is not None else None

    def limits(self, airflow: str) -> Limits:
        """How many runs of MLJobs may be active in an Airflow."""
        instance = self.instances.get(airflow)
        total = instance.spec.max_active_runs if instance is not None else None
        return Limits(total, tuple(rule.max_active_runs for rule in self.access(airflow)))

    def reservation(self, airflow: str, dag_id: str, *, active: bool) -> Reservation:
        """The MLJob's reservation in an Airflow. ``active``: whether it has a run there; else it
        wants one.
        """
        place = self.rule(airflow, dag_id)
        priority = self.access(airflow)[place].priority if place is not None else 0
        return Reservation(airflow, place, priority, active)


def misfit(problem: str) -> Blocker:
    """The blocker for a spec that doesn't fit the API, whatever Airflow the run would be started
    in.
    """
    return Blocker("ValidationFailed", f"{problem}. Correct the spec to run the MLJob.", stalls=True)


def find_blocker(catalog: AirflowCatalog, airflow: str, dag_id: str) -> Blocker | None:
    """The first blocker of a DAG in an Airflow now; None: none."""
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
    """An instance whose spec does not fit the API is not used: neither its address nor its access
    rules count.
    """
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
    """How messages name an Airflow, and the field of its access rules: as a field, and within a
    sentence.
    """

    airflow: str
    field: str
    where: str

    @classmethod
    def of(cls, airflow: str) -> _Words:
        if airflow == SETTINGS_AIRFLOW:
            where = "airflow.access of the operator's chart (MLJOB_AIRFLOW_ACCESS)"
            return cls("the Airflow of the operator's settings", "airflow.access", where)
        return cls(f"AirflowInstance {airflow}", "spec.access", "its spec.access")
