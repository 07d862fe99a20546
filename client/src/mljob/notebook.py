"""Shows an MLJob in a notebook, as HTML without scripts. All texts of the MLJob are escaped."""

from __future__ import annotations

from html import escape
from typing import Any, Final

from .render.states import of_phase
from .resource import MLJob
from .text import plain, value_text
from .verdict import stall_message

MAX_TASKS: Final = 50
"""The maximum number of tasks, and of outputs, that are shown."""
MAX_METRICS: Final = 20
"""The maximum number of metrics of a task that are shown."""


class Display:
    """Shows the newest state of one MLJob in a notebook, always in the same place. Outside of a
    notebook, prints the result of :func:`job_line` when this line changes.
    """

    def __init__(self, job: MLJob) -> None:
        self._handle = _display_handle()
        self._said = ""
        self._shown = False
        self.update(job)

    def update(self, job: MLJob) -> None:
        """Show a new state of the MLJob."""
        if self._handle is None:
            self._print(job)
            return
        from IPython.display import HTML

        content = HTML(job_html(job))
        if self._shown:
            self._handle.update(content)
        else:
            self._handle.display(content)
            self._shown = True

    def _print(self, job: MLJob) -> None:
        line = job_line(job)
        if line != self._said:
            self._said = line
            print(line, flush=True)  # noqa: T201 - the person asked to be shown the job


def job_line(job: MLJob) -> str:
    """Return an MLJob as one line of text: the phase, the name, the progress and the message."""
    progress = job.raw_status.get("progress")
    sign = of_phase(job.phase)
    parts = [
        f"{sign.icon} {sign.word}",
        plain(job.name),
        plain(progress, 20) if isinstance(progress, str) else "",
        plain(job.sentence, 300),
        plain(stall_message(job), 300),
    ]
    return "  ".join(part for part in parts if part)


def job_html(job: MLJob) -> str:
    """Return an MLJob as HTML: phase, namespace, name, progress, message, tasks and outputs."""
    sign, percent = of_phase(job.phase), job.raw_status.get("percent")
    bar = f'<progress max="100" value="{percent}">{percent} %</progress>' if _is_percent(percent) else ""
    tasks = job.raw_status.get("tasks")
    listed = [task for task in tasks if isinstance(task, dict)] if isinstance(tasks, list) else []
    rows = "".join(_task_row(task) for task in listed[:MAX_TASKS])
    table = (
        f"<table><thead><tr><th>Task</th><th>State</th><th>Progress</th><th>Metrics</th></tr></thead><tbody>{rows}</tbody></table>"
        if rows
        else ""
    )
    outputs = "".join(
        f"<tr><th>{_text(name, 100)}</th><td>{_text(value, 300)}</td></tr>"
        for name, value in list(job.outputs.items())[:MAX_TASKS]
    )
    said = " ".join(part for part in (job.sentence, stall_message(job)) if part)
    return (
        f'<div class="mljob"><p><strong>{sign.icon} {escape(sign.word)}</strong> '
        f"{_text(job.namespace, 63)}/{_text(job.name, 140)} {bar}</p><p>{_text(said, 1000)}</p>{table}"
        f"{f'<table><tbody>{outputs}</tbody></table>' if outputs else ''}</div>"
    )


def _task_row(task: dict[str, Any]) -> str:
    metrics = task.get("metrics")
    listed = (
        ", ".join(f"{key}={value_text(value, 20)}" for key, value in list(metrics.items())[:MAX_METRICS])
        if isinstance(metrics, dict)
        else ""
    )
    progress = f"{task['progress']} %" if _is_percent(task.get("progress")) else ""
    cells = (task.get("taskId", ""), task.get("state", ""), progress, listed)
    return f"<tr>{''.join(f'<td>{_text(cell, 300)}</td>' for cell in cells)}</tr>"


def _text(value: Any, limit: int) -> str:
    return escape(value_text(value, limit))


def _is_percent(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 100


def _display_handle() -> Any:
    import sys

    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import DisplayHandle

    return DisplayHandle()
