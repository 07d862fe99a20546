"""Names the MLJobs that a finding affects. The names come from the ids of the finding's runs.

The runs of a backfill have ids that Airflow makes. These ids don't name an MLJob, so a finding does
not name MLJobs of type Backfill.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mljob_airflow.monitoring.wording import joined
from mljob_contract.run_id import RunId

MAX_NAMED = 10
"""The maximum number of MLJobs that a finding has in its field ``mljobs``."""


def mljob_name(run_id: str) -> str | None:
    """Return ``namespace/name`` of the MLJob that a run belongs to, or ``None`` if the run id names
    no MLJob.
    """
    parsed = RunId.parse(run_id)
    return f"{parsed.namespace}/{parsed.name}" if parsed else None


def finding_fields(
    run_ids: Iterable[str], detail: str, numbers: dict[str, float], *, lead: str | None = None
) -> dict[str, Any]:
    """Return the fields ``detail``, ``numbers`` and ``mljobs`` of a finding about the runs
    ``run_ids``.

    The field ``mljobs`` has the names of at most :data:`MAX_NAMED` MLJobs. The field is left out if
    no run id names an MLJob.

    Args:
        run_ids: The ids of the runs, most important first.
        detail: The text of the field ``detail``. The names of the MLJobs are put before this text.
        numbers: The field ``numbers``. If a run id names an MLJob, the number of MLJobs is added
            under the key ``mljobs``.
        lead: The words before the names of the MLJobs. By default ``MLJob`` for one MLJob, and for
            example ``3 MLJobs`` for several.
    """
    names = list(dict.fromkeys(name for run_id in run_ids if (name := mljob_name(run_id))))
    if not names:
        return {"detail": detail, "numbers": numbers}
    lead = lead or ("MLJob" if len(names) == 1 else f"{len(names)} MLJobs")
    return {
        "detail": f"{lead}: {joined(names)}. {detail}".strip(),
        "numbers": numbers | {"mljobs": len(names)},
        "mljobs": tuple(names[:MAX_NAMED]),
    }
