"""Compares MLJobs: the params that differ, the outputs and the last metrics. The best MLJob comes
first. All functions are pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any, Final

from .errors import Invalid
from .findings import meant
from .finite import finite_number
from .resource import MLJob
from .text import cell_width, json_text, plain, value_text

if TYPE_CHECKING:
    import pandas

MAX_COLUMNS: Final = 50
"""The maximum number of params, and of results, in a comparison for people."""
MAX_CONF_LEVELS: Final = 32
"""The maximum number of levels of a conf (``mljob_contract.mljob``)."""
_MAX_CELL: Final = 60
_LESS_IS_BETTER = re.compile(
    r"(?:loss|losses|error|errors)(?![a-z])|(?<![a-z])(?:rmse|mse|mae|perplexity|seconds|duration)(?![a-z])"
)
"""Words in the names of results whose smallest value is the best. Words such as ``logloss`` end
with one of these words.
"""
_COUNTERS: Final = frozenset({"epoch", "step", "iteration", "global_step"})
"""Results that show how far a run is, not how good it is."""


@dataclass(frozen=True, slots=True)
class Row:
    """One MLJob in a comparison.

    Attributes:
        job: The MLJob.
        params: The values of the params that differ, by dotted path in the conf, such as
            ``optimizer.lr``.
        results: The outputs and the last metrics by name. An output hides a metric of the same
            name.
    """

    job: MLJob
    params: Mapping[str, Any]
    results: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several MLJobs side by side.

    Attributes:
        rows: The MLJobs, best first. MLJobs with equal values are ordered by name. MLJobs without a
            number for ``by`` come last. If ``by`` is None, the order is by name.
        params: The dotted paths of the params that differ between the MLJobs.
        results: The names of the outputs and metrics, ``by`` first.
        by: The name of the output or metric by which the rows are ordered. None if no output
            or metric is a number, apart from counters such as ``epoch``.
        less_is_better: Whether the smallest value of ``by`` comes first.
        columns_omitted: How many params and results have no column, because of ``max_columns`` of
            :func:`compare_jobs`.
    """

    rows: Sequence[Row]
    params: Sequence[str]
    results: Sequence[str]
    by: str | None
    less_is_better: bool
    columns_omitted: int = 0

    @property
    def best(self) -> MLJob | None:
        """The best MLJob, or None if no MLJob has a number for ``by``."""
        first = self.rows[0] if self.rows and self.by is not None else None
        return first.job if first and finite_number(first.results.get(self.by or "")) is not None else None

    def header(self) -> list[str]:
        """Return the titles of the columns: name, phase, params and results."""
        return ["name", "phase", *self.params, *self.results]

    def cells(self) -> list[list[str]]:
        """Return the cells of each row as texts without control characters. Params and results are
        cut to 60 characters.
        """
        return [
            [
                plain(row.job.name),
                plain(row.job.phase),
                *(value_text(row.params.get(name), _MAX_CELL) for name in self.params),
                *(value_text(row.results.get(name), _MAX_CELL) for name in self.results),
            ]
            for row in self.rows
        ]

    def __str__(self) -> str:
        """Return the comparison as a table of text."""
        lines = [self.header(), *self.cells()]
        widths = [max(map(cell_width, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(
                cell + " " * (width - cell_width(cell)) for cell, width in zip(line, widths, strict=True)
            ).rstrip()
            for line in lines
        )

    def to_rows(self) -> list[dict[str, Any]]:
        """Return a dict for each MLJob, best first. A dict contains the values of the MLJob by
        column title, without columns in which the MLJob has no value. If several columns have the
        same title, the dict contains only the last of their values.
        """
        return [
            {
                "name": row.job.name,
                "phase": row.job.phase,
                **_picked(row.params, self.params),
                **_picked(row.results, self.results),
            }
            for row in self.rows
        ]

    def to_frame(self) -> pandas.DataFrame:
        """Return the comparison as a pandas DataFrame. pandas must be installed."""
        import pandas

        return pandas.DataFrame(self.to_rows(), columns=list(dict.fromkeys(self.header())))

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{escape(plain(title, _MAX_CELL))}</th>" for title in self.header())
        body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>" for cells in self.cells())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def compare_jobs(
    jobs: Iterable[MLJob],
    *,
    by: str | None = None,
    less_is_better: bool | None = None,
    max_columns: int | None = MAX_COLUMNS,
) -> Comparison:
    """Compare MLJobs by an output or a metric.

    Args:
        jobs: The MLJobs.
        by: The name of the output or metric to order by. Default: the output or metric for which
            the most MLJobs have a number. Counters, such as ``epoch``, are never the default.
        less_is_better: Whether the smallest value is the best. Default: :func:`smallest_is_best`.
        max_columns: The maximum number of params, and of results. Default: :data:`MAX_COLUMNS`.
            None means no maximum.

    Raises:
        Invalid: No MLJob has a number as the output or metric ``by``.
    """
    found = list(jobs)
    confs = [dict(flatten(job.conf)) for job in found]
    results = [results_of(job) for job in found]
    differing = [name for name in _names(confs) if len({_key(conf.get(name, ...)) for conf in confs}) > 1]
    named = _names(results)
    if by is not None and not any(finite_number(result.get(by)) is not None for result in results):
        numbers = [name for name in named if any(finite_number(result.get(name)) is not None for result in results)]
        raise Invalid(
            f"No MLJob has a number {by!r}{meant(by, numbers)}. There are: {', '.join(numbers[:20]) or 'none yet'}."
        )
    chosen = by or _default_result(named, results)
    if less_is_better is None:
        less_is_better = chosen is not None and smallest_is_best(chosen)
    shown = [chosen, *(name for name in named if name != chosen)] if chosen else named
    rows = [Row(job, _picked(conf, differing), result) for job, conf, result in zip(found, confs, results, strict=True)]
    rows.sort(key=lambda row: _rank(row, chosen, bool(less_is_better)))
    params, columns = differing[:max_columns], shown[:max_columns]
    omitted = len(differing) - len(params) + len(shown) - len(columns)
    return Comparison(rows, params, columns, chosen, bool(less_is_better), omitted)


def smallest_is_best(name: str) -> bool:
    """Return whether the smallest value of the output or metric ``name`` is the best. True if the
    name contains a word such as ``mae``, or a word that ends with ``loss`` or ``error``.
    """
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return _LESS_IS_BETTER.search(words) is not None


def results_of(job: MLJob) -> dict[str, Any]:
    """Return the outputs and the last metrics of an MLJob by name. An output hides a metric of the
    same name. If several tasks have the same metric, the last task in the status counts.
    """
    metrics: dict[str, Any] = {}
    tasks = job.raw_status.get("tasks")
    for task in tasks if isinstance(tasks, list) else ():
        reported = task.get("metrics") if isinstance(task, dict) else None
        metrics.update(reported if isinstance(reported, dict) else {})
    return {**job.outputs, **{name: value for name, value in metrics.items() if name not in job.outputs}}


def flatten(conf: Mapping[str, Any], prefix: str = "", levels: int = MAX_CONF_LEVELS) -> Iterable[tuple[str, Any]]:
    """Yield the values of a conf with their dotted paths. A path has at most ``levels`` keys, so
    deeper objects are yielded as a whole. Lists and empty objects are yielded as a whole too.
    """
    for key, value in conf.items():
        if isinstance(value, dict) and value and levels > 1:
            yield from flatten(value, f"{prefix}{key}.", levels - 1)
        else:
            yield f"{prefix}{key}", value


def _names(dicts: Iterable[Mapping[str, Any]]) -> list[str]:
    return list(dict.fromkeys(name for entry in dicts for name in entry))


def _picked(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values}


def _key(value: Any) -> str:
    return "absent" if value is ... else json_text(value)


def _default_result(names: Sequence[str], results: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the name of the output or metric for which the most MLJobs have a number. Counters,
    such as ``epoch``, are ignored. Return None if there are no numbers.
    """
    counts = {
        name: sum(finite_number(result.get(name)) is not None for result in results)
        for name in names
        if name not in _COUNTERS
    }
    best = max(counts, key=lambda name: counts[name], default=None)
    return best if best is not None and counts[best] > 0 else None


def _rank(row: Row, by: str | None, less_is_better: bool) -> tuple[bool, float, str]:
    value = finite_number(row.results.get(by)) if by else None
    return value is None, (value if less_is_better else -value) if value is not None else 0.0, row.job.name
