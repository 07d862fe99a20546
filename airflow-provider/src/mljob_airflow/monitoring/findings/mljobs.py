"""The MLJobs that a finding affects, read from the ids of its runs.

Airflow makes the ids of a backfill's runs, which don't name an MLJob.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mljob_airflow.monitoring.wording import some
from mljob_contract.run_id import RunId

MAX_NAMED = 10
"""The most MLJobs that a finding has in its field ``mljobs``."""


def mljob_name(run_id: str) -> str | None:
    """``namespace/name`` of the MLJob that a run belongs to; ``None`` for a run that the operator
    did not start.
    """
    parsed = RunId.parse(run_id)
    return f"{parsed.namespace}/{parsed.name}" if parsed else None


def finding_fields(
    run_ids: Iterable[str], detail: str, numbers: dict[str, float], *, lead: str | None = None
) -> dict[str, Any]:
    """The fields ``detail``, ``numbers`` and ``mljobs`` of a finding about these runs.

    Args:
        run_ids: The runs, most important first.
        detail: The detail without the MLJobs.
        numbers: The numbers without the number of MLJobs.
        lead: The words before the names of the MLJobs; by default ``MLJob``, or for example ``3
            MLJobs``.
    """
    names = list(dict.fromkeys(name for run_id in run_ids if (name := mljob_name(run_id))))
    if not names:
        return {"detail": detail, "numbers": numbers}
    lead = lead or ("MLJob" if len(names) == 1 else f"{len(names)} MLJobs")
    return {
        "detail": f"{lead}: {some(names)}. {detail}".strip(),
        "numbers": numbers | {"mljobs": len(names)},
        "mljobs": tuple(names[:MAX_NAMED]),
    }
