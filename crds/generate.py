"""Writes the CRDs from the models in ``mljob_contract`` (``make generate``). With ``--check``
(``make verify``) the command fails if a CRD differs from its models.

A CRD needs a structural schema (kubernetes.io: "Specifying a structural schema"). Such a schema has
a type on every level, and no ``$ref``. This module converts pydantic's JSON schema to a structural
schema, and leaves out ``anyOf [X, null]`` and ``title``.
"""

from __future__ import annotations

import difflib
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from mljob_contract import airflow_instance, mljob
from mljob_contract.airflow_id import ID_PATTERN
from mljob_contract.resource import GROUP, VERSION
from mljob_contract.run_id import MAX_NAME_LENGTH
from mljob_contract.times import FIRST_YEAR, LAST_YEAR

ROOT = Path(__file__).resolve().parent.parent
TARGETS = (
    ROOT / "crds",
    ROOT / "charts" / "mljob-operator" / "files" / "crds",
    ROOT / "client" / "src" / "mljob" / "lint" / "crds",
)
HEADER = "# Generated from contract/ by `make generate`. Do not edit.\n"

Columns = list[tuple[str, str, str, int]]
"""The columns of ``kubectl get``: name, path, type and priority. Only ``-o wide`` shows columns
with priority 1."""

PRINTER_COLUMNS: Columns = [
    ("DAG", ".spec.dagId", "string", 0),
    ("Phase", ".status.phase", "string", 0),
    ("Reason", ".status.reason", "string", 0),
    ("Progress", ".status.progress", "string", 0),
    ("Task", ".status.currentTask", "string", 0),
    ("Attempts", ".status.attempts", "integer", 0),
    ("Age", ".metadata.creationTimestamp", "date", 0),
    ("Percent", ".status.percent", "integer", 1),
    ("Run ID", ".status.dagRunId", "string", 1),
    ("Started", ".status.startTime", "date", 1),
    ("Finished", ".status.completionTime", "date", 1),
    ("Airflow", ".status.airflowInstance", "string", 1),
    ("Type", ".spec.type", "string", 1),
]
_READY = ".status.conditions[?(@.type=='Ready')]"
INSTANCE_COLUMNS: Columns = [
    ("URL", ".spec.url", "string", 0),
    ("Version", ".status.version", "string", 0),
    ("Ready", f"{_READY}.status", "string", 0),
    ("Reason", f"{_READY}.reason", "string", 0),
    ("Active", ".status.activeRuns", "integer", 0),
    ("Age", ".metadata.creationTimestamp", "date", 0),
    ("Waiting", ".status.waitingJobs", "integer", 1),
    ("Limit", ".spec.maxActiveRuns", "integer", 1),
    ("Scheduler", ".status.health.scheduler", "string", 1),
    ("Default", ".metadata.annotations." + airflow_instance.IS_DEFAULT.replace(".", r"\."), "string", 1),
]

SELECTABLE = (".spec.type", ".spec.dagId", ".status.phase")
"""The fields that ``kubectl get --field-selector`` can select by. Versions of Kubernetes before
1.30 ignore this part of a CRD.
"""

Rules = list[dict[str, str]]

