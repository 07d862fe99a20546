"""From when on something counts as wrong: numbers that people may want to change.

Three places, the later wins: the defaults here; an Airflow Variable named as the monitor's DAG, a JSON object with some of these fields; the
params of a run that somebody triggers by hand. The defaults are quiet: what is told should be worth reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mljob_contract.reports import Severity


class Thresholds(BaseModel):
    """All thresholds of all monitors."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    in_use_days: Annotated[int, Field(ge=1, le=400)] = 35
    """A DAG that has begun a run within so many days is in use, and missed when it is paused, stale or broken. 35 days: monthly ones count."""
    stuck_minutes: Annotated[float, Field(ge=0.1, le=10080)] = 30
    """A run or a task that is queued for longer than this is stuck."""
    failure_hours: Annotated[int, Field(ge=1, le=720)] = 24
    """How far back failures are looked for."""
    failure_times: Annotated[int, Field(ge=2, le=50)] = 3
    """So many failures of one task with the same error are recurring ..."""
    failure_runs: Annotated[int, Field(ge=2, le=50)] = 10
    """... when they are within its last so many runs."""
    outlier_hours: Annotated[int, Field(ge=1, le=168)] = 1
    """How recently a task must have ended, or begun, for its duration and its wait to be judged."""
    slow_seconds: Annotated[int, Field(ge=1, le=604800)] = 120
    """Shorter tasks are never called slow."""
    wait_seconds: Annotated[int, Field(ge=1, le=604800)] = 300
    """Shorter waits are never called long."""
    outlier_history: Annotated[int, Field(ge=10, le=97)] = 20
    """A task with fewer earlier runs has no past to leave."""
    bottleneck_hours: Annotated[int, Field(ge=1, le=168)] = 24
    """What the bottlenecks' report covers."""
    saturated_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """A pool that is full for this share of the time is saturated, if tasks wait for it."""
    saturated_wait_seconds: Annotated[int, Field(ge=1, le=86400)] = 300
    """Tasks wait for a slot or a worker when one in twenty of them waits this long."""
    retry_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """A task needs many retries when this share of its instances needed one, and at least ``retry_times`` of them did."""
    retry_times: Annotated[int, Field(ge=1, le=10000)] = 5
    """See ``retry_share``."""
    quiet_hours: Annotated[float, Field(ge=0.01, le=720)] = 24
    """What an owner was told, and is still so, is said again after so many hours."""
    settle_minutes: Annotated[float, Field(ge=0, le=1440)] = 45
    """What is not found any more for so long is said to be over. Longer than the time between two looks, so that what flickers is told once."""
    min_severity: Severity = Severity.WARNING
    """What is less severe is on the page and on Kafka, and not in Slack."""
    log_reads: Annotated[int, Field(ge=0, le=1000)] = 60
    """Task logs that one look reads, to tell errors apart."""


class ThresholdsError(ValueError):
    """A threshold that can't be; the message names it, where it was set, and what it may be."""


def effective(
    variable: object, given: Mapping[str, Any], *, monitor: str, quiet_hours: float | None = None
) -> Thresholds:
    """The thresholds of one run.

    Args:
        variable: The value of the Airflow Variable, or ``None``.
        given: The params of the run: what somebody asked for when triggering it. ``None`` asks for nothing.
        monitor: The DAG's id, which is the Variable's name.
        quiet_hours: The monitor's own default of this threshold.

    Raises:
        ThresholdsError: One of them is not what it may be.
    """
    if variable is not None and not isinstance(variable, Mapping):
        raise ThresholdsError(f"the Variable {monitor} must be a JSON object, and is a {type(variable).__name__}")
    asked = {name: value for name, value in given.items() if name in Thresholds.model_fields and value is not None}
    own = {} if quiet_hours is None else {"quiet_hours": quiet_hours}
    try:
        return Thresholds.model_validate({**own, **(variable or {}), **asked})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        place = "params of this run" if name in asked else f"Variable {monitor}"
        raise ThresholdsError(f"{name}: {first['msg']}, not {first['input']!r} ({place})") from None


def params_schema(*names: str) -> dict[str, dict[str, Any]]:
    """Some of the thresholds as arguments of Airflow's ``Param``: by name a JSON Schema that allows ``null``, the default, which asks for nothing."""
    schema = Thresholds.model_json_schema()
    found = {}
    for name in names:
        field = dict(schema["properties"][name])
        if "$ref" in field:
            field = {**schema["$defs"][field.pop("$ref").rsplit("/", 1)[1]], **field}
            field["enum"] = [*field["enum"], None]
        default = field.pop("default")
        words = field.pop("description", "").strip().replace("``", "`")
        field.pop("title", None)
        found[name] = {
            **field,
            "type": [field["type"], "null"],
            "title": name.replace("_", " ").capitalize(),
            "description": f"{words} Default: {default}.",
        }
    return found
