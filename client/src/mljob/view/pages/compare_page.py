"""The page that compares MLJobs side by side: their results, the params that differ, and the curves
of their metrics.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

from mljob_contract.history import MetricsReport

from ...compare import Comparison, compare_jobs, flatten, smallest_is_best
from ...errors import Invalid
from ...finite import finite_number
from ...render.waits import waits_for_run
from ...resource import MLJob
from ...text import value_text
from ...verdict import retry_waits
from .curves import MAX_CURVES, MAX_LINES, STEPS, Curve, Series, by_instance, curve, instance_name, series_of
from .job_page import NamedValue, named_values
from .marks import Mark, phase_mark
from .outside_text import time_of

MAX_COMPARED: Final = 8
"""The maximum number of MLJobs that a page compares: as many as there are colours that can be told
apart.
"""
MAX_CELL: Final = 120
"""The maximum number of characters of a value in a cell."""


@dataclass(frozen=True, slots=True)
class Column:
    """The head of a column. Each column shows one MLJob.

    Attributes:
        label: The MLJob's name, or ``namespace/name`` if another MLJob on the page has the same
            name.
    """

    namespace: str
    name: str
    label: str
    mark: Mark
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True)
class Cell:
    """The value of one MLJob in a row of the comparison.

    Attributes:
        is_best: Whether the value is the best number of the row. A row has no best number if the
            row is for a param or for a counter such as ``epoch``, or if all its numbers are equal.
    """

    text: str
    is_best: bool = False


@dataclass(frozen=True, slots=True)
class CompareRow:
    """A row of the comparison, for an output, a metric or a param. Each MLJob has a cell.

    Attributes:
        query: The URL query of the page on which the MLJobs are ordered by this output or metric.
            Empty for a param, and if no MLJob has a number.
        is_chosen: Whether the MLJobs on this page are ordered by this output or metric.
    """

    name: str
    cells: tuple[Cell, ...]
    query: str = ""
    is_chosen: bool = False


@dataclass(frozen=True, slots=True)
class ComparePage:
    """The content of the page that compares MLJobs.

    Attributes:
        columns: The heads of the columns, one for each MLJob. The best MLJob comes first. If the
            MLJobs can't be ordered by an output or metric, they are ordered by name.
        results: The rows of the outputs, and of the last values of the metrics.
        params: The rows of the params that differ.
        equal: The params that don't differ.
        curves: The pictures of the metrics.
        colours: The number of each MLJob's colour in the pictures, by the label of the MLJob's
            column.
        missing: Sentences about what the page does not show, such as a deleted MLJob.
    """

    columns: tuple[Column, ...]
    results: tuple[CompareRow, ...]
    params: tuple[CompareRow, ...]
    equal: tuple[NamedValue, ...]
    curves: tuple[Curve, ...]
    colours: dict[str, int]
    missing: tuple[str, ...]


def compare_page(
    jobs: Sequence[MLJob],
    reports: Mapping[str, Sequence[MetricsReport]],
    *,
    by: str = "",
    missing: Sequence[str] = (),
) -> ComparePage:
    """Return the content of the comparison.

    Args:
        jobs: At most :data:`MAX_COMPARED` MLJobs.
        reports: The reported metrics of each MLJob, by ``namespace/name``.
        by: The name of the output or metric that orders the MLJobs. Default: the choice of
            :func:`~mljob.compare.compare_jobs`. If no MLJob has a number for ``by``, the page uses
            the default and says so.
        missing: Sentences about what the page does not show, such as a deleted MLJob.
    """
    notes = list(missing)
    try:
        compared = compare_jobs(jobs, by=by or None)
    except Invalid as unusable:
        compared = compare_jobs(jobs)
        notes.append(str(unusable))
    names = Counter(row.job.name for row in compared.rows)
    columns = tuple(_column(row.job, is_unique=names[row.job.name] == 1) for row in compared.rows)
    keys = [f"{column.namespace}/{column.name}" for column in columns]
    if compared.columns_omitted:
        notes.append(f"{compared.columns_omitted} more params and results are left out.")
    return ComparePage(
        columns=columns,
        results=tuple(_result(name, compared, keys) for name in compared.results),
        params=tuple(
            CompareRow(name, tuple(Cell(value_text(row.params.get(name), MAX_CELL)) for row in compared.rows))
            for name in compared.params
        ),
        equal=_equal(compared),
        curves=_curves(columns, reports),
        colours={column.label: number for number, column in enumerate(columns)},
        missing=tuple(notes),
    )


def _column(job: MLJob, *, is_unique: bool = True) -> Column:
    status = job.raw_status
    return Column(
        job.namespace,
        job.name,
        job.name if is_unique else f"{job.namespace}/{job.name}",
        phase_mark(job.phase, retry_waits=retry_waits(job)),
        None if waits_for_run(job) else time_of(status.get("startTime")),
        time_of(status.get("completionTime")),
    )


def _result(name: str, compared: Comparison, keys: Sequence[str]) -> CompareRow:
    values = [row.results.get(name) for row in compared.rows]
    numbers = [number for value in values if (number := finite_number(value)) is not None]
    best: float | None = None
    if len(set(numbers)) > 1 and name not in STEPS:
        best = min(numbers) if smallest_is_best(name) else max(numbers)
    cells = tuple(
        Cell(value_text(value, MAX_CELL), best is not None and finite_number(value) == best) for value in values
    )
    query = "?" + urlencode([*(("job", key) for key in keys), ("by", name)], errors="replace") if numbers else ""
    return CompareRow(name, cells, query, name == compared.by)


def _equal(compared: Comparison) -> tuple[NamedValue, ...]:
    if not compared.rows:
        return ()
    conf = dict(flatten(compared.rows[0].job.conf))
    # The columns for params are limited in number, and the rows have all params that differ.
    differing = {name for row in compared.rows for name in row.params}
    return named_values({name: value for name, value in conf.items() if name not in differing})


def _curves(columns: Sequence[Column], reports: Mapping[str, Sequence[MetricsReport]]) -> tuple[Curve, ...]:
    by_metric: dict[tuple[str, str], list[Series]] = {}
    omitted: Counter[tuple[str, str]] = Counter()
    most = max(1, MAX_LINES // max(len(columns), 1))
    for column in columns:
        of_job: dict[tuple[str, str], list[Series]] = {}
        for task, instances in by_instance(reports.get(f"{column.namespace}/{column.name}", ())).items():
            for index, found in instances.items():
                for key, series in series_of(found, instance_name(task, index)).items():
                    of_job.setdefault(key, []).append(series)
        for key, lines in of_job.items():
            by_metric.setdefault(key, []).extend(_named(column.label, lines[:most], is_alone=len(lines) == 1))
            omitted[key] += max(0, len(lines) - most)
    drawn = (curve(name, axis, lines, omitted[name, axis]) for (name, axis), lines in by_metric.items())
    return tuple(one for one in drawn if one is not None)[:MAX_CURVES]


def _named(job: str, lines: Sequence[Series], *, is_alone: bool) -> Iterator[Series]:
    for line in lines:
        yield replace(line, label=job if is_alone else f"{job} {line.label}", job=job)
