"""The operator's errors. Adapters turn the failures of other libraries into these classes.

The tree shows what the operator does after each error. "Slowly" means that the longest delay before
a retry is one or three minutes::

    OperatorError
    ├── AirflowError
    │   ├── AirflowUnavailable      retries
    │   │   └── AirflowUnreadable   retries
    │   │       └── AirflowListTooLong  requests each run by itself, or omits a relist
    │   ├── AirflowUnauthorized     retries slowly: the credentials may be rotated
    │   ├── AirflowForbidden        retries slowly: the permission may be added
    │   ├── AirflowUnsupported      retries slowly: the Airflow may be upgraded
    │   ├── AirflowInstanceNotFound retries: the AirflowInstance may be created again
    │   ├── AirflowInstanceNotReady retries
    │   │   └── InvalidCredentials  retries
    │   ├── DagNotFound             retries: the DAG may be deployed after the MLJob
    │   ├── DagImportError          retries: the DAG may be fixed
    │   ├── DagRefused              cancels the run through Airflow's REST API, without a DAG
    │   ├── BackfillActive          retries: the other backfill may end
    │   ├── NothingToClear          submits a new run instead of clearing the failed run
    │   ├── SubmissionRefused       retries slowly: the DAG or Airflow's settings may be changed
    │   ├── LogicalDateTaken        retries slowly: the other run may be deleted
    │   └── ValidationFailed        sets the MLJob to Stalled, and retries slowly: the DAG may be
    │                               changed instead of the spec
    ├── ReferenceMissing            retries
    │   └── SecretUnlabelled        retries
    ├── KafkaUnavailable            only in mljob-api: the client of mljob-api asks again
    │   └── TooManyReaders          only in mljob-api: the client of mljob-api asks again
    └── StoreError
        ├── StoreUnavailable        retries
        ├── Refused                 reads the run again and writes another status, with growing
        │                           pauses
        ├── StoreForbidden          retries
        ├── FieldsDropped           retries slowly
        ├── FinalizerOverridden     retries slowly
        ├── NotLeading              changes nothing
        ├── Conflict                reads the object again and decides again at once
        └── Gone                    stops work on the MLJob

``CannotStart`` is outside of the tree, because it ends the process.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

SPREAD = 0.2
"""The random share of a delay, as a fraction of the delay. With this share, requests that failed at
the same time are retried at different times.
"""


class OperatorError(Exception):
    """The base class of the operator's errors.

    Attributes:
        reason: The reason in conditions and Events: one CamelCase word.
        stalls: Whether the failed request can succeed only after a user has changed the conf, the
            spec or the DAG.
        first_delay: The time before the first retry, in seconds. Each further retry doubles the
            delay.
        longest_delay: The longest delay, in seconds. A longer ``retry_after`` takes precedence.
        retry_after: The value of the HTTP header ``Retry-After``, in seconds. 0 if the server sent
            no such header.
    """

    reason: str = "Error"
    stalls: bool = False
    first_delay: float = 1.0
    longest_delay: float = 60.0
    retry_after: float = 0.0


class AirflowError(OperatorError):
    """An operation on an Airflow failed.

    Attributes:
        outcome_unknown: Whether the operation may have taken effect, or may still take effect. For
            example, no answer came before the timeout, or the operation succeeded and the operator
            could not read the result.
    """

    reason = "AirflowError"
    outcome_unknown: bool = False


class AirflowUnavailable(AirflowError):
    """Airflow gives no answer, or the answer is a server error, 429 (too many requests), or does
    not come from Airflow. After several such failures in a row, the operator sends no requests to
    this Airflow for some seconds, and raises this error instead.

    Attributes:
        of_one_request: Whether the cause may be this request alone, so that Airflow may answer
            other requests. For example, Airflow answers 500 because of the DAG in the request.
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
    """The content of an answer can't be used, for example because it is too large. The answer comes
    from Airflow or from a token endpoint. This error is not one of the failures after which the
    operator sends no requests to Airflow for some seconds (see :class:`AirflowUnavailable`).
    """


