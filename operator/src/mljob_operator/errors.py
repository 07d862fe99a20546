"""The operator's errors. Each class has a CamelCase reason for conditions and Events, and a retry
policy.

::

    OperatorError
    ├── AirflowError
    │   ├── AirflowUnavailable      no answer, a server error, or an answer that is not Airflow's:
    │   │   │                       retried
    │   │   └── AirflowUnreadable   an answer came, but its content can't be used or is too large:
    │   │                           retried
    │   ├── AirflowUnauthorized     the credentials are wrong: retried slowly, they may be rotated
    │   ├── AirflowForbidden        the credentials lack a permission: retried slowly
    │   ├── AirflowUnsupported      the Airflow is too old: retried slowly, it may be upgraded
    │   ├── AirflowInstanceNotFound the run's AirflowInstance does not exist: retried, it may be
    │   │                           created again
    │   ├── AirflowInstanceNotReady the AirflowInstance can't be used, for example because its
    │   │   │                       Secret is missing: retried
    │   │   └── InvalidCredentials  the credentials can't be sent to Airflow: retried
    │   ├── DagNotFound             retried: the DAG may be deployed after the MLJob
    │   ├── DagImportError          retried: the DAG may be fixed
    │   ├── DagRefused              the cancellation DAG can't be triggered, for example because it is
    │   │                           paused: the run is cancelled through Airflow's REST API
    │   ├── BackfillActive          the DAG has another backfill, and Airflow allows one: retried
    │   ├── NothingToClear          a failed run has no failed task: the retry needs a new run
    │   ├── SubmissionRefused       a setting of Airflow or of the DAG forbids the run: retried
    │   │                           slowly, the setting may be changed
    │   ├── LogicalDateTaken        the DAG has another run of this logical date: retried slowly,
    │   │                           that run may be deleted
    │   └── ValidationFailed        Airflow or the operator refused the run, for example its conf:
    │                               the MLJob is Stalled. The run is retried slowly, because the DAG
    │                               may be changed instead of the spec
    ├── ReferenceMissing            a ConfigMap or Secret does not exist or can't be read: retried
    │   └── SecretUnlabelled        a Secret lacks the label for Airflow's credentials: retried
    ├── KafkaUnavailable            mljob-api, which shows the events of runs, can't read them: its
    │   │                           client asks again
    │   └── TooManyReaders          as many readers of events are open as the settings allow
    └── StoreError
        ├── StoreUnavailable        the Kubernetes API gives no answer: retried
        ├── Refused                 the Kubernetes API refuses the written object as invalid: the
        │                           operator asks Airflow again and writes another status, with
        │                           growing pauses
        ├── StoreForbidden          the operator lacks a permission in Kubernetes: retried
        ├── FieldsDropped           the CRD lacks fields of the written object: retried slowly
        ├── NotLeading              this process is not the leader, or not any more: it changes
        │                           nothing
        ├── Conflict                another client wrote first: read and decide again at once
        └── Gone                    the object does not exist any more: nothing left to do

Adapters turn the failures that other libraries report into these classes, so that the rest of the
operator handles only these classes. ``CannotStart`` is outside of the tree, because it ends the
process.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

SPREAD = 0.2
"""The random share of a delay, as a fraction of the delay. With this share, requests that failed at
the same time are retried at different times.
"""


class OperatorError(Exception):
    """The base class of all errors of the operator.

    Attributes:
        reason: The reason in conditions and Events: one CamelCase word.
        stalls: Whether the failed request can succeed only after a user has changed the conf, the
            spec or the DAG.
        first_delay: The time before the first retry, in seconds. Each further retry doubles the
            delay.
        longest_delay: The longest delay, in seconds. A longer ``retry_after`` takes precedence.
        retry_after: How many seconds the server asks the client to wait (``Retry-After`` of HTTP).
            0 if the server does not ask for a pause.
    """

    reason: str = "Error"
    stalls: bool = False
    first_delay: float = 1.0
    longest_delay: float = 60.0
    retry_after: float = 0.0


class AirflowError(OperatorError):
    """An operation on an Airflow failed: Airflow answered with an error or did not answer, or the
    Airflow can't be used.

    Attributes:
        outcome_unknown: Whether the request may have taken effect, or may still take effect. True
            in two cases. First, the request was sent, and no answer says whether the request
            succeeded, for example after a timeout or a server error. Second, the request took
            effect, and a second request, which followed the first request, failed
            (:func:`after_effect`).
    """

    reason = "AirflowError"
    outcome_unknown: bool = False


class AirflowUnavailable(AirflowError):
    """Airflow is out of reach or too busy: there is no answer, a server error, 429 (too many
    requests), or an answer that does not come from Airflow. After several such failures in a row,
    the operator sends no requests for some seconds, and raises this error instead.

    Attributes:
        of_one_request: Whether this request alone may have caused the error, so that Airflow may
            answer other requests. For example, Airflow answers 500 because of the DAG in the
            request, or Airflow has not sent a whole log in time.
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
    """Airflow or a token endpoint has answered, but the content of the answer can't be used: the
    content is not what the request asks for, or is too large.

    The error does not count as a sign that Airflow is out of reach.
    """