PATTERNS_IN_WORDS = {
    ID_PATTERN: "must be an Airflow id: letters and digits of any language, '_', '-' and '.', without spaces and slashes. "
    "The id of a task in a task group begins with the group's id: group.task",
    r"^[a-z0-9]([a-z0-9.\-]*[a-z0-9])?$": "must be the name of a Kubernetes object: lower-case letters, digits, '-' and '.', "
    "beginning and ending with a letter or digit",
    r"^[A-Za-z_][A-Za-z0-9_]*$": "must begin with a letter or '_' and continue with letters, digits and '_': it becomes a field of status.outputs",
}
"""The message for each pattern that the API server checks with a validation rule. With the keyword
``pattern``, the API server would only say "should match '^[\\p{L}\\p{N}_.\\-]+$'".
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
INSTANCE_RULES: Rules = [
    {
        "rule": "!self.url.matches('^https?://[^/]*@')",
        "message": "url must not contain credentials: everyone who can read AirflowInstances would see them. Put them into a Secret, and name the Secret in credentials",
        "fieldPath": ".url",
    },
    {
        "rule": "!self.url.matches('/api(/v[0-9]+)?/?$')",
        "message": "url must not end in /api or /api/v2: the operator adds this path",
        "fieldPath": ".url",
    },
    {
        "rule": "!has(self.tls) || self.url.startsWith('https://')",
        "message": "tls requires an https url",
        "fieldPath": ".tls",
    },
]
CREDENTIALS_RULES: Rules = [
    {
        "rule": "[has(self.passwordSecretRef), has(self.tokenSecretRef), has(self.tokenFile), has(self.oauth2)].filter(x, x).size() == 1",
        "message": "credentials must set exactly one of passwordSecretRef, tokenSecretRef, tokenFile and oauth2",
    },
]
CA_RULES: Rules = [
    {
        "rule": "self.contains('-----BEGIN CERTIFICATE-----') && self.contains('-----END CERTIFICATE-----')",
        "message": "caBundle must be certificates in PEM format, each from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----",
    },
]
REQUIREMENT_RULES: Rules = [
    {
        "rule": "self.operator in ['In', 'NotIn'] ? size(self.values) > 0 : size(self.values) == 0",
        "message": "values are required with In and NotIn, and must be absent with Exists and DoesNotExist",
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


def structural(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Convert a node of a pydantic JSON schema to a node of a structural schema, with references
    resolved.
    """
    schema = dict(schema)
    if "$ref" in schema:
        target = definitions[schema.pop("$ref").rsplit("/", 1)[-1]]
        return structural({**target, **schema}, definitions)
    if "anyOf" in schema:
        (choice,) = [option for option in schema.pop("anyOf") if option.get("type") != "null"]
        return structural({**choice, **schema}, definitions)

    out: dict[str, Any] = {}
    if description := schema.get("description"):
        out["description"] = " ".join(str(description).replace("``", "").split())
    for key in (
        "type",
        "enum",
        "format",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "required",
    ):
        if key in schema:
            out[key] = schema[key]
    if pattern := schema.get("pattern"):
        if pattern in PATTERNS_IN_WORDS:
            rule = {"rule": f"self.matches(r'{pattern}')", "message": PATTERNS_IN_WORDS[pattern]}
            out["x-kubernetes-validations"] = [rule]
        else:
            out["pattern"] = pattern
    if schema.get("default") is not None:
        out["default"] = schema["default"]
    return out | _children(schema, definitions)


