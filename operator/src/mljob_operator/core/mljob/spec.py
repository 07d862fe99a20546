"""The spec of an MLJob, read once for each of its generations.

The API server raises the generation with each change of the spec, so later versions of an MLJob with
the same generation take the spec over without reading it again.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

from mljob_contract.job_type import JobType
from mljob_contract.mljob import MLJobSpec
from mljob_contract.run_id import DIGEST_LENGTH

from ..text.bounds import CONF
from ..text.fitting import fitting, in_one_sentence

_STAND_IN = {"dagId": "-"}
"""Stands for a DAG id that can't be read. No run is started with it."""


@dataclass(frozen=True)  # without slots, so that the hash can be cached
class ParsedSpec:
    """A spec as the operator has read it.

    Attributes:
        spec: The fields that fit the API.
        problem: Which fields don't fit the API, as text for people. None: all fields fit.
    """

    spec: MLJobSpec
    problem: str | None = None

    @classmethod
    def of(cls, value: object) -> ParsedSpec:
        """Read a spec as the API server sends it."""
        spec, problems = fitting(MLJobSpec, value, "spec", bounds={"conf": CONF}, stand_in=_STAND_IN)
        if not problems and (spec.type is JobType.BACKFILL) is not (spec.backfill is not None):
            problems = ("spec.backfill is required for type Backfill, and allowed only for that type",)
        return cls(spec, in_one_sentence(problems))

    @cached_property
    def hash(self) -> str:
        """The spec's hash, as :func:`spec_hash`."""
        return spec_hash(self.spec)


def spec_hash(spec: MLJobSpec) -> str:
    """Ten characters that identify what is run: dagId, conf, confFrom, airflowRef, backfill and
    logicalDate.

    Defaults are left out: a field that a later version adds must not change the hash of specs
    without it, or an upgrade would start runs again.
    """
    relevant = spec.model_dump(
        mode="json",
        by_alias=True,
        include={"dag_id", "conf", "conf_from", "airflow_ref", "backfill", "logical_date"},
        exclude_defaults=True,
    )
    return digest(json.dumps(relevant, sort_keys=True, separators=(",", ":")))


def digest(text: str) -> str:
    """Ten characters that identify a text: the beginning of its SHA-256, in lower-case base32."""
    return base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()[:DIGEST_LENGTH]
