"""Makes the lines that the demo prints about an MLJob in progress.

The functions turn an MLJob's object into text, and do no I/O. The demo prints a line when the shown
part of the status (:class:`Moment`) changes. So a status in which only a time stamp changes causes
no line.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TERMINAL = frozenset({"Succeeded", "Failed", "Cancelled"})
_SMOOTH = frozenset({"Submitting", "Submitted", "Queued", "Running", "TaskRunning", "Succeeded"})
"""The reasons of a job that makes progress. With any other reason, the line also has the
message.
"""
_BAR = 12


@dataclass(frozen=True)
class Moment:
    """The part of an MLJob's status that a line shows.

    Attributes:
        progress: `status.progress`, for example "2/5".
        task: The id of the current task.
        trouble: The status message of a job that makes no progress. Empty for a job that makes
            progress.
    """

    phase: str
    progress: str = ""
    percent: int | None = None
    task: str = ""
    metrics: tuple[tuple[str, float], ...] = ()
    trouble: str = ""

    @property
    def is_over(self) -> bool:
        """Whether the phase is terminal."""
        return self.phase in TERMINAL

    def supersedes(self, earlier: Moment) -> bool:
        """Return whether phase, task and message are the same as in `earlier`. On a terminal, the
        new line then replaces the earlier line.
        """
        return (self.phase, self.task, self.trouble) == (earlier.phase, earlier.task, earlier.trouble)


def moment(job: Mapping[str, Any]) -> Moment:
    """Return the part of an MLJob that a line shows."""
    status: Mapping[str, Any] = job.get("status") or {}
    phase = str(status.get("phase") or "Pending")
    return Moment(
        phase=phase,
        progress=str(status.get("progress") or ""),
        percent=status.get("percent"),
        task=str(status.get("currentTask") or ""),
        metrics=tuple(_metrics(status).items()),
        trouble=str(status.get("message") or "") if status.get("reason", "Running") not in _SMOOTH else "",
    )


def _metrics(status: Mapping[str, Any]) -> Mapping[str, float]:
    """Return the metrics of the current task. If the current task has no metrics, return the
    metrics of the task that started last among the tasks with metrics.
    """
    reporting = [task for task in status.get("tasks") or [] if task.get("metrics")]
    current = [task for task in reporting if task.get("taskId") == status.get("currentTask")]
    if not (current or reporting):
        return {}
    latest: Mapping[str, float] = max(current or reporting, key=lambda task: str(task.get("startTime") or ""))[
        "metrics"
    ]
    return latest


def heading() -> str:
    """Return the heading above the columns of `line`."""
    return f"{'':>7}  {'PHASE':<10} {'TASKS':>5}  {'':<{_BAR + 2}} {'':>4}  {'TASK':<12} METRICS"


def line(seconds: float, shown: Moment) -> str:
    """Return one line: `seconds` since the start, and the shown part of the status."""
    percent = f"{shown.percent}%" if shown.percent is not None else ""
    said = [
        f"{seconds:>6.1f}s  {shown.phase:<10} {shown.progress:>5}  {_bar(shown.percent)} {percent:>4}  {shown.task or '-':<12}",
        "  ".join(f"{name} {_number(value)}" for name, value in shown.metrics),
        shown.trouble,
    ]
    return " ".join(part for part in said if part).rstrip()


def _bar(percent: int | None) -> str:
    filled = _BAR * max(0, min(100, percent or 0)) // 100
    return f"[{'#' * filled}{'.' * (_BAR - filled)}]"


def _number(value: float) -> str:
    """Return a number with four significant digits, or in full if it is an integer below 10⁹."""
    if float(value).is_integer() and abs(value) < 1e9:
        return str(int(value))
    return f"{value:.4g}"


def events(description: str, most: int = 8) -> list[str]:
    """Return the lines about Events at the end of `kubectl describe`'s output: two heading lines
    and the last `most` Events.
    """
    lines = description.splitlines()
    starts = [number for number, text in enumerate(lines) if text.startswith("Events:")]
    if not starts:
        return []
    told = [text for text in lines[starts[-1] + 1 :] if text.strip()]
    return [*told[:2], *told[2:][-most:]]


def outputs(job: Mapping[str, Any]) -> list[str]:
    """Return the outputs of the run, one output in each line."""
    published: Mapping[str, Any] = (job.get("status") or {}).get("outputs") or {}
    width = max((len(name) for name in published), default=0)
    return [f"{name:<{width}}  {value}" for name, value in published.items()]
