"""Determines what an MLJob may do in each Airflow, and what blocks the start of its next run.

Airflows and their access rules change while MLJobs wait. So the operator determines the Airflow and
the blocker of the next run again before each decision. Once an attempt has begun, its Airflow does
not change any more.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import field

from mljob_contract.airflow_instance import AccessRule, Credentials

from ..frozen import frozen
from ..run.run_key import SETTINGS_AIRFLOW, airflow_in_words
from ..text.sentences import capitalised
from .access import EVERYBODY, MONITORING_DAGS, OUR_DAGS, Namespace, depends_on_labels, first_match, matches, refusal
from .admission import Limits, Reservation
from .instance import Instance

NO_AIRFLOW = "-"
"""The name that stands for a missing default Airflow. No AirflowInstance can have this name."""


AIRFLOW_GONE = "AirflowInstanceNotFound"
"""The reason in the status while the operator doesn't know the Airflow of a run any more."""


@frozen
class Blocker:
    """A reason why a run can't start. A failed request is not a blocker.

    Attributes:
        reason: The reason in the status, in one CamelCase word.
        message: The cause, and what to do about it.
        stalls: Whether the condition Stalled is True, because somebody has to change something
            before the run can start.
        is_temporary: Whether the MLJob waits only for a place, for an Airflow that is not ready, or
            until the operator has read something, so that the run starts without a change of the
            MLJob.
    """

    reason: str
    message: str
    stalls: bool = False
    is_temporary: bool = False

    @property
    def is_limit(self) -> bool:
        """Whether the MLJob waits because of a limit on active runs."""
        return self.reason == "ConcurrencyLimit"


