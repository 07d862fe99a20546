from __future__ import annotations

import sys
from typing import Any

import pytest

from mljob_operator.core.mljob.resource.spec import ParsedSpec

SPEC: dict[str, Any] = {
    "dagId": "train",
    "type": "Training",
    "conf": {"rate": 0.1 + 0.2, "seed": 2**63, "name": "Zürich 🚀", "lone": "\ud83d", "none": None},
    "confFrom": [{"configMapRef": {"name": "defaults", "optional": True}}],
    "backoffLimit": 3,
    "cancellation": {"strategy": "Dag", "timeoutSeconds": 60},
    "logicalDate": "2026-01-01T00:00:00Z",
}
BACKFILL = {"dagId": "train", "type": "Backfill", "backfill": {"fromDate": "2026-01-01", "toDate": "2026-01-03"}}


@pytest.mark.parametrize("value", [SPEC, BACKFILL, {"dagId": "train", "backoffLimit": "many"}, {"dagId": 7}, None])
def test_packed_spec_reads_as_before(value: Any) -> None:
    parsed = ParsedSpec.of(value)
    spec, digest = parsed.spec, ParsedSpec.of(value).hash
    parsed.pack()
    assert (parsed.spec, parsed.hash) == (spec, digest)
    assert parsed.spec.model_fields_set == spec.model_fields_set
    parsed.pack()
    assert parsed == ParsedSpec.of(value)


def test_packed_spec_takes_little_memory() -> None:
    parsed = ParsedSpec.of({"dagId": "train", "type": "Training", "cancellation": {"strategy": "Dag"}})
    parsed.pack()
    kept = [getattr(parsed, name) for name in ParsedSpec.__slots__]
    assert sum(map(sys.getsizeof, kept)) < 250
