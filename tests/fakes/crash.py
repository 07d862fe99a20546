"""Simulates the end of an operator process by SIGKILL."""

from __future__ import annotations

from mljob_operator.wiring import Parts


def crash(parts: Parts) -> None:
    """Stop the parts of an operator at once: no further step begins, and requests in flight are
    cancelled.

    The caller cancels the tasks that ``run_in_background`` started.
    """
    parts.job_controller.workers.stop()
    for task in [*parts.job_controller.tasks, *parts.instances.tasks]:
        task.cancel()
