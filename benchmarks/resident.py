"""Measures the resident memory of a process as soon as the memory is stable."""

from __future__ import annotations

import time

import psutil

from devstack.progress import step

MIB = 1024 * 1024
STABLE_SECONDS = 8
"""Memory counts as settled after this number of seconds with a change of less than one percent."""


def settled(process: psutil.Process, what: str, seconds: float = 40) -> float:
    """Wait until the resident memory of a process has changed by less than one percent in
    :data:`STABLE_SECONDS`. Return the memory in MiB.

    Args:
        process: The process.
        what: The situation of the process, for the terminal, such as ``with 100 live MLJobs``.
        seconds: The maximum number of seconds to wait. The function then returns the current
            memory.
    """
    history = [process.memory_info().rss / MIB]
    with step("memory", f"settling {what}", lambda: f"{history[-1]:.1f} MiB"):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            recent = history[-STABLE_SECONDS:]
            if len(recent) == STABLE_SECONDS and max(recent) - min(recent) < 0.01 * max(recent):
                break
            time.sleep(1)
            history.append(process.memory_info().rss / MIB)
    return history[-1]