@contextmanager
def after_effect() -> Iterator[None]:
    """A context manager for a request that is sent after another request has taken effect, for
    example to read the run that was submitted. If the second request fails, the effect of the first
    request stays.

    Raises:
        AirflowError: The error of the second request, with ``outcome_unknown`` set.
    """
    try:
        yield
    except AirflowError as error:
        error.outcome_unknown = True
        raise


class AirflowUnauthorized(AirflowError):
    """The credentials are wrong, or can't be used."""

    reason = "AirflowUnauthorized"
    first_delay = 5.0


class AirflowForbidden(AirflowError):
    """The credentials are valid, but lack the permission for this request."""

    reason = "AirflowForbidden"
    first_delay = 5.0


class AirflowUnsupported(AirflowError):
    """The Airflow is too old for the operator, or for one of the operator's features."""

    reason = "AirflowUnsupported"
    first_delay = 5.0


class AirflowInstanceNotFound(AirflowError):
    """The AirflowInstance of the run's Airflow does not exist at the moment."""

    reason = "AirflowInstanceNotFound"
    first_delay = 2.0
    longest_delay = 30.0


class AirflowInstanceNotReady(AirflowError):
    """The AirflowInstance exists but can't be used, for example because its Secret is missing. Or
    the run is in the Airflow of the operator's settings, and the settings name no Airflow any more.
    """

    reason = "AirflowInstanceNotReady"
    first_delay = 2.0
    longest_delay = 30.0


class InvalidCredentials(AirflowInstanceNotReady):
    """Credentials can't be used. Either a value in the credentials' Secret can't be sent to
    Airflow, or the credentials need a token file and the operator has no folder of token files.
    """