class AirflowListTooLong(AirflowUnreadable):
    """A list has too many pages, or reading all pages takes too long."""


def after_effect() -> AbstractContextManager[None]:
    """A context manager for a request after an operation that has taken effect, for example to read
    a run after its submission.

    Raises:
        AirflowError: The error of the request, with ``outcome_unknown`` set to True.
    """
    return _set_outcome_unknown(True)


def before_effect() -> AbstractContextManager[None]:
    """A context manager for a request before an operation takes effect, for example to read a run
    that may have to be cleared.

    Raises:
        AirflowError: The error of the request, with ``outcome_unknown`` set to False.
    """
    return _set_outcome_unknown(False)


@contextmanager
def _set_outcome_unknown(outcome_unknown: bool) -> Iterator[None]:
    try:
        yield
    except AirflowError as error:
        error.outcome_unknown = outcome_unknown
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
    """The Airflow is too old for the operator or for a feature of the operator, or the version that
    the Airflow reports is not a version number.
    """

    reason = "AirflowUnsupported"
    first_delay = 5.0


class AirflowInstanceNotFound(AirflowError):
    """The AirflowInstance of the run does not exist."""

    reason = "AirflowInstanceNotFound"
    first_delay = 2.0
    longest_delay = 30.0


class AirflowInstanceNotReady(AirflowError):
    """The AirflowInstance exists but can't be used, for example because its Secret is missing. Or
    the run is in the Airflow of the operator's settings, and the settings no longer name an
    Airflow.
    """

    reason = "AirflowInstanceNotReady"
    first_delay = 2.0
    longest_delay = 30.0


class InvalidCredentials(AirflowInstanceNotReady):
    """A token or a header in a Secret of the AirflowInstance can't be sent to Airflow. Or the
    AirflowInstance names a token file, and the operator has no folder of token files.
    """


class DagNotFound(AirflowError):
    """Airflow does not have the DAG.

    Attributes:
        similar: DAG ids in Airflow that are similar to the missing DAG's id, the most similar
            first. The caller must filter these ids by the access rules before a tenant sees them.
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
    """Airflow can't trigger the cancellation DAG, for example because this DAG is missing, broken
    or paused. The cancellation DAG ends runs of other DAGs. The setting ``MLJOB_CANCEL_DAG_ID``
    names the cancellation DAG.
    """

    reason = "DagRefused"


class BackfillActive(AirflowError):
    """Another backfill of the DAG is in progress. Airflow allows one backfill per DAG at a time."""

    reason = "BackfillActive"
    first_delay = 2.0
    longest_delay = 30.0


class NothingToClear(AirflowError):
    """A request to clear the failed tasks of a run changed nothing, because no task has failed."""

    reason = "NothingToClear"


class SubmissionRefused(AirflowError):
    """Airflow refuses the run for a reason other than the conf. Either the DAG allows no manual
    runs (``allowed_run_types``), or Airflow's ``allowed_run_id_pattern`` forbids the run id.
    """

    reason = "SubmissionRefused"
    first_delay = 30.0
    longest_delay = 180.0


class LogicalDateTaken(AirflowError):
    """The DAG has another run with this logical date. Airflow allows one run per logical date."""

    reason = "LogicalDateTaken"
    first_delay = 30.0
    longest_delay = 180.0


class ValidationFailed(AirflowError):
    """Airflow or the operator refused the run, for example because the conf does not fit the DAG's
    params.
    """

    reason = "ValidationFailed"
    stalls = True
    first_delay = 60.0
    longest_delay = 180.0


class ReferenceMissing(OperatorError):
    """A ConfigMap or Secret of ``spec.confFrom``, or a Secret with credentials for Airflow, can't
    be read, does not exist, lacks a key or has invalid data.
    """

    reason = "ReferenceMissing"
    first_delay = 2.0
    longest_delay = 30.0


class SecretUnlabelled(ReferenceMissing):
    """A Secret with credentials for Airflow lacks the label ``mljob.dev/airflow-credentials``. The
    operator uses only Secrets with this label for Airflow.
    """


class KafkaUnavailable(OperatorError):
    """The events of a run can't be read from Kafka, for example because no broker answers."""

    reason = "KafkaUnavailable"


