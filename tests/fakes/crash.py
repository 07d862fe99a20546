"""The end of an operator process by SIGKILL."""

from __future__ import annotations

from mljob_operator.wiring import Parts


def crash(parts: Parts) -> None:
    """End at once: no step begins any more, and requests that are being sent are cancelled.

    The tasks that were started through ``do`` are the caller's.
    """
    parts.queue.stop()
    for task in [*parts.queue.tasks, *parts.instances.tasks]:
        task.cancel()
