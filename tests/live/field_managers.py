from __future__ import annotations

from typing import Any

from tests.fakes.objects import merged
from tests.live.mljobs import Object


def owned(job: Object) -> dict[str, dict[str, Any]]:
    """Return a dict from the name of each field manager of ``job`` to the fields that this field
    manager owns. The fields have the format of ``metadata.managedFields[].fieldsV1``.
    """
    fields: dict[str, dict[str, Any]] = {}
    for entry in job["metadata"]["managedFields"]:
        fields[entry["manager"]] = merged(fields.get(entry["manager"]), entry["fieldsV1"])
    return fields