@frozen
class AirflowCatalog:
    """The Airflows that the operator knows, and what one MLJob may do with them.

    Attributes:
        instances: The AirflowInstances by name.
        not_ready: The reason why an Airflow can't be used now, by the name of the Airflow. An
            Airflow that can be used has no entry.
        own: Whether the operator's settings name an Airflow.
        own_access: The access rules of the settings' Airflow, or None if the setting
            ``MLJOB_AIRFLOW_ACCESS`` is absent.
        default: The Airflow for MLJobs without spec.airflowRef, or ``NO_AIRFLOW`` if there is no
            such Airflow.
        namespace: The MLJob's namespace.
        reserved: Globs of the ids of DAGs that are reserved for the platform (:meth:`is_reserved`).
        logins: The reason why the credentials of an access rule can't be used now, or None if they
            can be used. Each key is a pair: the name of the Airflow, and the credentials.
            Credentials that are still being read have no entry.
        full: The Airflows whose limits on active runs leave no room for this MLJob now.
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
        """Return whether an Airflow exists, as an AirflowInstance or in the operator's settings."""
        return self.own if airflow == SETTINGS_AIRFLOW else airflow in self.instances

    def access(self, airflow: str) -> Sequence[AccessRule]:
        """Return the access rules of an Airflow. An unknown AirflowInstance has no rules. No MLJob
        may run in an Airflow without rules.

        The Airflow of the operator's settings has the rules ``own_access``. If ``own_access`` is
        None, the rules depend on ``instances``. Without AirflowInstances, one rule lets every
        namespace run every DAG. With AirflowInstances, there are no rules.
        """
        if airflow == SETTINGS_AIRFLOW:
            return self.own_access if self.own_access is not None else () if self.instances else (EVERYBODY,)
        instance = self.instances.get(airflow)
        return (instance.spec.access if instance is not None else None) or ()

    def undecided(self, airflow: str, dag_id: str) -> bool:
        """Return whether the access rule for a DAG is not known yet, because the operator does not
        know all labels of the MLJob's namespace yet.
        """
        return self.namespace.pending and depends_on_labels(self.access(airflow), dag_id)

    def rule(self, airflow: str, dag_id: str) -> int | None:
        """Return the index in :meth:`access` of the first access rule that lets the MLJob's
        namespace run a DAG. Return None if there is no such rule, or if the rule is not known yet
        (:meth:`undecided`).
        """
        if self.undecided(airflow, dag_id):
            return None
        return first_match(self.access(airflow), self.namespace, dag_id)

    def may_run(self, airflow: str, dag_id: str) -> bool:
        """Return whether the MLJob's namespace may run a DAG in an Airflow. Return False while the
        access rule is not known yet (:meth:`undecided`).
        """
        return not self.is_reserved(airflow, dag_id) and self.rule(airflow, dag_id) is not None

    def is_reserved(self, airflow: str, dag_id: str) -> bool:
        """Return whether a DAG is reserved for the platform, so that the MLJob may not run the DAG.

        Monitoring DAGs are reserved because they read the runs of all tenants. A monitoring DAG is
        not reserved if the MLJob's access rule names the DAG by its full id.
        """
        if not matches(self.reserved, dag_id):
            return False
        if dag_id not in MONITORING_DAGS:
            return True
        index = self.rule(airflow, dag_id)
        return index is None or dag_id not in self.access(airflow)[index].dags

    def credentials(self, airflow: str, dag_id: str) -> Credentials | None:
        """Return the credentials of the MLJob's access rule. Return None if the rule has no
        credentials, if there is no such rule, or if the rule is not known yet (:meth:`undecided`).
        """
        index = self.rule(airflow, dag_id)
        return self.access(airflow)[index].credentials if index is not None else None

    def limits(self, airflow: str) -> Limits:
        """Return the limits on the number of active runs of MLJobs in an Airflow."""
        instance = self.instances.get(airflow)
        total = instance.spec.max_active_runs if instance is not None else None
        return Limits(total, tuple(rule.max_active_runs for rule in self.access(airflow)))

    def reservation(self, airflow: str, dag_id: str, *, active: bool) -> Reservation:
        """Return a :class:`.Reservation`: the MLJob's claim to one of the active runs that the
        limits of an Airflow allow.

        Args:
            airflow: The name of the Airflow.
            dag_id: The DAG of the MLJob.
            active: Whether the MLJob's run in this Airflow counts as active now. A run also counts
                as active while the result of its submission is not known yet.
        """
        index = self.rule(airflow, dag_id)
        priority = self.access(airflow)[index].priority if index is not None else 0
        return Reservation(airflow, index, priority, active)


def invalid_spec(problem: str) -> Blocker:
    """Return the blocker for an MLJob whose spec is invalid."""
    return Blocker("ValidationFailed", f"{problem}. Correct the spec to run the MLJob.", stalls=True)


def find_blocker(catalog: AirflowCatalog, airflow: str, dag_id: str) -> Blocker | None:
    """Return a :class:`Blocker`, which says why the MLJob can't run a DAG in an Airflow now. If
    there are several reasons, return the first in the order of ``CHECKS``. If there is no reason,
    return None.
    """
    return next((found for check in CHECKS if (found := check(catalog, airflow, dag_id)) is not None), None)


def find_refusal(catalog: AirflowCatalog, airflow: str, dag_id: str) -> Blocker | None:
    """Return a :class:`Blocker`, which says why the MLJob's namespace has no access to a DAG in an
    Airflow. Return None if the namespace has access. With access, the namespace may run the DAG and
    read its runs. An AirflowInstance that does not exist or is invalid, and an access rule that is
    not known yet, are reasons too.

    Unlike :func:`find_blocker`, this function ignores limits on active runs, the credentials of
    access rules, whether the Airflow is ready, and whether the AirflowInstance is being deleted.
    """
    if airflow != SETTINGS_AIRFLOW and airflow not in catalog.instances:
        return Blocker(AIRFLOW_GONE, f"AirflowInstance {airflow!r} of the run does not exist.")
    checks = (_reserved, _invalid_instance, _refused)
    return next((found for check in checks if (found := check(catalog, airflow, dag_id)) is not None), None)


