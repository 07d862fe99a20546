"""The thresholds of the monitoring DAGs.

The values come from three places. A later place overrides an earlier place:

1. the defaults in this module, or the DAG's own default for ``quiet_hours``;
2. the Airflow Variable whose key is the id of the monitoring DAG: a JSON object with some
   thresholds;
3. the params of a run that a user triggers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mljob_airflow.monitoring.variables import json_object
from mljob_contract.reports import Severity

NOTIFY = "notify"
"""The param with which a run that has thresholds in its params notifies owners."""


class Thresholds(BaseModel):
    """The thresholds for one run of a monitoring DAG. Each monitoring DAG uses only some of the
    thresholds. Airflow's UI shows the docstrings of the fields as the descriptions of the DAGs'
    params.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    in_use_days: Annotated[int, Field(ge=1, le=400)] = 35
    """A DAG is in use if a run of it started within this many days. 35 days include monthly
    DAGs."""
    stuck_minutes: Annotated[float, Field(ge=0.1, le=10080)] = 30
    """A run or a task is stuck if it is queued for this many minutes."""
    failure_hours: Annotated[int, Field(ge=1, le=720)] = 24
    """The number of past hours whose failures are compared."""
    failure_times: Annotated[int, Field(ge=2, le=50)] = 3
    """A failure recurs if a task fails with the same error this many times in its last
    ``failure_runs`` runs.
    """
    failure_runs: Annotated[int, Field(ge=2, le=50)] = 10
    """The number of a task's last runs in which failures are counted, see ``failure_times``."""
    outlier_hours: Annotated[int, Field(ge=1, le=168)] = 1
    """The duration and wait of a task are judged if the task is running, or ended within this many
    hours.
    """
    slow_seconds: Annotated[int, Field(ge=1, le=604800)] = 120
    """A task that takes fewer seconds than this is never slow."""
    wait_seconds: Annotated[int, Field(ge=1, le=604800)] = 300
    """A wait of fewer seconds than this is never long."""
    outlier_history: Annotated[int, Field(ge=10, le=97)] = 20
    """A task is judged only if it has at least this many earlier runs."""
    bottleneck_hours: Annotated[int, Field(ge=1, le=168)] = 24
    """The number of hours that the report about bottlenecks covers."""
    saturated_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """A pool is saturated if it is full for this share of the time, and tasks wait for its
    slots."""
    saturated_wait_seconds: Annotated[int, Field(ge=1, le=86400)] = 300
    """Tasks count as waiting for a slot or a worker if one task in twenty waits this many seconds
    or longer.
    """
    retry_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """A task has many retries if this share of its instances, and at least ``retry_times`` of them,
    were retried.
    """
    retry_times: Annotated[int, Field(ge=1, le=10000)] = 5
    """The minimum number of retried instances, see ``retry_share``."""
    quiet_hours: Annotated[float, Field(ge=0.01, le=720)] = 24
    """After this many hours an owner is notified again of findings that are still there."""
    settle_minutes: Annotated[float, Field(ge=0, le=1440)] = 45
    """A finding is resolved if no report has it for this many minutes. Use more than the time
    between two reports, because findings may come and go.
    """
    min_severity: Severity = Severity.WARNING
    """Findings that are less severe are on the page and on Kafka, but not in Slack."""
    log_reads: Annotated[int, Field(ge=0, le=1000)] = 60
    """The maximum number of task logs that one report reads, to compare errors."""


class ThresholdsError(ValueError):
    """A threshold is invalid or unknown, or the Variable with thresholds is not a JSON object."""


def in_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return the thresholds that the params of a run set, by name. Params with the value ``None``
    and params that are not thresholds are left out.
    """
    return {name: value for name, value in params.items() if name in Thresholds.model_fields and value is not None}


def effective(
    variable: str | None, given: Mapping[str, Any], *, monitor: str, quiet_hours: float | None = None
) -> Thresholds:
    """Return the thresholds of one run.

    Args:
        variable: The text of the Airflow Variable, or ``None`` if the Variable does not exist.
        given: The params of the run, by name, see :func:`in_params`.
        monitor: The id of the monitoring DAG, which is also the Variable's name.
        quiet_hours: The DAG's default for :attr:`Thresholds.quiet_hours`. ``None`` means the
            default in this module.

    Raises:
        ThresholdsError: A threshold is invalid, the Variable has an unknown threshold, or the
            Variable is not a JSON object.
    """
    try:
        configured = json_object(monitor, variable, example='{"stuck_minutes": 60}')
    except ValueError as error:
        raise ThresholdsError(str(error)) from None
    asked = in_params(given)
    own = {} if quiet_hours is None else {"quiet_hours": quiet_hours}
    try:
        return Thresholds.model_validate({**own, **configured, **asked})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        place = "the code of this DAG"
        if first["loc"][0] in asked:
            place = "a param of this run"
        elif first["loc"][0] in configured:
            place = f"the Variable {monitor}"
        raise ThresholdsError(f"{name}: {first['msg']}, not {first['input']!r}; it is set in {place}") from None


def params_schema(*names: str, quiet_hours: float | None = None) -> dict[str, dict[str, Any]]:
    """Return the JSON Schemas of the params with which a user sets thresholds for one run, by the
    threshold's name.

    Pass each schema to Airflow's ``Param`` as keyword arguments. If a param is ``null``, the run
    uses the value of the Variable, or the default.

    Args:
        names: The names of the thresholds.
        quiet_hours: The DAG's default for :attr:`Thresholds.quiet_hours`.
    """
    schema = Thresholds.model_json_schema()
    own = {} if quiet_hours is None else {"quiet_hours": quiet_hours}
    found = {}
    for name in names:
        field = dict(schema["properties"][name])
        if "$ref" in field:
            field = {**schema["$defs"][field.pop("$ref").rsplit("/", 1)[1]], **field}
            field["enum"] = [*field["enum"], None]
        default = own.get(name, field.pop("default"))
        description = " ".join(field.pop("description", "").split()).replace("``", "`")
        field.pop("title", None)
        found[name] = {
            **field,
            "type": [field["type"], "null"],
            "title": name.replace("_", " ").capitalize(),
            "description": f"{description} Default: {default}.",
        }
    return found