class DagNotFound(AirflowError):
    """Airflow has no such DAG at the moment.

    Attributes:
        similar: The ids of similar DAGs in Airflow, the most similar first. The caller must filter
            the ids by the access rules before a tenant sees them.
    """

    reason = "DagNotFound"
    first_delay = 2.0
    longest_delay = 30.0

    def __init__(self, message: str, similar: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.similar = similar


class DagImportError(AirflowError):
    """Airflow can't import the DAG's file."""

    reason = "DagImportError"
    first_delay = 2.0
    longest_delay = 30.0


class DagRefused(AirflowError):
    """The cancellation DAG can't be triggered at the moment. For example, the cancellation DAG is
    missing, broken or paused. The operator triggers the cancellation DAG to cancel runs.
    """

    reason = "DagRefused"


class BackfillActive(AirflowError):
    """Another backfill of the DAG is in progress: Airflow allows one backfill per DAG at a time."""

    reason = "BackfillActive"
    first_delay = 2.0
    longest_delay = 30.0


class NothingToClear(AirflowError):
    """Clearing the run would repeat no task, because the run has no failed task."""

    reason = "NothingToClear"


class SubmissionRefused(AirflowError):
    """Airflow refuses the run, whatever its conf is.

    Either the DAG allows no manual runs (``allowed_run_types``), or Airflow's
    ``allowed_run_id_pattern`` forbids the run id.
    """

    reason = "SubmissionRefused"
    first_delay = 30.0
    longest_delay = 180.0


class LogicalDateTaken(AirflowError):
    """The DAG has another run of this logical date: Airflow allows one run per logical date."""

    reason = "LogicalDateTaken"
    first_delay = 30.0
    longest_delay = 180.0


class ValidationFailed(AirflowError):
    """Airflow or the operator refused the run, for example because its conf does not fit the DAG's
    params.
    """

    reason = "ValidationFailed"
    stalls = True
    first_delay = 60.0
    longest_delay = 180.0


class ReferenceMissing(OperatorError):
    """An object does not exist, can't be read or has invalid data. The object is a ConfigMap or a
    Secret in ``spec.confFrom``, or a Secret with credentials for Airflow.
    """

    reason = "ReferenceMissing"
    first_delay = 2.0
    longest_delay = 30.0


class SecretUnlabelled(ReferenceMissing):
    """A Secret with credentials for Airflow lacks the label ``mljob.dev/airflow-credentials``.
    Without the label, the operator never sends the Secret to an Airflow.
    """


class KafkaUnavailable(OperatorError):
    """The events of a run can't be read from Kafka, for example because no broker answers."""

    reason = "KafkaUnavailable"


class TooManyReaders(KafkaUnavailable):
    """No further reader of events can be opened, because as many are open as the settings allow."""


class StoreError(OperatorError):
    """The Kubernetes API answered with an error, or did not answer."""

    reason = "KubernetesError"
    first_delay = 0.2
    longest_delay = 10.0


class StoreUnavailable(StoreError):
    """The Kubernetes API did not answer, or answered with a server error, with 429 (too many
    requests), or with something that the operator can't read.
    """

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Refused(StoreError):
    """The Kubernetes API refused the written object as invalid, and would refuse it again."""

    first_delay = 1.0
    longest_delay = 60.0


class StoreForbidden(StoreError):
    """The operator lacks the permission for a request to the Kubernetes API (403)."""


class FieldsDropped(StoreError):
    """The Kubernetes API stored the written object without some of the object's fields, because the
    CRD of the object lacks these fields.
    """

    first_delay = 1.0
    longest_delay = 60.0


class NotLeading(StoreError):
    """The process is not the leader, or may not be the leader any more. The request of the process
    was not sent.
    """


class Conflict(StoreError):
    """The object has changed since it was read, or another process has created it first."""


class Gone(StoreError):
    """The object does not exist any more, or another object has its name.

    The error is also raised if the object's namespace is being deleted and accepts no new objects.
    """


TRIED_AGAIN = (
    "The operator tries again every few minutes, and at once when the spec or an object of spec.confFrom changes."
)
"""The last sentence of each message about a refused conf. The sentence says when the operator
submits the run again.
"""


class CannotStart(Exception):
    """The process can't start, and waiting would not help. The message says what to change.

    Attributes:
        code: The exit code of the process: 2 if the settings are wrong, 1 for any other cause.
    """

    def __init__(self, message: str, *, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def backoff(error: OperatorError, failures: int, jitter: Callable[[], float] = random.random) -> float:
    """Return how many seconds the caller should wait before the caller tries again.

    The result is the longer of two times. The first time is the delay that the error's class has
    for this number of failures, shortened by a random share of up to ``SPREAD``. The second time is
    the server's ``retry_after``, lengthened by the same share.

    Args:
        error: The last error.
        failures: The number of failures in a row, from 1.
        jitter: A function that returns random numbers from 0 to 1.
    """
    varied = SPREAD * jitter()
    delay = min(error.longest_delay, error.first_delay * 2 ** min(failures - 1, 16))
    return float(max(delay * (1 - varied), error.retry_after * (1 + varied)))
