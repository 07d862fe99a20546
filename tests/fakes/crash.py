"""Simulates an operator process that ends because of the signal SIGKILL."""

from __future__ import annotations

from mljob_operator.wiring import Parts


def crash(parts: Parts) -> None:
    """Stop the controllers of an operator at once, as if the process was killed. The operator
    begins no further work on an MLJob, and the asyncio tasks of the controllers are cancelled.

    The caller has to cancel the background tasks that the operator's ``run_in_background`` started.
    """
    parts.job_controller.workers.stop()
    for task in [*parts.job_controller.tasks, *parts.instances.tasks]:
        task.cancel()
