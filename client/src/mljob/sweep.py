"""Sweeps. A sweep runs one DAG with many combinations of params. Each combination is a point of the
sweep's grid, and has its own MLJob. The MLJobs of a sweep share a label. No function sends a request.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .errors import AlreadyExists, InvalidArgument
from .json_values import json_value, listed, same_json
from .manifest import MAX_NAME, conf_of, manifest, slug
from .resource import MLJob
from .text import value_text, values_text

if TYPE_CHECKING:
    from pydantic import BaseModel

SWEEP_LABEL: Final = "mljob.dev/sweep"
"""The label that the MLJobs of a sweep share. Its value is the sweep's name."""
POINT: Final = "mljob.dev/sweep-point"
"""The annotation with the values of an MLJob of a sweep, for people: ``epochs=5 lr=0.1``."""
MAX_POINT_TEXT: Final = 1_000
"""The maximum number of characters of the annotation :data:`POINT`."""
MAX_POINTS: Final = 500
"""The maximum number of MLJobs of a sweep."""
MAX_SWEEP_NAME: Final = 63
"""The maximum number of characters of a sweep's name, because it is the value of a label."""
_DIGEST: Final = 8
_INPUTS: Final = frozenset({"dagId", "conf", "confFrom"})
"""The fields of a spec that decide what a point runs. The MLJobs of a point must agree on these fields
even if the caller leaves a field out.
"""
_CHANGED_LATER: Final = frozenset({"suspend", "cancel"})
"""The fields of a spec that people change while an MLJob exists, as ``Job.resume`` does."""


