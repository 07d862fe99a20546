"""The claims of an operator, and the check whether two operators may run side by side. An operator
claims the MLJobs that it manages, the prefix of its dag run ids, and its Kafka consumer group.

An operator writes its claims into an annotation of its Lease. Other operators whose Leases are in
the same namespace read this annotation.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mljob_contract.airflow_instance import LabelSelector

from ..labels import may_overlap, query
from ..text.storable import cut

ANNOTATION = "mljob.dev/claims"
"""The annotation of a Lease with the claims of its operator, in JSON."""
MAX_ANNOTATION = 65_536
"""The maximum number of characters of the annotation."""
_SHOWN = 200
"""The maximum number of characters of a selector or of a list of namespaces in a message."""
_Name = Annotated[str, Field(max_length=2048)]


class Claims(BaseModel):
    """The claims of one operator: MLJobs, dag run ids and a consumer group.

    Attributes:
        selector: The label selector of the MLJobs that the operator manages.
        namespaces: The namespaces whose MLJobs the operator manages. Empty for all namespaces.
        run_id_prefix: The first part of the operator's dag run ids.
        brokers: The addresses of the Kafka brokers, as in the setting
            MLJOB_KAFKA_BOOTSTRAP_SERVERS. None if the operator reads no events.
        group_id: The operator's consumer group.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    selector: LabelSelector = LabelSelector()
    namespaces: Annotated[tuple[_Name, ...], Field(max_length=4096)] = ()
    run_id_prefix: _Name
    brokers: _Name | None = None
    group_id: _Name

    def annotation(self) -> str:
        """Return the claims as the value of the annotation ``ANNOTATION``."""
        return self.model_dump_json(by_alias=True, exclude_defaults=True)

    @classmethod
    def of_annotation(cls, text: str) -> Claims | None:
        """Return the claims in an annotation, or None if the text is too long or has no valid
        claims.
        """
        if len(text) > MAX_ANNOTATION:
            return None
        try:
            return cls.model_validate_json(text)
        except ValidationError:
            return None

    def conflict(self, other: Claims) -> str | None:
        """Return why this operator must not run beside an operator with the claims ``other``, or
        None if both may run. The text is the end of a sentence about the other operator, and says
        what to change.
        """
        if self._share_namespaces(other):
            if may_overlap(self.selector, other.selector):
                return (
                    f"which manages MLJobs that MLJOB_SELECTOR and MLJOB_NAMESPACES of this operator select too: it selects {_shown(other)}, "
                    f"and this operator selects {_shown(self)}. Set selectors that exclude each other, or different namespaces"
                )
            if self.run_id_prefix == other.run_id_prefix:
                return (
                    f"which has the same MLJOB_RUN_ID_PREFIX, {cut(self.run_id_prefix, _SHOWN)!r}, so each operator would take "
                    "the runs of the other one for its own. Set another prefix"
                )
        if self.brokers is not None and (self.brokers, self.group_id) == (other.brokers, other.group_id):
            return (
                f"which has the same MLJOB_KAFKA_GROUP_ID, {cut(self.group_id, _SHOWN)!r}, so each operator would get only a part "
                "of its events. Set another group"
            )
        return None

    def _share_namespaces(self, other: Claims) -> bool:
        return not self.namespaces or not other.namespaces or bool(set(self.namespaces) & set(other.namespaces))


def _shown(claims: Claims) -> str:
    labels = query(claims.selector)
    where = f"namespaces {', '.join(claims.namespaces)}" if claims.namespaces else "all namespaces"
    what = f"MLJobs with the labels {cut(labels, _SHOWN)}" if labels else "all MLJobs"
    return f"{what} in {cut(where, _SHOWN)}"
