"""Names the MLJobs that a finding affects. The names come from run ids. The run ids of a backfill
don't contain the MLJob's name, so MLJobs of type Backfill are not named.
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
    """Return the fields ``detail``, ``numbers`` and ``mljobs`` of a finding about runs. The field
    ``mljobs`` has at most :data:`MAX_NAMED` names, and is left out if no run id names an MLJob.

    Args:
        run_ids: The ids of the runs, most important first.
        detail: The text for the field ``detail``. ``lead`` and the names of the MLJobs, if any, are
            put before this text.
        numbers: The numbers of the finding. The number of MLJobs, if any, is added under the key
            ``mljobs``.
        lead: The words before the names of the MLJobs. Default: ``MLJob`` for one MLJob, and a text
            such as ``3 MLJobs`` for several MLJobs.
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
