"""What can go wrong, and what follows from it: each class says why in one CamelCase word, and whether waiting can help.

::

    OperatorError
    ├── AirflowError
    │   ├── AirflowUnavailable      no answer, a server error, or an answer that is not Airflow's: retried
    │   │   └── AirflowUnreadable   an answer in JSON that is not what Airflow gives to the request, or too large: retried
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
    │   ├── SubmissionRefused       Airflow's settings or the DAG's allow no such run: retried slowly, they may be changed
    │   ├── LogicalDateTaken        the DAG has another run of this logical date: retried slowly, the other run may be deleted
    │   └── ValidationFailed        Airflow refused the conf: stalls, and is retried slowly, for the DAG may be changed instead of the spec
    ├── ReferenceMissing            a ConfigMap or Secret is not there, or not readable: retried
    │   └── SecretUnlabelled        a Secret lacks the label of those that are for Airflow: retried
    └── StoreError
        ├── StoreUnavailable        the Kubernetes API gives no answer: retried
        ├── Refused                 what is written is invalid, and will be: made anew from what Airflow says, slowly
        ├── Conflict                somebody else wrote first: read again and decide again, at once
        └── Gone                    the object is not there any more: nothing left to do

Adapters map every foreign error into this tree, chained; nothing above them sees another library's exception.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

SPREAD = 0.2
"""By which part of itself a delay varies, so that those who failed together don't try again together."""


class OperatorError(Exception):
    """Base of the tree.

    Attributes:
        reason: What goes into conditions and Events.
        stalls: Waiting alone can't help: somebody has to change the spec, or what it is checked against.
        first_delay: Seconds before the first retry; it doubles with each.
        longest_delay: Seconds that the delay doesn't exceed, but for ``retry_after``.
        retry_after: Seconds that the other side asks to be left alone for (HTTP's ``Retry-After``); 0 where it doesn't.
    """

    reason: str = "Error"
    stalls: bool = False
    first_delay: float = 1.0
    longest_delay: float = 60.0
    retry_after: float = 0.0


class AirflowError(OperatorError):
    """Airflow answered with an error, or not at all.

    Attributes:
        outcome_unknown: What was wanted may be so all the same, or may still come to be: a request was sent and its answer is missing, or it took
            effect and what was asked afterwards failed.
    """

    reason = "AirflowError"
    outcome_unknown: bool = False


class AirflowUnavailable(AirflowError):
    """Airflow is out of reach: no answer, a server error, or an answer that is not Airflow's.

    Attributes:
        of_one_request: Airflow failed at this request (500), and other requests may be answered: what fails may be somebody's DAG.
    """

    reason = "AirflowUnavailable"
    longest_delay = 15.0

    def __init__(
        self, message: str, *, outcome_unknown: bool = False, retry_after: float = 0.0, of_one_request: bool = False
    ) -> None:
        super().__init__(message)
        self.outcome_unknown = outcome_unknown
        self.retry_after = retry_after
        self.of_one_request = of_one_request


class AirflowUnreadable(AirflowUnavailable):
    """The answer is JSON, and not what Airflow answers to the request; or it is too large.

    Whether Airflow is in reach does not follow: the next request may be answered as it should be.
    """


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
    """Airflow knows no such DAG, not yet or not any more.

    Attributes:
        similar: DAGs that Airflow knows under ids like this one, the most similar first. Whether a tenant may hear of them is for others to say.
    """

    reason = "DagNotFound"
    first_delay = 2.0
    longest_delay = 30.0

    def __init__(self, message: str, similar: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.similar = similar


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


class SubmissionRefused(AirflowError):
    """Airflow takes no such run, whatever its conf: the DAG allows scheduled runs only, or a setting allows no such run id."""

    reason = "SubmissionRefused"
    first_delay = 30.0
    longest_delay = 180.0


class LogicalDateTaken(AirflowError):
    """The DAG has another run of this logical date, and Airflow allows one."""

    reason = "LogicalDateTaken"
    first_delay = 30.0
    longest_delay = 180.0


class ValidationFailed(AirflowError):
    """Airflow refused the run: its conf does not fit the DAG's params."""

    reason = "ValidationFailed"
    stalls = True
    first_delay = 60.0
    longest_delay = 180.0


class ReferenceMissing(OperatorError):
    """What ``spec.confFrom`` names is not there, may not be read, or does not hold what it should."""

    reason = "ReferenceMissing"
    first_delay = 2.0
    longest_delay = 30.0


class SecretUnlabelled(ReferenceMissing):
    """A Secret that is named in credentials lacks the label that says that it is for Airflow."""


class StoreError(OperatorError):
    """The Kubernetes API answered with an error, or not at all."""

    reason = "KubernetesError"
    first_delay = 0.2
    longest_delay = 10.0


class StoreUnavailable(StoreError):
    """No answer, a server error, or too many requests."""


class Refused(StoreError):
    """What was to be written is invalid for the Kubernetes API: the same again will be refused again."""

    first_delay = 1.0
    longest_delay = 60.0


class Conflict(StoreError):
    """The object has changed since it was read."""


class Gone(StoreError):
    """The object is not there any more, or another one has its name; or its namespace is being deleted, and takes no new object."""


TRIED_AGAIN = (
    "The operator tries again every few minutes, and at once when the spec or what spec.confFrom names changes."
)
"""How a run that was refused for its conf goes on."""


class CannotStart(Exception):
    """The operator can't start, and waiting would not help; the message says what to change.

    Attributes:
        code: The process's exit code: 2 where the settings are wrong, 1 for anything else.
    """

    def __init__(self, message: str, *, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def backoff(error: OperatorError, failures: int, jitter: Callable[[], float] = random.random) -> float:
    """Seconds to wait after the ``failures``-th failure in a row.

    Args:
        error: The last one.
        failures: How many there were.
        jitter: Gives numbers from 0 to 1. The delay is up to ``SPREAD`` shorter than it would be without, and what the other side asked
            for up to ``SPREAD`` longer.
    """
    varied = SPREAD * jitter()
    delay = min(error.longest_delay, error.first_delay * 2 ** min(failures - 1, 16))
    return float(max(delay * (1 - varied), error.retry_after * (1 + varied)))
