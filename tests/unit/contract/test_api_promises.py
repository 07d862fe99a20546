"""The promises of docs/compatibility.md, section "Versions of the API".

``released_fields.json`` lists the fields of the released CRDs, with the type of each field. A line
of this file may be changed or removed only in a release whose changelog announces the change.
"""

from __future__ import annotations

from typing import Any

import pytest

from mljob_contract.mljob import Phase
from mljob_contract.run_id import RunId
from mljob_operator.core.mljob.resource.spec import ParsedSpec

from .released_fields import breaking, fields_of_crds, released

HASHES: dict[str, dict[str, Any]] = {
    "yzkokcxels": {"dagId": "train"},
    "rpcx6ggrba": {
        "dagId": "train",
        "type": "Training",
        "conf": {"b": 1, "a": [1.5, None, "ä"]},
        "backoffLimit": 3,
        "suspend": True,
    },
    "4qyu7yvajt": {
        "dagId": "train",
        "confFrom": [{"configMapRef": {"name": "defaults", "optional": True}}],
        "airflowRef": {"name": "prod"},
    },
    "tokcmsrmly": {
        "dagId": "days",
        "type": "Backfill",
        "backfill": {"from": "2026-01-01T00:00:00Z", "to": "2026-01-03T00:00:00Z"},
    },
}
"""Specs by their hashes, as version 0.1.0 computes the hashes."""


@pytest.mark.parametrize("crd", released())
def test_no_released_field_was_removed_or_has_another_type(crd: str) -> None:
    now = fields_of_crds()[crd]
    changed = {path: (kind, now.get(path)) for path, kind in released()[crd].items() if now.get(path) != kind}

    assert changed == {}


@pytest.mark.parametrize("crd", released())
def test_every_field_is_released(crd: str) -> None:
    new = sorted(fields_of_crds()[crd].keys() - released()[crd].keys())

    assert new == [], "run: python -m tests.unit.contract.released_fields"


@pytest.mark.parametrize(
    ("new", "breaks"),
    [
        pytest.param({"spec.a": "string"}, [], id="an optional field"),
        pytest.param({"spec.a": "string!"}, ["spec.a"], id="a required field of an object that was released"),
        pytest.param({"spec.a": "object", "spec.a.b": "string!"}, [], id="a required field of a new object"),
        pytest.param({"spec.old.b": "string!"}, ["spec.old.b"], id="a required field of an old object"),
    ],
)
def test_a_new_required_field_breaks_the_promise(new: dict[str, str], breaks: list[str]) -> None:
    assert breaking({"spec.old": "object"}, new) == breaks


def test_phases_are_not_removed() -> None:
    assert {str(phase) for phase in Phase} >= {
        "Pending", "Suspended", "Queued", "Running", "Cancelling", "Succeeded", "Failed", "Cancelled",
    }  # fmt: skip


def test_the_form_of_a_run_id_stays() -> None:
    text = "mljob.team-a.digits.train.aaaaaaaaaa-12"

    assert RunId.parse(text) == RunId("mljob", "team-a", "digits.train", "aaaaaaaaaa", 12)
    assert str(RunId.parse(text)) == text


@pytest.mark.parametrize(("digest", "spec"), HASHES.items())
def test_the_hash_of_a_spec_stays(digest: str, spec: dict[str, Any]) -> None:
    assert ParsedSpec.of(spec).problem is None
    assert ParsedSpec.of(spec).hash == digest
