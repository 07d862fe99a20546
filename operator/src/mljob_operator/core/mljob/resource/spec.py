"""The spec of an MLJob, read once for each generation.

The Kubernetes API server increments the generation of an MLJob at each change of the spec. If a
later version of an MLJob has the same generation, the operator uses the spec that it has already
read.
"""

from __future__ import annotations

import base64
import hashlib
import json

from mljob_contract.job_type import JobType
from mljob_contract.mljob import MLJobSpec
from mljob_contract.run_id import DIGEST_LENGTH

from ...text.bounds import CONF
from ...text.fitting import fitting, in_one_sentence
from .packing import packed, unpacked

_PLACEHOLDERS = {"dagId": "-"}
"""The value for a DAG id that is missing or invalid. The operator starts no run with this value."""


class ParsedSpec:
    """A spec as the operator has read it. The contents of this object never change. :meth:`pack`
    only compresses the spec in memory.

    Args:
        spec: The spec with only its valid fields. The DAG id is ``-`` if ``dagId`` is missing or
            invalid.
        problem: What is invalid in the spec, as text for people, or None if the spec is valid.
    """

    __slots__ = ("_hash", "_packed", "_spec", "problem")

    def __init__(self, spec: MLJobSpec, problem: str | None = None) -> None:
        self._spec: MLJobSpec | None = spec
        self._packed: bytes | None = None
        self._hash: str | None = None
        self.problem = problem
        """What is invalid in the spec, as text for people, or None if the spec is valid."""

    @classmethod
    def of(cls, value: object) -> ParsedSpec:
        """Parse a spec from the JSON of the Kubernetes API server. Parsing never fails: ``problem``
        names the invalid fields.
        """
        spec, problems = fitting(MLJobSpec, value, "spec", bounds={"conf": CONF}, placeholders=_PLACEHOLDERS)
        if not problems and (spec.type is JobType.BACKFILL) is not (spec.backfill is not None):
            problems = ("spec.backfill is required for type Backfill, and allowed only for that type",)
        return cls(spec, in_one_sentence(problems))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ParsedSpec) and (self.spec, self.problem) == (other.spec, other.problem)

    __hash__ = None  # type: ignore[assignment]  # the spec is not hashable

    @property
    def spec(self) -> MLJobSpec:
        """The spec with only its valid fields."""
        if self._spec is None:
            assert self._packed is not None
            self._spec = MLJobSpec.model_validate(unpacked(self._packed))
        return self._spec

    @property
    def hash(self) -> str:
        """The hash of the spec, from :func:`spec_hash`."""
        if self._hash is None:
            self._hash = spec_hash(self.spec)
        return self._hash

    def pack(self) -> None:
        """Compress the spec in memory. The next read of :attr:`spec` decompresses the spec."""
        if self._packed is None:
            self._packed = packed(self.spec.model_dump(mode="json", by_alias=True, exclude_unset=True))
        self._spec = None


def spec_hash(spec: MLJobSpec) -> str:
    """Return ten characters that identify the parts of the spec that determine a run: dagId, conf,
    confFrom, airflowRef, backfill and logicalDate.

    Fields with default values are left out. Otherwise a field that a later version of the operator
    adds would change the hashes of all specs, and the upgrade would start the runs of all MLJobs
    again.
    """
    relevant = spec.model_dump(
        mode="json",
        by_alias=True,
        include={"dag_id", "conf", "conf_from", "airflow_ref", "backfill", "logical_date"},
        exclude_defaults=True,
    )
    return digest(json.dumps(relevant, sort_keys=True, separators=(",", ":")))


def digest(text: str) -> str:
    """Return ten characters that identify a text: the beginning of its SHA-256, in lower-case
    base32.
    """
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()[:DIGEST_LENGTH]
