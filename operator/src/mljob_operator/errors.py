"""What can go wrong, and what follows from it: each class says why in one CamelCase word, and whether waiting can help.

::

    OperatorError
    ├── AirflowError
    │   ├── AirflowUnavailable      no answer, or a server error: retried
    │   ├── AirflowUnauthorized     the credentials are wrong: retried slowly, they may be rotated
    │   ├── AirflowForbidden        the credentials lack a permission: retried slowly
    │   ├── DagNotFound             retried: the DAG may be deployed after the MLJob
    │   ├── DagImportError          retried: the DAG may be fixed
    │   ├── DagRefused              a DAG that can't be triggered (paused for cancellation, ...): retried
    │   └── ValidationFailed        Airflow refused the conf: stalls until the spec changes
    └── StoreError
        ├── StoreUnavailable        the Kubernetes API gives no answer: retried
        ├── Conflict                somebody else wrote first: read again and decide again, at once
        └── Gone                    the object is not there any more: nothing left to do

Adapters map every foreign error into this tree, chained; nothing above them sees another library's exception.
"""

from __future__ import annotations


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
    """Airflow answered with an error, or not at all."""

    reason = "AirflowError"


class AirflowUnavailable(AirflowError):
    """No answer, or a server error.

    Attributes:
        outcome_unknown: The request may have taken effect, or may still: it was sent, and the answer is missing.
    """

    reason = "AirflowUnavailable"
    longest_delay = 15.0

    def __init__(self, message: str, *, outcome_unknown: bool = False) -> None:
        super().__init__(message)
        self.outcome_unknown = outcome_unknown


class AirflowUnauthorized(AirflowError):
    """The credentials are wrong."""

    reason = "AirflowUnauthorized"
    first_delay = 5.0


class AirflowForbidden(AirflowError):
    """The credentials are right and may not do this."""

    reason = "AirflowForbidden"
    first_delay = 5.0


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


class ValidationFailed(AirflowError):
    """Airflow refused the run: its conf does not fit the DAG's params."""

    reason = "ValidationFailed"
    stalls = True


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


def backoff(error: OperatorError, failures: int) -> float:
    """Seconds to wait after the ``failures``-th failure in a row."""
    return float(min(error.longest_delay, error.first_delay * 2 ** min(failures - 1, 16)))