@dataclass(frozen=True, slots=True)
class Point:
    """A value for each param of a sweep, and the name of the MLJob with these values.

    Attributes:
        name: The name of the MLJob. Within a sweep, the same values always give the same name.
        params: The values by param, as JSON values.
    """

    name: str
    params: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The params and their values on one line, such as ``epochs=5 lr=0.1``, cut to
        :data:`MAX_POINT_TEXT` characters.
        """
        return values_text(self.params)[:MAX_POINT_TEXT]


def manifests_of(
    dag_id: str,
    grid: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]],
    *,
    name: str,
    namespace: str,
    conf: Mapping[str, Any] | BaseModel | None = None,
    labels: Mapping[str, str] | None = None,
    spec: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """Return the manifests of a sweep's MLJobs, one for each point of the grid.

    Args:
        dag_id: The id of the Airflow DAG to run.
        grid: The grid, as for :func:`points_of`.
        name: The name of the sweep.
        namespace: The namespace of the MLJobs.
        conf: The conf that all points share. If a param of a point has the name of a key in this
            conf, the point's value is used.
        labels: Labels in addition to :data:`SWEEP_LABEL`.
        spec: Other fields of the spec, as for :func:`.manifest`.

    Raises:
        InvalidArgument: The name, the grid, the conf or a field of the spec is not valid.
    """
    points = points_of(checked_sweep_name(name), grid)
    common = conf_of(conf) if conf is not None else {}
    return [
        manifest(
            name=point.name,
            namespace=namespace,
            dag_id=dag_id,
            conf={**common, **point.params},
            labels={**(labels or {}), SWEEP_LABEL: name},
            annotations={POINT: point.text},
            spec=spec,
        )
        for point in points
    ]


def points_of(sweep: str, grid: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]]) -> list[Point]:
    """Return the points of a grid.

    Args:
        sweep: The name of the sweep.
        grid: A list of points, or a dict. In a list, each point is a dict with a value for each
            param. The result has the order of the list. A dict has a list of values for each param,
            and means all combinations of the values. In the result, the value of the last param
            changes fastest.

    Raises:
        InvalidArgument: The grid has no points, more than :data:`MAX_POINTS` points, or the same
            point twice. Or the values of a param in the dict are not a list, or JSON can't
            represent a value.
    """
    points = [_point(sweep, params) for params in _combinations(grid)]
    if not points:
        raise InvalidArgument("grid: no points. Give each param at least one value.")
    if len({point.name for point in points}) < len(points):
        raise InvalidArgument("grid: a point is there twice. Give each value of a param once.")
    return points


def require_same_point(present: MLJob, wanted: MLJob) -> None:
    """Check that an existing MLJob can stand for a point of a sweep. Both MLJobs must agree on the
    sweep, on ``dagId``, ``conf`` and ``confFrom``, and on the other fields of ``wanted``'s spec,
    except ``suspend`` and ``cancel``. Labels and annotations may differ.

    Args:
        present: The existing MLJob.
        wanted: The MLJob of the point, as :func:`manifests_of` returns it.

    Raises:
        AlreadyExists: The existing MLJob is being deleted, or the MLJobs don't agree. The message
            names the MLJob, the field, and what to do.
    """
    named, sweep = f"MLJob {present.namespace}/{present.name}", wanted.labels.get(SWEEP_LABEL)
    if present.is_being_deleted:
        why = "is being deleted. Repeat the sweep when the MLJob is gone."
    elif present.labels.get(SWEEP_LABEL) != sweep:
        why = f"exists, and its label {SWEEP_LABEL} is not {sweep}. Take another name for the sweep."
    elif field := _different_field(present, wanted):
        was, now = (value_text(job.raw_spec.get(field), 100) or "none" for job in (present, wanted))
        why = (
            f"of the sweep {sweep} exists with another spec.{field}: {was}, not {now}. Take another name for the "
            f"sweep, repeat the sweep with the earlier {field}, or delete the MLJobs of the earlier sweep."
        )
    else:
        return
    raise AlreadyExists(f"{named} {why}", code=409, reason="AlreadyExists") from None


def _different_field(present: MLJob, wanted: MLJob) -> str | None:
    from mljob_contract.mljob import MLJobSpec

    for name, field in MLJobSpec.model_fields.items():
        key = field.alias or name
        is_compared = key in _INPUTS or (key in wanted.raw_spec and key not in _CHANGED_LATER)
        # The API server adds defaults to the JSON, so the models decide. A stored spec that fits no model is only
        # read if it has to be.
        if (
            is_compared
            and not same_json(present.raw_spec.get(key), wanted.raw_spec.get(key))
            and not same_json(getattr(present.spec, name), getattr(wanted.spec, name))
        ):
            return key
    return None


def checked_sweep_name(name: str) -> str:
    """Return the name of a sweep if the name is valid. A valid name has at most 63 characters:
    lower-case letters, digits, and single hyphens between them.

    Raises:
        InvalidArgument: The name is not valid.
    """
    if name != slug(name) or len(name) > MAX_SWEEP_NAME:
        raise InvalidArgument(
            f"name: {name[:100]!r} is not a name of lower-case letters, digits and '-', of at most {MAX_SWEEP_NAME} "
            f"characters. For example: {slug(name)[:MAX_SWEEP_NAME].rstrip('-')!r}."
        )
    return name


def _combinations(grid: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    if not isinstance(grid, Mapping):
        _require_few(len(grid))
        return [dict(point) for point in grid]
    lists = {param: listed(values) for param, values in grid.items()}
    number = 1
    for param, values in lists.items():
        if isinstance(values, str) or not isinstance(values, Sequence):
            raise InvalidArgument(
                f"grid.{param}: {type(values).__name__} is not a list of values. For one value, write [value]."
            )
        number *= len(values)
        _require_few(number)
    return [dict(zip(lists, values, strict=True)) for values in itertools.product(*lists.values())] if lists else []


def _require_few(number: int) -> None:
    if number > MAX_POINTS:
        raise InvalidArgument(f"grid: {number} points or more; a sweep has at most {MAX_POINTS}. Split the grid.")


def _point(sweep: str, given: Mapping[str, Any]) -> Point:
    params = json_value(given, "grid")
    digest = hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()[:_DIGEST]
    return Point(f"{sweep[: MAX_NAME - _DIGEST - 1]}-{digest}", params)
