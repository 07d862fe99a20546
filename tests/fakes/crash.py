from __future__ import annotations

from mljob_operator.wiring import Parts


def crash(parts: Parts) -> None:
    """Stop an operator's controllers at once, as if the process was killed. The caller has to
    cancel the background tasks, which ``parts.run_in_background`` started.
    """
    parts.job_controller.workers.stop()
    for task in [*parts.job_controller.tasks, *parts.instances.tasks]:
        task.cancel()