def _children(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return the keywords of a structural schema about an object's fields, or about a list's
    items.
    """
    if schema.get("type") == "array":
        return {"items": structural(schema["items"], definitions)}
    if schema.get("type") != "object":
        return {}
    if "properties" in schema:
        return {"properties": {name: structural(node, definitions) for name, node in schema["properties"].items()}}
    if isinstance(values := schema.get("additionalProperties"), dict):
        return {"additionalProperties": structural(values, definitions)}
    return {"x-kubernetes-preserve-unknown-fields": True}


def model_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the structural schema of a model. The fields have the names that they have in YAML."""
    schema = model.model_json_schema(by_alias=True)
    return structural(schema, schema.pop("$defs", {}))


def without_defaults(node: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a status without defaults, because the API server must not add fields to
    a status that the operator writes.
    """
    node = {key: value for key, value in node.items() if key != "default"}
    if "properties" in node:
        node["properties"] = {name: without_defaults(child) for name, child in node["properties"].items()}
    if "items" in node:
        node["items"] = without_defaults(node["items"])
    return node


def jobs() -> Resource:
    """Return the CRD of MLJob."""
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
    _keyed(properties, {"conditions": ["type"]})
    return Resource(
        mljob.KIND,
        mljob.PLURAL,
        "mlj",
        "Namespaced",
        "MLJob runs an Airflow DAG once, or for a range of dates with type Backfill. The status shows the progress, the outputs and why a run failed.",
        PRINTER_COLUMNS,
        spec,
        status,
        [NAME_RULE, OWN_OUTPUTS_RULE],
        SELECTABLE,
    )


def instances() -> Resource:
    """Return the CRD of AirflowInstance."""
    spec = model_schema(airflow_instance.AirflowInstanceSpec)
    spec["x-kubernetes-validations"] = INSTANCE_RULES
    properties = spec["properties"]
    properties["credentials"]["x-kubernetes-validations"] = CREDENTIALS_RULES
    properties["tls"]["properties"]["caBundle"]["x-kubernetes-validations"] = CA_RULES
    properties["kafka"]["default"] = {}
    access = properties["access"]
    access["x-kubernetes-list-type"] = "atomic"
    rule = access["items"]["properties"]
    rule["dags"]["default"] = ["*"]
    rule["credentials"]["x-kubernetes-validations"] = CREDENTIALS_RULES
    selector = rule["namespaceSelector"]
    selector["default"] = {}
    selector["x-kubernetes-map-type"] = "atomic"
    selector["properties"]["matchExpressions"]["items"]["x-kubernetes-validations"] = REQUIREMENT_RULES
    status = without_defaults(model_schema(airflow_instance.AirflowInstanceStatus))
    status["default"] = mljob.UNOBSERVED
    _keyed(status["properties"], {"conditions": ["type"]})
    conditions = status["properties"]["conditions"]["items"]
    conditions["description"] = "One aspect of the AirflowInstance's state, as in metav1.Condition."
    conditions["properties"]["type"]["description"] = (
        "Ready: Airflow answers and accepts the credentials, so that MLJobs can run. Healthy: Airflow reports that its components are healthy. "
        "EventsConnected: the operator is connected to the Kafka brokers. DefaultInstance: MLJobs without airflowRef run here. AccessCredentials: Airflow accepts "
        "the credentials of the access rules. Secure is False if credentials go over the network unencrypted."
    )
    return Resource(
        airflow_instance.KIND,
        airflow_instance.PLURAL,
        "afi",
        "Cluster",
        "AirflowInstance is an Airflow that MLJobs can run in: its URL, the credentials for it, and which namespaces may run which DAGs.",
        INSTANCE_COLUMNS,
        spec,
        status,
        [],
    )


def _keyed(properties: dict[str, Any], lists: dict[str, list[str]]) -> None:
    """Declare lists whose entries are identified by keys (list type map)."""
    for name, keys in lists.items():
        properties[name]["x-kubernetes-list-type"] = "map"
        properties[name]["x-kubernetes-list-map-keys"] = keys


@dataclass(frozen=True)
class Resource:
    """The properties in which the CRDs of this project differ."""

    kind: str
    plural: str
    short_name: str
    scope: str
    description: str
    columns: Columns
    spec: dict[str, Any]
    status: dict[str, Any]
    rules: Rules
    selectable: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the CRD, which is also the name of the CRD's file without the extension."""
        return f"{self.plural}.{GROUP}"

    def definition(self) -> dict[str, Any]:
        """Return the CustomResourceDefinition as a dict."""
        schema: dict[str, Any] = {
            "type": "object",
            "description": self.description,
            "required": ["spec"],
            "properties": {
                "apiVersion": {"type": "string"},
                "kind": {"type": "string"},
                "metadata": {"type": "object"},
                "spec": self.spec,
                "status": self.status,
            },
        }
        if self.rules:
            schema["x-kubernetes-validations"] = self.rules
        selectable = {"selectableFields": [{"jsonPath": path} for path in self.selectable]} if self.selectable else {}
        return {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": self.name},
            "spec": {
                "group": GROUP,
                "names": {
                    "kind": self.kind,
                    "listKind": f"{self.kind}List",
                    "plural": self.plural,
                    "singular": self.kind.lower(),
                    "shortNames": [self.short_name],
                    "categories": ["ml"],
                },
                "scope": self.scope,
                "versions": [
                    {
                        "name": VERSION,
                        "served": True,
                        "storage": True,
                        "subresources": {"status": {}},
                        "additionalPrinterColumns": [
                            {"name": name, "jsonPath": path, "type": kind, "priority": priority}
                            for name, path, kind, priority in self.columns
                        ],
                        **selectable,
                        "schema": {"openAPIV3Schema": schema},
                    }
                ],
            },
        }


class _Plain(yaml.SafeDumper):
    """Writes repeated values in full instead of as YAML anchors, which are hard to read."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def main() -> int:
    """Write the CRDs' files and return 0. With ``--check``, compare the files with the models, and
    return 1 if a file differs.
    """
    check = "--check" in sys.argv[1:]
    drift = False
    for resource in (jobs(), instances()):
        text = HEADER + yaml.dump(resource.definition(), Dumper=_Plain, sort_keys=False, width=120, allow_unicode=True)
        for folder in TARGETS:
            target = folder / f"{resource.name}.yaml"
            current = target.read_text() if target.exists() else ""
            if current == text:
                continue
            drift = True
            if check:
                sys.stdout.writelines(
                    difflib.unified_diff(current.splitlines(True), text.splitlines(True), str(target.name), "generated")
                )
            else:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(text)
                print(f"wrote {target.relative_to(ROOT)}")
    if check and drift:
        print("A CRD differs from contract/: run `make generate` and commit the result.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