def _reserved(catalog: AirflowCatalog, airflow: str, dag_id: str) -> Blocker | None:
    if not catalog.is_reserved(airflow, dag_id):
        return None
    if dag_id in MONITORING_DAGS and catalog.undecided(airflow, dag_id):
        return None  # _refused waits for the labels of the namespace
    rule = " without an access rule that has its id itself" if dag_id in MONITORING_DAGS else ""
    return Blocker(
        "ValidationFailed",
        f"DAG {dag_id!r} is reserved for the platform: no MLJob may run it{rule}. To cancel an MLJob, set its spec.cancel to true or delete it; "
        "to run something else, set spec.dagId to another DAG.",
        stalls=True,
    )


def _not_found(catalog: AirflowCatalog, airflow: str, dag_id: str) -> Blocker | None:
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


def _invalid_instance(catalog: AirflowCatalog, airflow: str, dag_id: str) -> Blocker | None:
    instance = catalog.instances.get(airflow)
    if instance is None or instance.problem is None:
        return None
    text = f"AirflowInstance {airflow} is not ready. {instance.problem}. Correct the spec of the AirflowInstance."
    return Blocker("AirflowInstanceNotReady", text, is_temporary=True)


def _refused(catalog: AirflowCatalog, airflow: str, dag_id: str) -> Blocker | None:
    if catalog.undecided(airflow, dag_id):
        text = f"Waiting until the labels of namespace {catalog.namespace.name} are read."
        return Blocker("Submitting", text, is_temporary=True)
    if catalog.rule(airflow, dag_id) is not None:
        return None
    names = _Names.of(airflow)
    text = refusal(names.airflow, names.where, catalog.access(airflow), catalog.namespace, dag_id)
    return Blocker("ValidationFailed", text, stalls=True)


def _not_ready(catalog: AirflowCatalog, airflow: str, dag_id: str) -> Blocker | None:
    why = catalog.not_ready.get(airflow)
    if not why:
        return None
    name = _Names.of(airflow).airflow
    return Blocker("AirflowInstanceNotReady", f"{capitalised(name)} is not ready. {why}", is_temporary=True)


def _no_login(catalog: AirflowCatalog, airflow: str, dag_id: str) -> Blocker | None:
    credentials = catalog.credentials(airflow, dag_id)
    if credentials is None:
        return None
    if (airflow, credentials) not in catalog.logins:
        return Blocker("Submitting", f"Waiting until {credentials.source} is read.", is_temporary=True)
    why = catalog.logins[airflow, credentials]
    return Blocker("AirflowUnauthorized", why) if why is not None else None


def _full(catalog: AirflowCatalog, airflow: str, dag_id: str) -> Blocker | None:
    if airflow not in catalog.full:
        return None
    words, limits, index = _Names.of(airflow), catalog.limits(airflow), catalog.rule(airflow, dag_id)
    names = {"spec.maxActiveRuns": limits.total}
    if index is not None:
        names[f"{words.field}[{index}].maxActiveRuns"] = limits.of_rule(index)
    named = " or ".join(f"{name} ({limit})" for name, limit in names.items() if limit is not None)
    return Blocker(
        "ConcurrencyLimit",
        f"{capitalised(words.airflow)} has as many active runs as {named} allows. When a run ends, MLJobs with a higher priority "
        "go first; then namespaces take turns, each with its oldest MLJob.",
        is_temporary=True,
    )


CHECKS = (_reserved, _not_found, _invalid_instance, _refused, _not_ready, _no_login, _full)


@frozen
class _Names:
    airflow: str
    field: str
    where: str

    @classmethod
    def of(cls, airflow: str) -> _Names:
        if airflow == SETTINGS_AIRFLOW:
            where = "airflow.access of the operator's chart (MLJOB_AIRFLOW_ACCESS)"
            return cls(airflow_in_words(airflow), "airflow.access", where)
        return cls(airflow_in_words(airflow), "spec.access", "its spec.access")
