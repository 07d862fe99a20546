"""The demo's lines about an MLJob in progress, one for each visible change.

Pure functions: objects in, text out. A line is printed when its text changes, so a status with a
new time stamp only prints nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TERMINAL = frozenset({"Succeeded", "Failed", "Cancelled"})
_SMOOTH = frozenset({"Submitting", "Submitted", "Queued", "Running", "TaskRunning", "Succeeded"})
"""Reasons of a job that makes progress. The message is shown with any other reason."""
_BAR = 12


@dataclass(frozen=True)
class Moment:
    """The shown part of one MLJob's status.

    Attributes:
        progress: `status.progress`, as in "2/5".
        task: The id of the current task.
        trouble: The message of a job that makes no progress; empty otherwise.
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
        """Whether phase, task and message are the same, so that on a terminal this line replaces the earlier one."""
        return (self.phase, self.task, self.trouble) == (earlier.phase, earlier.task, earlier.trouble)


def moment(job: Mapping[str, Any]) -> Moment:
    """The shown part of an MLJob's object."""
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
    """The current task's metrics; without any, those of the task with metrics that started last."""
    reporting = [task for task in status.get("tasks") or [] if task.get("metrics")]
    current = [task for task in reporting if task.get("taskId") == status.get("currentTask")]
    if not (current or reporting):
        return {}
    latest: Mapping[str, float] = max(current or reporting, key=lambda task: str(task.get("startTime") or ""))[
        "metrics"
    ]
    return latest


def heading() -> str:
    """The heading above the columns of `line`."""
    return f"{'':>7}  {'PHASE':<10} {'TASKS':>5}  {'':<{_BAR + 2}} {'':>4}  {'TASK':<12} METRICS"


def line(seconds: float, shown: Moment) -> str:
    """One line: `seconds` since the start, and the shown part of the status."""
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
    """Four significant digits; integers below 10⁹ in full."""
    if float(value).is_integer() and abs(value) < 1e9:
        return str(int(value))
    return f"{value:.4g}"


def events(description: str, most: int = 8) -> list[str]:
    """The Events at the end of `kubectl describe`'s output: the two heading lines and the last `most` Events."""
    lines = description.splitlines()
    starts = [number for number, text in enumerate(lines) if text.startswith("Events:")]
    if not starts:
        return []
    told = [text for text in lines[starts[-1] + 1 :] if text.strip()]
    return [*told[:2], *told[2:][-most:]]


def outputs(job: Mapping[str, Any]) -> list[str]:
    """The outputs of the run, one a line."""
    published: Mapping[str, Any] = (job.get("status") or {}).get("outputs") or {}
    width = max((len(name) for name in published), default=0)
    return [f"{name:<{width}}  {value}" for name, value in published.items()]
