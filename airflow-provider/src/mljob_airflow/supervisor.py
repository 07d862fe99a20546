"""Tells whether this process may send requests to Airflow's supervisor.

The process of a task has a socket to its supervisor. Reading an Airflow Connection and pushing an
XCom are requests on this socket. A process that the task forks, such as a worker of
``multiprocessing``, inherits the socket. If both processes send requests, each may read the other's
answer, or wait forever for an answer that the other has read
(``airflow.sdk.execution_time.comms.CommsDecoder``). So only the process that Airflow started may
send requests.

The package imports this module, so that each later fork is noticed.
"""

from __future__ import annotations

import os
import sys
from typing import Any

_inherited: Any = None


def is_inherited() -> bool:
    """Return whether this process has its socket to Airflow's supervisor from the process that
    forked it. Return False in the process that Airflow started, and without a supervisor.
    """
    return _inherited is not None and _comms() is _inherited


def _comms() -> Any:
    # Not imported, because a process that has not imported Airflow's task runner has no supervisor.
    return getattr(sys.modules.get("airflow.sdk.execution_time.task_runner"), "SUPERVISOR_COMMS", None)


def _after_fork() -> None:
    global _inherited
    _inherited = _comms()


if sys.platform != "win32":
    # Training code that reports progress also runs without Airflow, on Windows too.
    os.register_at_fork(after_in_child=_after_fork)
