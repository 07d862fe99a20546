"""An operator that kills itself right before or right after a call to Kubernetes, Airflow or Kafka.

For example, ``python crashing_operator.py before "trigger the run"`` starts such an operator.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn

from mljob_operator.adapters.airflow.dag_runs import AirflowRuns
from mljob_operator.adapters.kafka import KafkaEvents
from mljob_operator.adapters.kubernetes.jobs import Jobs
from mljob_operator.main import main

TERMINAL = ("Succeeded", "Failed", "Cancelled")

Which = Callable[..., bool]
"""A function that returns whether the process dies at a call of the method with these arguments."""


def _patch(holds: Callable[[Mapping[str, Any]], bool]) -> Which:
    return lambda _self, _job, patch: holds(patch)


def _any(*_: Any, **__: Any) -> bool:
    return True


def _mid_run(patch: Mapping[str, Any]) -> bool:
    return "taskCounts" in patch and "submitTime" not in patch and patch.get("phase") not in TERMINAL


CALLS: dict[str, tuple[type, str, Which]] = {
    "add the finalizer": (Jobs, "set_finalizer", lambda _self, _job, *, present, **_: present),
    "write the attempt": (Jobs, "write_status", _patch(lambda patch: "dagRunId" in patch)),
    "trigger the run": (AirflowRuns, "submit", _any),
    "write the submission": (Jobs, "write_status", _patch(lambda patch: "submitTime" in patch)),
    "write a status in mid-run": (Jobs, "write_status", _patch(_mid_run)),
    "commit offsets": (KafkaEvents, "_commit", _any),
    "list the tasks": (AirflowRuns, "tasks", _any),
    "read the outputs": (AirflowRuns, "outputs", _any),
    "write the end": (Jobs, "write_status", _patch(lambda patch: patch.get("phase") in TERMINAL)),
    "remove the finalizer": (Jobs, "set_finalizer", lambda _self, _job, *, present, **_: not present),
    "write the failed attempt": (Jobs, "write_status", _patch(lambda patch: patch.get("reason") == "RetryBackoff")),
    "write the second attempt": (Jobs, "write_status", _patch(lambda patch: patch.get("attempts") == 2)),
    "clear the failed tasks": (AirflowRuns, "clear_failed", _any),
    "write the cancellation": (Jobs, "write_status", _patch(lambda patch: patch.get("phase") == "Cancelling")),
    "trigger the cancellation": (AirflowRuns, "trigger_cancellation", _any),
    "cancel through REST": (AirflowRuns, "cancel", _any),
    "delete the MLJob": (Jobs, "delete", _any),
}
"""By the name of a call: the class and the method that make the call, and a function that returns
whether the arguments of the method are those of the call.
"""


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("a killed process goes on")


def die_at(when: str, call: str) -> None:
    """Prepare this process to kill itself at a call. ``when`` is ``before`` or ``after``, and
    ``call`` is a key of ``CALLS``.
    """
    owner, name, is_this = CALLS[call]
    method = getattr(owner, name)
    if owner is KafkaEvents:
        setattr(owner, name, _of_commit(method, when))
        return

    async def dying(*args: Any, **kwargs: Any) -> Any:
        this = is_this(*args, **kwargs)
        if this and when == "before":
            _die()
        answer: Awaitable[Any] = method(*args, **kwargs)
        result = await answer
        if this:
            _die()
        return result

    setattr(owner, name, dying)


def _of_commit(method: Callable[..., None], when: str) -> Callable[..., None]:
    """Return a function that replaces ``method``, which commits offsets. The function kills the
    process at the first commit after the operator has stored the status of a running run. ``when``
    says whether the process dies before or after this commit.
    """
    stored = False
    write_status = Jobs.write_status

    async def write(self: Jobs, job: Any, patch: Mapping[str, Any]) -> Any:
        nonlocal stored
        result = await write_status(self, job, patch)
        stored = stored or _mid_run(patch)
        return result

    Jobs.write_status = write  # type: ignore[assignment]

    def commit(self: KafkaEvents, positions: Any) -> None:
        if not stored:
            method(self, positions)
            return
        if when == "after":
            self._waits_for_commits = True
            method(self, positions)
        _die()

    return commit


if __name__ == "__main__":
    die_at(sys.argv[1], sys.argv[2])
    sys.exit(main())
