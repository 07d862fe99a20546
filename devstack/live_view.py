"""What the demo shows of an MLJob while it runs: a line for each change that a person would want to see.

Pure: objects in, text out. What is worth a line is decided on what the line says, so a status that is written again with
the same content, or with a new time stamp only, shows nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

TERMINAL = frozenset({"Succeeded", "Failed", "Cancelled"})
_SMOOTH = frozenset({"Submitting", "Submitted", "Queued", "Running", "TaskRunning", "Succeeded"})
"""Reasons of a job that gets on; the message of any other one is shown."""
_BAR = 12


@dataclass(frozen=True)
class Moment:
    """One MLJob at one moment, as far as the view shows it."""

    phase: str
    progress: str = ""
    percent: int | None = None
    task: str = ""
    metrics: tuple[tuple[str, float], ...] = ()
    trouble: str = ""
    """Why it does not get on; empty while it does."""

    @property
    def is_over(self) -> bool:
        """Whether nothing will change any more."""
        return self.phase in TERMINAL

    def supersedes(self, earlier: Moment) -> bool:
        """Whether it is the same step, further on: on a terminal its line may take the place of the earlier one."""
        return (self.phase, self.task, self.trouble) == (earlier.phase, earlier.task, earlier.trouble)


def moment(job: Mapping[str, Any]) -> Moment:
    """What the view shows of an MLJob, from the object that the API serves."""
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
    """The current task's metrics, or those of the task that began last among the ones that reported any."""
    reporting = [task for task in status.get("tasks") or [] if task.get("metrics")]
    current = [task for task in reporting if task.get("taskId") == status.get("currentTask")]
    if not (current or reporting):
        return {}
    latest: Mapping[str, float] = max(current or reporting, key=lambda task: str(task.get("startTime") or ""))[
        "metrics"
    ]
    return latest


def heading() -> str:
    """The columns of `line`."""
    return f"{'':>7}  {'PHASE':<10} {'TASKS':>5}  {'':<{_BAR + 2}} {'':>4}  {'TASK':<12} METRICS"


def line(seconds: float, shown: Moment) -> str:
    """One line of the view, `seconds` after it began."""
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
    """Short, but no integer becomes 1.2e+04."""
    if float(value).is_integer() and abs(value) < 1e9:
        return str(int(value))
    return f"{value:.4g}"


def events(description: str, most: int = 8) -> list[str]:
    """The Events at the end of what `kubectl describe` says: its two heading lines and the last `most` events."""
    lines = description.splitlines()
    starts = [number for number, text in enumerate(lines) if text.startswith("Events:")]
    if not starts:
        return []
    told = [text for text in lines[starts[-1] + 1 :] if text.strip()]
    return [*told[:2], *told[2:][-most:]]


def outputs(job: Mapping[str, Any]) -> list[str]:
    """What the run published, a line each."""
    published: Mapping[str, Any] = (job.get("status") or {}).get("outputs") or {}
    width = max((len(name) for name in published), default=0)
    return [f"{name:<{width}}  {value}" for name, value in published.items()]
