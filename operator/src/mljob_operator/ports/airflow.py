"""The protocol classes for one Airflow and for all Airflows."""

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
    """Sends requests to one Airflow."""

    @property
    def cancelling(self) -> DagRuns:
        """A DagRuns object for the requests of MLJobs that are being cancelled. These requests
        never wait for submissions of runs.
        """
        ...

    async def probe(self) -> ProbeResult:
        """Check that Airflow answers and accepts the credentials.

        Raises:
            AirflowUnavailable: There is no answer, or the answer is a server error or is not from
                Airflow.
            AirflowUnauthorized: The credentials are wrong.
            AirflowForbidden: The credentials lack the permission to read DAGs.
            AirflowUnsupported: This version of Airflow is too old.
        """
        ...

    def resume(self) -> None:
        """Send the next requests at once, even if earlier requests have failed because Airflow was
        unavailable. Call this method when Airflow answers again.
        """
        ...

    async def close(self) -> None:
        """Drop the queued requests, and wait for the requests that are being sent."""
        ...


@frozen
class User:
    """The namespace and the DAG of an MLJob that uses an Airflow. The Airflow's access rule for
    this namespace and DAG may have its own credentials.
    """

    namespace: str
    dag_id: str


class Airflows(Protocol):
    """All Airflows, by name. The Airflow of the operator's settings has the name
    ``run_key.SETTINGS_AIRFLOW``, an empty text.
    """

    def dag_runs(self, name: str, user: User | None = None, *, cancelling: bool = False) -> DagRuns:
        """Return a DagRuns object, which sends requests to an Airflow. Callers must not keep the
        object, because the URL and the credentials of the Airflow may change.

        Args:
            name: The name of an AirflowInstance, or ``SETTINGS_AIRFLOW``.
            user: The namespace and the DAG of the MLJob, or None for the operator's own requests.
                If the access rule for the namespace and the DAG has credentials, requests use these
                credentials instead of the Airflow's credentials.
            cancelling: Whether the requests are for an MLJob that is being cancelled.

        Raises:
            AirflowInstanceNotFound: No AirflowInstance has this name.
            AirflowInstanceNotReady: The operator has not read the AirflowInstance's credentials
                yet, or can't use these credentials. Or ``name`` is ``SETTINGS_AIRFLOW``, and the
                operator's settings name no Airflow.
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
        """Return an AirflowCatalog, which says what MLJobs in this namespace may do in each
        Airflow. The AirflowCatalog does not say which Airflows have reached their limits on active
        runs.
        """
        ...

    def request_probe(self, name: str, user: User | None = None) -> None:
        """Make the operator check soon whether an Airflow answers and accepts the credentials. Call
        this method when the Airflow has rejected credentials or has not answered.

        Args:
            name: The name of an AirflowInstance, or ``SETTINGS_AIRFLOW``. For ``SETTINGS_AIRFLOW``,
                only the credentials of access rules are checked.
            user: The namespace and the DAG of an MLJob. If the access rule for the namespace and
                the DAG has credentials, these credentials are checked too.
        """
        ...