class TooManyReaders(KafkaUnavailable):
    """mljob-api opens no further reader of events, because the number of open readers is at the
    maximum (the setting ``MLJOB_API_EVENT_READERS``).
    """


class StoreError(OperatorError):
    """A request to the Kubernetes API failed or was not sent."""

    reason = "KubernetesError"
    first_delay = 0.2
    longest_delay = 10.0


class StoreUnavailable(StoreError):
    """The Kubernetes API did not answer. Or the answer was a server error, 429 (too many requests),
    or unreadable.
    """

    def __init__(self, message: str, *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Refused(StoreError):
    """The Kubernetes API refused the written object as invalid. A retry with the same object would
    fail too.
    """

    first_delay = 1.0
    longest_delay = 60.0


class StoreForbidden(StoreError):
    """The operator lacks the permission for a request to the Kubernetes API (403)."""


class FieldsDropped(StoreError):
    """The Kubernetes API stored an object without some of its fields, because the CRD lacks these
    fields.
    """

    first_delay = 1.0
    longest_delay = 60.0


class FinalizerOverridden(StoreError):
    """The operator has added or removed its finalizer, and the Kubernetes API stored the MLJob as if
    the operator had not. The cause is something that changes the update, such as an admission
    webhook.

    Args:
        finalizer: The operator's finalizer.
        present: Whether the operator has added the finalizer.
    """

    first_delay = 1.0
    longest_delay = 60.0

    def __init__(self, finalizer: str, *, present: bool) -> None:
        done, undone = ("adds", "removes") if present else ("removes", "adds")
        super().__init__(
            f"the operator {done} its finalizer {finalizer}, and something {undone} the finalizer in the same update, "
            "for example an admission webhook or an admission policy. Change the webhook or policy so that updates "
            "of MLJobs leave metadata.finalizers as they are"
        )


class NotLeading(StoreError):
    """The request was not sent, because only the leader may write. This process is not the leader
    any more, has not begun its work as the leader, or only reads.
    """


class Conflict(StoreError):
    """The object has changed since the operator read the object, or another process was the first
    to create the object.
    """


class Gone(StoreError):
    """The object does not exist any more, another object has its name, or its namespace is being
    deleted.
    """


TRIED_AGAIN = (
    "The operator tries again every few minutes, and at once when the spec or an object of spec.confFrom changes."
)
"""The last sentence of each message about a refused conf. The sentence says when the operator
submits the run again.
"""


class CannotStart(Exception):
    """The process can't start, and a retry would not help. The message says what to change.

    Attributes:
        code: The exit code of the process: 2 if a setting can't be used, for example because its
            port is taken. 1 for any other cause.
    """

    def __init__(self, message: str, *, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


def backoff(error: OperatorError, failures: int, jitter: Callable[[], float] = random.random) -> float:
    """Return the delay before the next retry, in seconds.

    The delay grows with the number of failures (see :class:`OperatorError`), is shortened by a
    random share of up to ``SPREAD`` (20%), and is never shorter than the server's ``retry_after``.

    Args:
        error: The last error.
        failures: The number of failures in a row, from 1.
        jitter: A function that returns random numbers from 0 to 1.
    """
    varied = SPREAD * jitter()
    delay = min(error.longest_delay, error.first_delay * 2 ** min(failures - 1, 16))
    return float(max(delay * (1 - varied), error.retry_after * (1 + varied)))
