"""The fields that the field managers of an object own (Server-Side Apply)."""

from __future__ import annotations

from typing import Any

from tests.fakes.objects import merged
from tests.live.mljobs import Object


def owned(job: Object) -> dict[str, dict[str, Any]]:
    """Return a mapping from each field manager of the object to the fields that the manager owns.
    The fields have the format of ``metadata.managedFields[].fieldsV1``. A manager can have several
    entries, for example one for the object and one for its status. The fields of a manager's
    entries are merged.
    """
    fields: dict[str, dict[str, Any]] = {}
    for entry in job["metadata"]["managedFields"]:
        fields[entry["manager"]] = merged(fields.get(entry["manager"]), entry["fieldsV1"])
    return fields
