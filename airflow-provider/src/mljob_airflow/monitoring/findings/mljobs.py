"""The MLJobs that a finding is about, read from the ids of its runs.

The runs of a backfill have ids of Airflow's own, which say nothing of an MLJob.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mljob_airflow.monitoring.wording import some
from mljob_contract.run_id import RunId

MAX_NAMED = 10
"""MLJobs that a finding names."""


def mljob_of(run_id: str) -> str | None:
    """``namespace/name`` of the MLJob whose run this is; ``None`` for a run that no operator started."""
    parsed = RunId.parse(run_id)
    return f"{parsed.namespace}/{parsed.name}" if parsed else None


def about(run_ids: Iterable[str], detail: str, numbers: dict[str, float], *, lead: str | None = None) -> dict[str, Any]:
    """The fields ``detail``, ``numbers`` and ``mljobs`` of a finding that is about these runs.

    Args:
        run_ids: The runs, those that matter most first.
        detail: What is said beside the names of MLJobs.
        numbers: What is counted beside them.
        lead: What is said before the names; by default ``MLJob``, or ``3 MLJobs``.
    """
    names = list(dict.fromkeys(name for run_id in run_ids if (name := mljob_of(run_id))))
    if not names:
        return {"detail": detail, "numbers": numbers}
    lead = lead or ("MLJob" if len(names) == 1 else f"{len(names)} MLJobs")
    return {
        "detail": f"{lead}: {some(names)}. {detail}".strip(),
        "numbers": numbers | {"mljobs": len(names)},
        "mljobs": tuple(names[:MAX_NAMED]),
    }
