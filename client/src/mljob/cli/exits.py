"""The exit codes of ``kubectl mljob``."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..resource import MLJob


class Exit(IntEnum):
    """The exit code of a command. The exit code of a command that waits for MLJobs says how the
    MLJobs ended. ``lint`` exits with FAILED if a manifest has a mistake.
    """

    SUCCESS = 0
    FAILED = 1
    """An MLJob failed, or can't go on without a change."""
    CANCELLED = 2
    """An MLJob was cancelled or deleted."""
    TIMED_OUT = 3
    """An MLJob did not end in time, and continues. Or the connection was lost, and no end is known."""
    ERROR = 4
    """The command could not do its work: no connection, a missing right, no such MLJob, a bug."""
    USAGE = 64
    """An option or an argument is wrong (``EX_USAGE`` of sysexits.h)."""
    INTERRUPTED = 130
    """Ctrl-C. The MLJobs that the command followed go on."""
    BROKEN_PIPE = 141
    """The reader of the output has closed the pipe, as ``head`` does."""


def exit_of(job: MLJob) -> Exit:
    """Return the exit code for an MLJob. The first of these cases that applies decides:

    1. The MLJob was cancelled: CANCELLED.
    2. The operator has not handled a requested retry or a changed spec yet: TIMED_OUT.
    3. The MLJob failed, or can't continue until somebody changes its spec, its DAG or its rights:
       FAILED.
    4. The MLJob succeeded: SUCCESS.
    5. The MLJob has not ended: TIMED_OUT.
    """
    from ..verdict import Verdict, verdict_of

    verdict = verdict_of(job)
    if verdict is None:
        return Exit.TIMED_OUT
    return {Verdict.SUCCEEDED: Exit.SUCCESS, Verdict.CANCELLED: Exit.CANCELLED}.get(verdict, Exit.FAILED)


def worst(codes: list[Exit]) -> Exit:
    """Return the worst of several exit codes. From worst to best: ERROR, FAILED, TIMED_OUT,
    CANCELLED, SUCCESS.
    """
    order = (Exit.ERROR, Exit.FAILED, Exit.TIMED_OUT, Exit.CANCELLED, Exit.SUCCESS)
    return next((code for code in order if code in codes), Exit.SUCCESS)
