"""Two protocol classes: :class:`Airflow` has the operations on one Airflow, and :class:`Airflows`
has the operations on all Airflows, each of which is found by its name.
"""

from __future__ import annotations

from typing import Protocol

from mljob_contract.airflow_instance import InstanceHealth

from ..core.airflow_instance.admission import Limits
from ..core.airflow_instance.catalog import AirflowCatalog
from ..core.frozen import frozen
from .dag_runs import DagRuns


@frozen
class ProbeResult:
    """The version and the health of an Airflow."""

    version: str
    health: InstanceHealth


class Airflow(DagRuns, Protocol):
    """The operations on one Airflow: the operations on its dag runs, and the probe, which reads the
    version and the health.
    """

    @property
    def cancelling(self) -> DagRuns:
        """The operations on the dag runs of MLJobs that are being cancelled. Requests of these
        operations never wait until submissions have ended.
        """
        ...

    async def probe(self) -> ProbeResult:
        """Check that Airflow answers and accepts the credentials. Return Airflow's version and
        health.

        Raises:
            AirflowUnavailable: There is no answer, or the answer is a server error or is not from
                Airflow.
            AirflowUnauthorized: The credentials are wrong.
            AirflowForbidden: The credentials lack the permission to read DAGs.
            AirflowUnsupported: This version of Airflow is too old.
        """
        ...

    async def close(self) -> None:
        """Discard the operations that have not begun, and wait until the running operations have
        ended.
        """
        ...


@frozen
class User:
    """The namespace and the DAG of the MLJob for which requests are sent to an Airflow. An access
    rule lets the namespace run the DAG. The access rule may have its own credentials.
    """

    namespace: str
    dag_id: str


class Airflows(Protocol):
    """Gives access to all Airflows by their names. The Airflow of the operator's settings has the
    name ``run_key.SETTINGS_AIRFLOW``, which is an empty text.
    """

    def dag_runs(self, name: str, user: User | None = None, *, cancelling: bool = False) -> DagRuns:
        """Return the operations on the dag runs of an Airflow. Callers must not keep the result,
        because the URL and the credentials may change.

        Args:
            name: The name of an AirflowInstance, or ``SETTINGS_AIRFLOW`` for the Airflow of the
                operator's settings.
            user: The namespace and the DAG of the MLJob, or None for the operator's own requests.
                An access rule lets the namespace run the DAG. If this access rule has credentials,
                the requests use these credentials. In all other cases, the requests use the
                credentials of the Airflow.
            cancelling: Whether the requests are for an MLJob that is being cancelled.

        Raises:
            AirflowInstanceNotFound: No AirflowInstance has this name.
            AirflowInstanceNotReady: The AirflowInstance can't be used. Or ``name`` is
                ``SETTINGS_AIRFLOW``, and the operator's settings name no Airflow.
            AirflowUnauthorized: The access rule's credentials can't be used.
        """
        ...

    def ui_url(self, name: str) -> str | None:
        """Return the base URL of an Airflow's UI, or None if no Airflow has this name."""
        ...

    def limits(self, name: str) -> Limits:
        """Return the limits on the number of active runs of MLJobs in an Airflow."""
        ...

    def catalog(self, namespace: str) -> AirflowCatalog:
        """Return the Airflows that the operator knows, and what MLJobs in this namespace may do
        with these Airflows. The result does not show which Airflows have reached their limits on
        active runs.
        """
        ...

    def request_probe(self, name: str, user: User | None = None) -> None:
        """Schedule an early probe of an Airflow, because the Airflow rejected credentials or did
        not answer. If the access rule for ``user`` (the namespace and the DAG of an MLJob) has
        credentials, these credentials are checked too. For the Airflow of the operator's settings,
        only the credentials of access rules are checked.
        """
        ...
