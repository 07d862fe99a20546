"""The CRD of MLJob: its columns in ``kubectl get``, its validation rules, and the merge strategy of
its lists in server-side apply.
"""

from __future__ import annotations

from mljob_contract import mljob
from mljob_contract.run_id import MAX_NAME_LENGTH
from mljob_contract.times import FIRST_YEAR, LAST_YEAR

from .definition import Columns, Resource, Rules, keyed
from .structural import model_schema, without_defaults

# A row shows the DAG of the spec next to the state of the run. "Run DAG" and "Spec Applied" tell
# users that an edit of the spec had no effect on this run.
COLUMNS: Columns = [
    ("DAG", ".spec.dagId", "string", 0),
    ("Phase", ".status.phase", "string", 0),
    ("Reason", ".status.reason", "string", 0),
    ("Progress", ".status.progress", "string", 0),
    ("Task", ".status.currentTask", "string", 0),
    ("Attempts", ".status.attempts", "integer", 0),
    ("Age", ".metadata.creationTimestamp", "date", 0),
    ("Percent", ".status.percent", "integer", 1),
    ("Run DAG", ".status.dagId", "string", 1),
    ("Run ID", ".status.dagRunId", "string", 1),
    ("Started", ".status.startTime", "date", 1),
    ("Finished", ".status.completionTime", "date", 1),
    ("Airflow", ".status.airflowInstance", "string", 1),
    ("Type", ".spec.type", "string", 1),
    ("Spec Applied", ".status.conditions[?(@.type=='SpecApplied')].status", "string", 1),
]
SELECTABLE = (".spec.type", ".spec.dagId", ".status.phase")
"""The fields that ``kubectl get --field-selector`` can select by. Kubernetes 1.30 ignores this part
of a CRD unless the feature gate ``CustomResourceFieldSelectors`` is on. Older versions do not know
this part.
"""

SPEC_RULES: Rules = [
    {
        "rule": "self.dagId != '.' && self.dagId != '..'",
        "message": "dagId must not be . or ..: such an id can't be part of a URL of Airflow's REST API",
        "fieldPath": ".dagId",
    },
    {
        "rule": "!self.cancel || !self.suspend",
        "message": "cancel and suspend can't both be true: cancel ends the MLJob for good, a suspended MLJob can be resumed. Set one of them",
        "fieldPath": ".cancel",
    },
    {
        "rule": "!oldSelf.cancel || self.cancel",
        "message": "cancel can't be set back to false: the MLJob is cancelled for good. To run it again, create an MLJob with another name",
        "fieldPath": ".cancel",
    },
    {
        "rule": "!has(self.preRunningDeadlineSeconds) || !has(self.activeDeadlineSeconds)"
        " || self.preRunningDeadlineSeconds <= self.activeDeadlineSeconds",
        "message": "preRunningDeadlineSeconds must not exceed activeDeadlineSeconds, which would always end the MLJob first",
        "fieldPath": ".preRunningDeadlineSeconds",
    },
    {
        "rule": "self.type != 'Backfill' || has(self.backfill)",
        "message": "type Backfill requires spec.backfill: its from and to give the dates to run",
        "fieldPath": ".type",
    },
    {
        "rule": "self.type == 'Backfill' || !has(self.backfill)",
        "message": "backfill is allowed with type Backfill only: set type to Backfill, or remove backfill",
        "fieldPath": ".backfill",
    },
    {
        "rule": "(self.type == 'Backfill') == (oldSelf.type == 'Backfill')",
        "message": "type can't change to or from Backfill: the MLJob may already have started a run or a backfill. Create an MLJob with another name",
        "fieldPath": ".type",
    },
    {
        "rule": "self.type != 'Backfill' || !has(self.logicalDate)",
        "message": "logicalDate is not allowed with type Backfill, whose runs get the dates from backfill.from to backfill.to: remove logicalDate",
        "fieldPath": ".logicalDate",
    },
    {
        "rule": "!has(self.logicalDate) || self.retryStrategy != 'NewRun'",
        "message": "retryStrategy NewRun is not allowed with logicalDate: Airflow allows one run of a DAG per logical date. Use ClearFailed, the default",
        "fieldPath": ".retryStrategy",
    },
    {
        "rule": f"!has(self.logicalDate) || (self.logicalDate >= timestamp('{FIRST_YEAR}-01-02T00:00:00Z') && self.logicalDate < timestamp('{LAST_YEAR}-12-31T00:00:00Z'))",
        "message": f"logicalDate must be in the years {FIRST_YEAR} to {LAST_YEAR}, such as 2026-01-01T00:00:00Z",
        "fieldPath": ".logicalDate",
    },
    {
        "rule": "self.type != 'Backfill' || self.retryStrategy != 'NewRun'",
        "message": "retryStrategy NewRun is not allowed with type Backfill: a retry runs only the failed runs again. Use ClearFailed, the default",
        "fieldPath": ".retryStrategy",
    },
    {
        "rule": "self.type != 'Backfill' || !has(self.outputs) || self.outputs.size() == 0",
        "message": "outputs is not allowed with type Backfill: each run has its own outputs in Airflow. Remove outputs",
        "fieldPath": ".outputs",
    },
]
CONF_FROM_RULES: Rules = [
    {
        "rule": f"self.filter(x, has(x.outputsRef)).size() <= {mljob.MAX_UPSTREAMS}",
        "message": f"confFrom must have at most {mljob.MAX_UPSTREAMS} entries with outputsRef",
    },
]
BACKFILL_RULES: Rules = [
    {
        "rule": "self.from <= self.to",
        "message": "backfill.from must not be after backfill.to: the range would be empty",
        "fieldPath": ".from",
    },
    *(
        {
            "rule": f"self.{end} >= timestamp('{FIRST_YEAR}-01-02T00:00:00Z') && self.{end} < timestamp('{LAST_YEAR}-12-31T00:00:00Z')",
            "message": f"backfill.{end} must be in the years {FIRST_YEAR} to {LAST_YEAR}",
            "fieldPath": f".{end}",
        }
        for end in ("from", "to")
    ),
]
SOURCE_RULES: Rules = [
    {
        "rule": "[has(self.configMapRef), has(self.secretRef), has(self.outputsRef)].filter(x, x).size() == 1",
        "message": "each entry of confFrom must set exactly one of configMapRef, secretRef and outputsRef",
    },
]
OUTPUT_RULES: Rules = [
    {
        "rule": "self.taskId != '.' && self.taskId != '..'",
        "message": "taskId must not be . or ..: such an id can't be part of a URL of Airflow's REST API",
        "fieldPath": ".taskId",
    },
]
NAME_RULE = {
    "rule": f"self.metadata.name.size() <= {MAX_NAME_LENGTH}",
    "message": f"metadata.name must have at most {MAX_NAME_LENGTH} characters: it is part of the dag run id, which Airflow limits to 250 characters",
}

