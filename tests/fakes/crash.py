"""The end of an operator process by SIGKILL."""

from __future__ import annotations

from mljob_operator.wiring import Parts


def crash(parts: Parts) -> None:
    """End at once: no further step begins, and requests in flight are cancelled.

    The caller cancels the tasks that were started through ``do``.
    """
    parts.queue.stop()
    for task in [*parts.queue.tasks, *parts.instances.tasks]:
        task.cancel()
