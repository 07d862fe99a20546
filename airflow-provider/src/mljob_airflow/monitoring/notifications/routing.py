"""Decides to which Slack addresses the findings of a report go.

A DAG's ``owner_links`` apply only to the findings about this DAG. Everybody who can write a DAG can
name any owner and any link in the DAG, and must not be able to divert the findings about the
owner's other DAGs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mljob_airflow.monitoring.notifications.owners import Recipient, address_in_link, owners_of
from mljob_airflow.rest.client import AirflowApiError
from mljob_contract.reports import Finding

UNAVAILABLE = frozenset({None, 502, 503, 504})
"""The statuses of :class:`.AirflowApiError` with which Airflow is not available. Requests for other
DAGs would fail too, and each might take as long.
"""


@dataclass(slots=True)
class Batch:
    """The findings of one report that go to one Slack address."""

    owners: list[str] = field(default_factory=list)
    """The owners with this address, in the order of the report. May contain :data:`.PLATFORM`."""
    findings: list[Finding] = field(default_factory=list)
    """The findings, in the order of the report."""


@dataclass(frozen=True)
class OwnerDirectory:
    """The Slack addresses of owners.

    Attributes:
        mapping: Addresses by owner, from the Variable ``mljob_owners``.
        fallback: The channel for owners without an address.
        links_of: Returns the ``owner_links`` of a DAG, by owner. Called at most once for a DAG, and
            only for DAGs with an owner that ``mapping`` lacks. Raises :class:`.AirflowApiError`.
            Not called again after an error with a status in :data:`UNAVAILABLE`.
    """

    mapping: Mapping[str, str]
    fallback: str
    links_of: Callable[[str], Mapping[str, str]] = lambda _dag_id: {}
    _links: dict[str, Mapping[str, str]] = field(default_factory=dict, init=False)
    _outage: list[AirflowApiError] = field(default_factory=list, init=False)

    def recipient(self, address: str) -> Recipient:
        """Return the recipient with this address."""
        return Recipient(address, is_fallback=address == self.fallback)

    def address(self, owner: str, dag_id: str | None) -> str:
        """Return the owner's address for findings about a DAG. For an owner without an address,
        return the fallback channel.

        Args:
            owner: The owner's name in Airflow, or :data:`.PLATFORM`.
            dag_id: The DAG, or ``None`` for findings that are not about a DAG.

        Raises:
            AirflowApiError: A request to Airflow for the DAG's ``owner_links`` failed.
        """
        if address := self.mapping.get(owner, "").strip():
            return address
        link = self._links_of(dag_id).get(owner) if owner and dag_id else None
        return (address_in_link(link) if link else None) or self.fallback

    def _links_of(self, dag_id: str) -> Mapping[str, str]:
        if dag_id in self._links:
            return self._links[dag_id]
        if self._outage:
            raise self._outage[0]
        try:
            self._links[dag_id] = self.links_of(dag_id)
        except AirflowApiError as error:
            if error.status in UNAVAILABLE:
                self._outage.append(error)
            raise
        return self._links[dag_id]


def batches_by_address(
    findings: Sequence[Finding], directory: OwnerDirectory
) -> tuple[dict[str, Batch], dict[str, AirflowApiError]]:
    """Sort the findings by the addresses of their owners.

    Returns:
        The findings by address; and by owner, the error because of which a finding of the owner has
        no address.
    """
    batches: dict[str, Batch] = {}
    errors: dict[str, AirflowApiError] = {}
    for finding in findings:
        for owner in owners_of(finding):
            try:
                address = directory.address(owner, finding.dag_id)
            except AirflowApiError as error:
                errors[owner] = error
                continue
            batch = batches.setdefault(address, Batch())
            if owner not in batch.owners:
                batch.owners.append(owner)
            if not batch.findings or batch.findings[-1] is not finding:
                batch.findings.append(finding)
    return batches, errors