OWN_OUTPUTS_RULE = {
    "rule": "!has(self.spec.confFrom) || self.spec.confFrom.all(x, !has(x.outputsRef) || x.outputsRef.name != self.metadata.name)",
    "message": "outputsRef must name another MLJob: an MLJob can't wait for its own outputs",
    "fieldPath": ".spec.confFrom",
}


def mljobs() -> Resource:
    """Return the CRD of MLJob as a :class:`~crds.definition.Resource`, which makes the manifest."""
    spec = model_schema(mljob.MLJobSpec)
    spec["x-kubernetes-validations"] = SPEC_RULES
    spec["properties"]["backfill"]["x-kubernetes-validations"] = BACKFILL_RULES
    sources, outputs = spec["properties"]["confFrom"], spec["properties"]["outputs"]
    sources["x-kubernetes-validations"] = CONF_FROM_RULES
    sources["items"]["x-kubernetes-validations"] = SOURCE_RULES
    sources["items"]["properties"]["outputsRef"]["properties"]["keys"]["x-kubernetes-list-type"] = "set"
    outputs["items"]["x-kubernetes-validations"] = OUTPUT_RULES
    # The order of confFrom matters, so the list is atomic: a field manager owns the whole list. The
    # entries of outputs have names, so field managers can own single entries.
    sources["x-kubernetes-list-type"] = "atomic"
    outputs["x-kubernetes-list-type"] = "map"
    outputs["x-kubernetes-list-map-keys"] = ["name"]
    # Without this default, the API server would not set the defaults of the nested fields if
    # spec.cancellation is absent.
    spec["properties"]["cancellation"]["default"] = {}
    status = without_defaults(model_schema(mljob.MLJobStatus))
    status["default"] = mljob.UNOBSERVED
    properties = status["properties"]
    properties["tasks"]["maxItems"] = mljob.MAX_TASKS
    properties["history"]["maxItems"] = mljob.MAX_HISTORY
    properties["upstreams"]["maxItems"] = mljob.MAX_UPSTREAMS
    failed_runs = properties["backfill"]["properties"]["failedRuns"]
    failed_runs["maxItems"] = mljob.MAX_FAILED_RUNS
    # Only the operator writes these lists, and always whole. For a list with keys, the API server
    # would record the owner of each field of each entry, which takes as much room as the entries.
    for written_whole in (failed_runs, properties["tasks"], properties["history"], properties["upstreams"]):
        written_whole["x-kubernetes-list-type"] = "atomic"
    keyed(properties, {"conditions": ["type"]})
    return Resource(
        mljob.KIND,
        mljob.PLURAL,
        "mlj",
        "Namespaced",
        "MLJob runs an Airflow DAG once, or for a range of dates with type Backfill. The status shows the progress, the outputs and why a run failed.",
        COLUMNS,
        spec,
        status,
        [NAME_RULE, OWN_OUTPUTS_RULE],
        SELECTABLE,
    )
