"""The MLJob resource, ``mljob.dev/v1alpha1``. ``make generate`` writes the CRD from these models.

``kubectl explain`` shows a field's docstring, and the Kubernetes API server enforces the field's
limits. A docstring says what the field is, its unit, its default, its limits and its effects. The
operator acts on every field of the spec.

Sources: the Kubernetes API conventions for spec, status and conditions; batch/v1 Job for the fields
and conditions that a Job has too; kstatus (sigs.k8s.io/cli-utils) for the conditions Reconciling
and Stalled.
"""

from __future__ import annotations

from .kind import FINALIZER, FINISHED, KIND, MAX_RETRY_REQUEST, PLURAL, RETRY_REQUESTED_AT, UNOBSERVED
from .spec import (
    MAX_CONF_BYTES,
    MAX_CONF_LEVELS,
    MAX_UPSTREAMS,
    AirflowReference,
    BackfillSpec,
    Cancellation,
    CancellationStrategy,
    ChildRuns,
    ConfSource,
    DeletionPolicy,
    MLJobSpec,
    OutputSource,
    OutputsReference,
    Reference,
    ReprocessBehavior,
    RetryStrategy,
    RunPolicy,
)
from .status import (
    MAX_ERROR_LENGTH,
    MAX_FAILED_RUNS,
    MAX_HISTORY,
    MAX_TASKS,
    AttemptStatus,
    BackfillRuns,
    BackfillRunStatus,
    BackfillStatus,
    Condition,
    ConditionStatus,
    InputRequest,
    MappedTasks,
    MLJobStatus,
    Phase,
    StatusSource,
    TaskCounts,
    TaskErrorStatus,
    TaskStatus,
    UpstreamRun,
)

__all__ = [
    "FINALIZER",
    "FINISHED",
    "KIND",
    "MAX_CONF_BYTES",
    "MAX_CONF_LEVELS",
    "MAX_ERROR_LENGTH",
    "MAX_FAILED_RUNS",
    "MAX_HISTORY",
    "MAX_RETRY_REQUEST",
    "MAX_TASKS",
    "MAX_UPSTREAMS",
    "PLURAL",
    "RETRY_REQUESTED_AT",
    "UNOBSERVED",
    "AirflowReference",
    "AttemptStatus",
    "BackfillRunStatus",
    "BackfillRuns",
    "BackfillSpec",
    "BackfillStatus",
    "Cancellation",
    "CancellationStrategy",
    "ChildRuns",
    "Condition",
    "ConditionStatus",
    "ConfSource",
    "DeletionPolicy",
    "InputRequest",
    "MLJobSpec",
    "MLJobStatus",
    "MappedTasks",
    "OutputSource",
    "OutputsReference",
    "Phase",
    "Reference",
    "ReprocessBehavior",
    "RetryStrategy",
    "RunPolicy",
    "StatusSource",
    "TaskCounts",
    "TaskErrorStatus",
    "TaskStatus",
    "UpstreamRun",
]
