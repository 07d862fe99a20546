"""MLJobs whose outputs the MLJob takes."""

from __future__ import annotations

from typing import Any

from mljob_contract.mljob import UpstreamRun
from mljob_operator.core.mljob.upstream import Upstream


def upstream(name: str = "data", attempt: int = 1, **outputs: Any) -> Upstream:
    """Return an upstream MLJob that has succeeded. An upstream MLJob is an MLJob whose outputs
    another MLJob uses. ``outputs`` default to ``{"rows": 2000}``.
    """
    return Upstream(UpstreamRun(name=name, dag_run_id=f"run-of-{name}", attempt=attempt), outputs or {"rows": 2000})


def upstream_that(failure: str | None = None, *, waits_for: str = "") -> Upstream:
    """Return an upstream MLJob that has not succeeded. An upstream MLJob is an MLJob whose outputs
    another MLJob uses.

    Args:
        failure: Why the upstream MLJob can't succeed without a change; None if it may still
            succeed.
        waits_for: The name of the MLJob for whose outputs the upstream MLJob waits; empty for none.
    """
    return Upstream(failure=failure, waits_for=(waits_for,) if waits_for else ())


def upstream_run(name: str = "data", attempt: int = 1) -> dict[str, Any]:
    return {"name": name, "dagRunId": f"run-of-{name}", "attempt": attempt}
