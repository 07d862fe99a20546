"""What can go wrong, and what follows from it: each class says why in one CamelCase word, and whether waiting can help.

::

    OperatorError
    ├── AirflowError
    │   ├── AirflowUnavailable      no answer, or a server error: retried
    │   ├── AirflowUnauthorized     the credentials are wrong: retried slowly, they may be rotated
    │   ├── AirflowForbidden        the credentials lack a permission: retried slowly
    │   ├── AirflowUnsupported      its version is too old: retried slowly, it may be upgraded
    │   ├── AirflowInstanceNotFound the AirflowInstance that a run is in is not there: retried, it may be created again
    │   ├── AirflowInstanceNotReady it is there, and the operator has no credentials for it: retried
    │   │   └── InvalidCredentials  its Secret holds what can't be sent
    │   ├── DagNotFound             retried: the DAG may be deployed after the MLJob
    │   ├── DagImportError          retried: the DAG may be fixed
    │   ├── DagRefused              a DAG that can't be triggered (paused for cancellation, ...): retried
    │   ├── BackfillActive          the DAG has another backfill, and Airflow allows one: retried
    │   ├── NothingToClear          a failed run has no failed task: the retry needs a run of its own
    │   └── ValidationFailed        Airflow refused the conf: stalls until the spec changes
    ├── ReferenceMissing            a ConfigMap or Secret is not there, or not readable: retried
    └── StoreError
        ├── StoreUnavailable        the Kubernetes API gives no answer: retried
        ├── Conflict                somebody else wrote first: read again and decide again, at once
        └── Gone                    the object is not there any more: nothing left to do

Adapters map every foreign error into this tree, chained; nothing above them sees another library's exception.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from .core.conf import without


class OperatorError(Exception):
    """Base of the tree.

    Attributes:
        reason: What goes into conditions and Events.
        stalls: Waiting can't help; only a change of the spec can.
        first_delay: Seconds before the first retry; it doubles with each.
        longest_delay: Seconds that the delay doesn't exceed.
    """

    reason: str = "Error"
    stalls: bool = False
    first_delay: float = 1.0
    longest_delay: float = 60.0


class AirflowError(OperatorError):
    """Airflow answered with an error, or not at all.

    Attributes:
        outcome_unknown: What was wanted may be so all the same, or may still come to be: a request was sent and its answer is missing, or it took
            effect and what was asked afterwards failed.
    """

    reason = "AirflowError"
    outcome_unknown: bool = False


class AirflowUnavailable(AirflowError):
    """No answer, or a server error."""

    reason = "AirflowUnavailable"
    longest_delay = 15.0

    def __init__(self, message: str, *, outcome_unknown: bool = False) -> None:
        super().__init__(message)
        self.outcome_unknown = outcome_unknown


@contextmanager
def after_effect() -> Iterator[None]:
    """What is asked in here is asked after a request has taken effect: where it fails, that is not undone.

    Raises:
        AirflowError: As it was, with ``outcome_unknown``.
    """
    try:
        yield
    except AirflowError as error:
        error.outcome_unknown = True
        raise


class AirflowUnauthorized(AirflowError):
    """The credentials are wrong."""

    reason = "AirflowUnauthorized"
    first_delay = 5.0


class AirflowForbidden(AirflowError):
    """The credentials are right and may not do this."""

    reason = "AirflowForbidden"
    first_delay = 5.0


class AirflowUnsupported(AirflowError):
    """This version of Airflow is too old, for everything or for what is asked."""

    reason = "AirflowUnsupported"
    first_delay = 5.0


class AirflowInstanceNotFound(AirflowError):
    """There is no AirflowInstance of that name, not yet or not any more."""

    reason = "AirflowInstanceNotFound"
    first_delay = 2.0
    longest_delay = 30.0


class AirflowInstanceNotReady(AirflowError):
    """The AirflowInstance is there, and can't be used: its Secret is missing, for example."""

    reason = "AirflowInstanceNotReady"
    first_delay = 2.0
    longest_delay = 30.0


class InvalidCredentials(AirflowInstanceNotReady):
    """The AirflowInstance's Secret holds what can't be sent to Airflow."""


class DagNotFound(AirflowError):
    """Airflow knows no such DAG, not yet or not any more."""

    reason = "DagNotFound"
    first_delay = 2.0
    longest_delay = 30.0


class DagImportError(AirflowError):
    """The DAG's file does not import."""

    reason = "DagImportError"
    first_delay = 2.0
    longest_delay = 30.0


class DagRefused(AirflowError):
    """The DAG can't be run for now."""

    reason = "DagRefused"


class BackfillActive(AirflowError):
    """Another backfill of the DAG is in progress: Airflow allows one at a time for each DAG."""

    reason = "BackfillActive"
    first_delay = 2.0
    longest_delay = 30.0


class NothingToClear(AirflowError):
    """A run ended without a failed task, or is gone: clearing what failed would run nothing."""

    reason = "NothingToClear"


class ValidationFailed(AirflowError):
    """Airflow refused the run: its conf does not fit the DAG's params."""

    reason = "ValidationFailed"
    stalls = True


class ReferenceMissing(OperatorError):
    """What ``spec.confFrom`` names is not there, may not be read, or does not hold what it should."""

    reason = "ReferenceMissing"
    first_delay = 2.0
    longest_delay = 30.0


class StoreError(OperatorError):
    """The Kubernetes API answered with an error, or not at all."""

    reason = "KubernetesError"
    first_delay = 0.2
    longest_delay = 10.0


class StoreUnavailable(StoreError):
    """No answer, a server error, or too many requests."""


class Conflict(StoreError):
    """The object has changed since it was read."""


class Gone(StoreError):
    """The object is not there any more, or another one has its name."""


class CannotStart(Exception):
    """The operator can't start, and waiting would not help; the message says what to change.

    Attributes:
        code: The process's exit code: 2 where the settings are wrong, 1 for anything else.
    """

    def __init__(self, message: str, *, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def backoff(error: OperatorError, failures: int) -> float:
    """Seconds to wait after the ``failures``-th failure in a row."""
    return float(min(error.longest_delay, error.first_delay * 2 ** min(failures - 1, 16)))


@contextmanager
def blotted(hidden: Iterable[str]) -> Iterator[None]:
    """What is secret is not told: Airflow quotes what it refuses."""
    try:
        yield
    except AirflowError as error:
        error.args = (without(str(error), hidden),)
        raise
