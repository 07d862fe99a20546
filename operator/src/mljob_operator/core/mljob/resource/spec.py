"""The spec of an MLJob, parsed once for each ``metadata.generation``."""

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
    """The parsed spec of an MLJob. The content never changes.

    Args:
        spec: The spec with only its valid fields. The DAG id is ``-`` if ``dagId`` is missing or
            invalid.
        problem: The message about the invalid fields, or None if the spec is valid.
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
        """Parse a spec that was decoded from JSON. An invalid spec raises no error: ``problem``
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
        """The result of :func:`spec_hash` for the spec."""
        if self._hash is None:
            self._hash = spec_hash(self.spec)
        return self._hash

    def pack(self) -> None:
        """Compress the spec in memory until :attr:`spec` is read."""
        if self._packed is None:
            self._packed = packed(self.spec.model_dump(mode="json", by_alias=True, exclude_unset=True))
        self._spec = None


def spec_hash(spec: MLJobSpec) -> str:
    """Return a hash of ten characters. The hash covers the fields that determine the run: dagId,
    conf, confFrom, airflowRef, backfill and logicalDate.

    Fields with default values are left out. So if an upgrade of the operator adds a field to the
    hash, the hashes of existing specs do not change.
    """
    relevant = spec.model_dump(
        mode="json",
        by_alias=True,
        include={"dag_id", "conf", "conf_from", "airflow_ref", "backfill", "logical_date"},
        exclude_defaults=True,
    )
    return digest(json.dumps(relevant, sort_keys=True, separators=(",", ":")))


def digest(text: str) -> str:
    """Return a hash of a text: the SHA-256 in lower-case base32, cut to ten characters."""
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()[:DIGEST_LENGTH]
