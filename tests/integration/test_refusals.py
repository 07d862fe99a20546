"""``kubectl apply`` refuses invalid MLJobs and invalid edits, and says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubernetes import client, config

from devstack.stack import Stack
from mljob_contract.mljob import PLURAL
from mljob_contract.resource import GROUP, VERSION
from tests.live.kubectl import Kubectl, KubectlError
from tests.live.mljobs import Object, manifest

OBJECT_NAME = "must be the name of a Kubernetes object: lower-case letters, digits, '-' and '.'"
AIRFLOW_ID = "must be an Airflow id: letters and digits of any language, '_', '-' and '.', without spaces and slashes"
OUTPUT_NAME = "must begin with a letter or '_' and continue with letters, digits and '_'"
ONE_SOURCE = "each entry of confFrom must set exactly one of configMapRef, secretRef and outputsRef"
TYPES = '"Training", "DatasetGeneration", "Enrichment", "Prediction", "Inference", "Backfill", "Custom"'
HUGE = 2**31
JANUARY = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-31T00:00:00Z"}


def backfill(**more: Any) -> Object:
    return {"type": "Backfill", "backfill": JANUARY | more}


def output(**more: Any) -> Object:
    return {"outputs": [{"name": "score", "taskId": "evaluate", **more}]}


def outputs_of(name: str, **more: Any) -> Object:
    return {"outputsRef": {"name": name, **more}}


# The mistake; the fields of the spec beside dagId: train_model; the API server's error.
SPECS: list[tuple[str, Object, str]] = [
    ("a dag id with a space", {"dagId": "train model"}, AIRFLOW_ID),
    ("a dag id with a slash", {"dagId": "team/train"}, AIRFLOW_ID),
    ("a dag id with an accent of its own", {"dagId": "trainiere_Ba\u0308r"}, AIRFLOW_ID),
    ("a dag id that ends in a line break", {"dagId": "train\n"}, AIRFLOW_ID),
    ("a dag id that is a dot", {"dagId": "."}, "dagId must not be . or .."),
    ("a dag id that is two dots", {"dagId": ".."}, "dagId must not be . or .."),
    ("an empty dag id", {"dagId": ""}, "spec.dagId in body should be at least 1 chars long"),
    ("a dag id longer than Airflow's", {"dagId": "d" * 251}, "spec.dagId: Too long: may not be more than 250"),
    ("a dag id that is a number", {"dagId": 7}, 'spec.dagId in body must be of type string: "integer"'),
    ("no dag id", {"dagId": None}, "spec.dagId: Required value"),
    (
        "a type in lower case",
        {"type": "training"},
        f'spec.type: Unsupported value: "training": supported values: {TYPES}',
    ),
    ("a type in capitals", {"type": "INFERENCE"}, f"supported values: {TYPES}"),
    ("an unknown type", {"type": "Magic"}, 'spec.type: Unsupported value: "Magic"'),
    ("a conf that is a text", {"conf": "epochs=3"}, 'spec.conf in body must be of type object: "string"'),
    ("a conf that is a list", {"conf": [1]}, 'spec.conf in body must be of type object: "array"'),
    ("a conf that is a number", {"conf": 3}, 'spec.conf in body must be of type object: "integer"'),
    (
        "confFrom as a text",
        {"confFrom": "warehouse"},
        "spec.confFrom in body must be of type array",
    ),
    ("a source without a reference", {"confFrom": [{}]}, ONE_SOURCE),
    (
        "a source with two references",
        {"confFrom": [{"configMapRef": {"name": "a"}, "secretRef": {"name": "b"}}]},
        ONE_SOURCE,
    ),
    (
        "a reference without a name",
        {"confFrom": [{"secretRef": {}}]},
        "spec.confFrom[0].secretRef.name: Required value",
    ),
    ("a reference to an empty name", {"confFrom": [{"secretRef": {"name": ""}}]}, "should be at least 1 chars long"),
    ("a reference in capitals", {"confFrom": [{"secretRef": {"name": "Warehouse"}}]}, OBJECT_NAME),
    ("a reference that ends in a hyphen", {"confFrom": [{"configMapRef": {"name": "defaults-"}}]}, OBJECT_NAME),
    ("a reference into a namespace", {"confFrom": [{"secretRef": {"name": "team-b/warehouse"}}]}, OBJECT_NAME),
    (
        "a namespace beside a reference",
        {"confFrom": [{"secretRef": {"name": "a", "namespace": "team-b"}}]},
        'unknown field "spec.confFrom[0].secretRef.namespace"',
    ),
    (
        "seventeen sources",
        {"confFrom": [{"secretRef": {"name": "a"}}] * 17},
        "spec.confFrom: Too many: 17: must have at most 16 items",
    ),
    (
        "optional as a text",
        {"confFrom": [{"secretRef": {"name": "a", "optional": "yes"}}]},
        "spec.confFrom[0].secretRef.optional in body must be of type boolean",
    ),
    ("outputs beside a ConfigMap", {"confFrom": [outputs_of("a") | {"configMapRef": {"name": "b"}}]}, ONE_SOURCE),
    (
        "outputs of nine MLJobs",
        {"confFrom": [outputs_of(f"data-{i}") for i in range(9)]},
        "confFrom must have at most 8 entries with outputsRef",
    ),
    ("outputs of nobody", {"confFrom": [{"outputsRef": {}}]}, "spec.confFrom[0].outputsRef.name: Required value"),
    ("outputs of an MLJob in capitals", {"confFrom": [outputs_of("Data")]}, OBJECT_NAME),
    (
        "outputs of another namespace",
        {"confFrom": [outputs_of("data", namespace="team-b")]},
        'unknown field "spec.confFrom[0].outputsRef.namespace"',
    ),
    (
        "optional outputs",
        {"confFrom": [outputs_of("data", optional=True)]},
        'unknown field "spec.confFrom[0].outputsRef.optional"',
    ),
    (
        "outputs without a key",
        {"confFrom": [outputs_of("data", keys=[])]},
        "spec.confFrom[0].outputsRef.keys in body should have at least 1 items",
    ),
    (
        "an output twice",
        {"confFrom": [outputs_of("data", keys=["rows", "rows"])]},
        'spec.confFrom[0].outputsRef.keys[1]: Duplicate value: "rows"',
    ),
    (
        "thirty-three outputs of an MLJob",
        {"confFrom": [outputs_of("data", keys=[f"o{i}" for i in range(33)])]},
        "spec.confFrom[0].outputsRef.keys: Too many: 33: must have at most 32 items",
    ),
    (
        "an output with an empty name",
        {"confFrom": [outputs_of("data", keys=[""])]},
        "spec.confFrom[0].outputsRef.keys[0] in body should be at least 1 chars long",
    ),
    ("an Airflow in capitals", {"airflowRef": {"name": "Prod"}}, OBJECT_NAME),
    ("an Airflow without a name", {"airflowRef": {}}, "spec.airflowRef.name: Required value"),
    ("an Airflow as a text", {"airflowRef": "prod"}, 'spec.airflowRef in body must be of type object: "string"'),
    ("an unknown run policy", {"runPolicy": "Twice"}, 'supported values: "Once", "OnChange", "OncePerSpec"'),
    ("suspend as a text", {"suspend": "true"}, 'spec.suspend in body must be of type boolean: "string"'),
    ("cancel as a number", {"cancel": 1}, 'spec.cancel in body must be of type boolean: "integer"'),
    (
        "cancelled and suspended",
        {"cancel": True, "suspend": True},
        "cancel ends the MLJob for good, a suspended MLJob can be resumed",
    ),
    (
        "no time to be active",
        {"activeDeadlineSeconds": 0},
        "spec.activeDeadlineSeconds in body should be greater than or equal to 1",
    ),
    (
        "more time than a number holds",
        {"activeDeadlineSeconds": HUGE},
        "spec.activeDeadlineSeconds in body should be less than or equal to 2147483647",
    ),
    ("half a second", {"activeDeadlineSeconds": 0.5}, "spec.activeDeadlineSeconds in body must be of type integer"),
    (
        "an hour as a text",
        {"activeDeadlineSeconds": "1h"},
        'activeDeadlineSeconds in body must be of type integer: "string"',
    ),
    (
        "negative time before it runs",
        {"preRunningDeadlineSeconds": -5},
        "spec.preRunningDeadlineSeconds in body should be greater than or equal to 1",
    ),
    (
        "a first deadline after the last",
        {"activeDeadlineSeconds": 60, "preRunningDeadlineSeconds": 61},
        "preRunningDeadlineSeconds must not exceed activeDeadlineSeconds, which would always end the MLJob first",
    ),
    ("negative retries", {"backoffLimit": -1}, "spec.backoffLimit in body should be greater than or equal to 0"),
    (
        "more retries than sense",
        {"backoffLimit": 1001},
        "spec.backoffLimit in body should be less than or equal to 1000",
    ),
    ("an unknown retry strategy", {"retryStrategy": "Pray"}, 'supported values: "ClearFailed", "NewRun"'),
    (
        "a time to live before the end",
        {"ttlSecondsAfterFinished": -1},
        "spec.ttlSecondsAfterFinished in body should be greater than or equal to 0",
    ),
    (
        "a time to live without end",
        {"ttlSecondsAfterFinished": HUGE},
        "spec.ttlSecondsAfterFinished in body should be less than or equal to 2147483647",
    ),
    (
        "two outputs of one name",
        {"outputs": [{"name": "a", "taskId": "x"}, {"name": "a", "taskId": "y"}]},
        'spec.outputs[1]: Duplicate value: {"name":"a"}',
    ),
    ("an output whose name is a number", output(name="1st"), OUTPUT_NAME),
    ("an output with a hyphen", output(name="f1-score"), OUTPUT_NAME),
    ("an output with a long name", output(name="n" * 64), "spec.outputs[0].name: Too long: may not be more than 63"),
    ("an output of no task", {"outputs": [{"name": "score"}]}, "spec.outputs[0].taskId: Required value"),
    ("an output of a task with a space", output(taskId="evaluate model"), AIRFLOW_ID),
    ("an output of a task with a slash", output(taskId="group/evaluate"), AIRFLOW_ID),
    ("an output of a task that is a dot", output(taskId="."), "taskId must not be . or .."),
    ("an output of a task that is two dots", output(taskId=".."), "taskId must not be . or .."),
    ("an output without a key", output(key=""), "spec.outputs[0].key in body should be at least 1 chars long"),
    (
        "thirty-three outputs",
        {"outputs": [{"name": f"o{i}", "taskId": "t"} for i in range(33)]},
        "spec.outputs: Too many: 33: must have at most 32 items",
    ),
    ("an unknown deletion policy", {"deletionPolicy": "Keep"}, 'supported values: "Cancel", "Retain"'),
    ("an unknown strategy", {"cancellation": {"strategy": "Kill"}}, 'supported values: "Dag", "Api"'),
    (
        "no time to cancel",
        {"cancellation": {"timeoutSeconds": 0}},
        "spec.cancellation.timeoutSeconds in body should be greater than or equal to 1",
    ),
    (
        "more than a day to cancel",
        {"cancellation": {"timeoutSeconds": 86401}},
        "spec.cancellation.timeoutSeconds in body should be less than or equal to 86400",
    ),
    (
        "a time that is a text",
        {"cancellation": {"timeoutSeconds": "5m"}},
        'spec.cancellation.timeoutSeconds in body must be of type integer: "string"',
    ),
    ("cancellation as a text", {"cancellation": "Api"}, 'spec.cancellation in body must be of type object: "string"'),
    (
        "a backfill without a range",
        {"type": "Backfill"},
        "type Backfill requires spec.backfill: its from and to give the dates to run",
    ),
    (
        "a range without a backfill",
        {"backfill": JANUARY},
        "backfill is allowed with type Backfill only: set type to Backfill",
    ),
    (
        "a range that ends before it begins",
        backfill(**{"from": JANUARY["to"], "to": JANUARY["from"]}),
        "backfill.from must not be after backfill.to: the range would be empty",
    ),
    (
        "a range without an end",
        {"type": "Backfill", "backfill": {"from": JANUARY["from"]}},
        "spec.backfill.to: Required value",
    ),
    (
        "a day without a time",
        backfill(**{"from": "2026-01-01"}),
        'spec.backfill.from in body must be of type date-time: "2026-01-01"',
    ),
    ("the year 0", backfill(**{"from": "0000-01-01T00:00:00Z"}), "backfill.from must be in the years 1900 to 2999"),
    ("the year 3000", backfill(to="3000-01-01T00:00:00Z"), "backfill.to must be in the years 1900 to 2999"),
    ("an unknown behaviour", backfill(reprocessBehavior="all"), "spec.backfill.reprocessBehavior: Unsupported value"),
    (
        "no active runs",
        backfill(maxActiveRuns=0),
        "spec.backfill.maxActiveRuns in body should be greater than or equal to 1",
    ),
    (
        "outputs of many runs",
        {**backfill(), **output()},
        "outputs is not allowed with type Backfill: each run has its own outputs",
    ),
    (
        "a retry of runs that succeeded",
        {**backfill(), "retryStrategy": "NewRun"},
        "retryStrategy NewRun is not allowed with type Backfill",
    ),
    ("a misspelt field", {"dagID": "train_model"}, 'unknown field "spec.dagID"'),
    ("a field of a Job", {"parallelism": 2}, 'unknown field "spec.parallelism"'),
    ("a misspelt field deep inside", {"cancellation": {"timeout": 5}}, 'unknown field "spec.cancellation.timeout"'),
]


def named(name: str) -> Object:
    return manifest(name, "train_model")


# The mistake; a whole manifest; the API server's error.
OBJECTS: list[tuple[str, Object, str]] = [
    ("no spec", {**named("nonsense"), "spec": None}, "spec: Required value"),
    (
        "a spec that is a text",
        {**named("nonsense"), "spec": "train_model"},
        'spec in body must be of type object: "string"',
    ),
    (
        "a name too long for a run id",
        named("n" * 141),
        "metadata.name must have at most 140 characters: it is part of the dag run id",
    ),
    (
        "a name with capitals",
        named("Churn"),
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters",
    ),
    (
        "an MLJob that takes its own outputs",
        {**named("churn"), "spec": {"dagId": "train_model", "confFrom": [outputs_of("data"), outputs_of("churn")]}},
        "spec.confFrom: Invalid value: outputsRef must name another MLJob: an MLJob can't wait for its own outputs",
    ),
    ("a name with an underscore", named("churn_train"), "a lowercase RFC 1123 subdomain must consist of"),
    ("a field beside the spec", {**named("nonsense"), "dagId": "x"}, 'unknown field "dagId"'),
]

# The mistake; an MLJob's spec before the edit; the edit; the API server's error.
EDITS: list[tuple[str, Object, Object, str]] = [
    (
        "cancel is set back",
        {"cancel": True},
        {"cancel": False},
        "cancel can't be set back to false: the MLJob is cancelled for good",
    ),
    ("cancel is left out again", {"cancel": True}, {"cancel": None}, "cancel can't be set back to false"),
    ("suspended after cancelling", {"cancel": True}, {"suspend": True}, "cancel and suspend can't both be true"),
    ("it becomes a backfill", {}, backfill(), "type can't change to or from Backfill"),
    ("it ceases to be one", backfill(), {"type": "Custom", "backfill": None}, "type can't change to or from Backfill"),
    ("the dag id goes", {}, {"dagId": None}, "spec.dagId: Required value"),
]


class Api:
    """Asks the API server whether it accepts manifests and edits of MLJobs."""

    def __init__(self, kubeconfig: str) -> None:
        self._client = config.new_client_from_config(kubeconfig)
        self._objects = client.CustomObjectsApi(self._client)

    def refusal(self, body: Object) -> str:
        """Return the API server's error for a manifest, or an empty string if the API server
        accepts the manifest.
        """
        return self._refusal(
            lambda: self._objects.create_namespaced_custom_object(
                GROUP, VERSION, "default", PLURAL, body, dry_run="All", field_validation="Strict"
            )
        )

    def refusal_of_edit(self, before: Object, change: Object) -> str:
        """Create an MLJob with the fields ``before`` in its spec, patch the spec with ``change`` in
        a dry run, and delete the MLJob. Return the API server's error for the patch, or an empty
        string if the API server accepts the patch.
        """
        body = named("edited")
        body["spec"] |= {"suspend": not before.get("cancel", False), **before}
        self._objects.create_namespaced_custom_object(GROUP, VERSION, "default", PLURAL, body)
        try:
            return self._refusal(
                lambda: self._objects.patch_namespaced_custom_object(
                    GROUP,
                    VERSION,
                    "default",
                    PLURAL,
                    "edited",
                    {"spec": change},
                    dry_run="All",
                    field_validation="Strict",
                    _content_type="application/merge-patch+json",
                )
            )
        finally:
            self._objects.delete_namespaced_custom_object(GROUP, VERSION, "default", PLURAL, "edited")

    def close(self) -> None:
        self._client.close()

    def _refusal(self, call: Callable[[], object]) -> str:
        try:
            call()
        except client.ApiException as refused:
            return str(json.loads(refused.body or "")["message"])
        return ""


@pytest.fixture(scope="module")
def api(stack: Stack) -> Iterator[Api]:
    api = Api(str(stack.kubeconfig))
    yield api
    api.close()


def ids(table: list[Any]) -> list[str]:
    return [row[0].replace(" ", "-") for row in table]


@pytest.mark.parametrize(("what", "spec", "sentence"), SPECS, ids=ids(SPECS))
def test_invalid_spec_is_refused(what: str, spec: Object, sentence: str, api: Api) -> None:
    job = named("nonsense")
    job["spec"] |= spec
    assert sentence in api.refusal(job), what


@pytest.mark.parametrize(("what", "job", "sentence"), OBJECTS, ids=ids(OBJECTS))
def test_invalid_manifest_is_refused(what: str, job: Object, sentence: str, api: Api) -> None:
    assert sentence in api.refusal(job), what


@pytest.mark.parametrize(("what", "before", "change", "sentence"), EDITS, ids=ids(EDITS))
def test_invalid_edit_is_refused(what: str, before: Object, change: Object, sentence: str, api: Api) -> None:
    assert sentence in api.refusal_of_edit(before, change), what


def test_table_of_refusals_is_large_and_has_no_duplicates() -> None:
    names = [row[0] for table in (SPECS, OBJECTS, EDITS) for row in table]
    assert len(names) == len(set(names)) >= 60


def test_kubectl_prints_the_error_of_the_api_server(kubectl: Kubectl) -> None:
    job = named("nonsense")
    job["spec"]["dagId"] = "train model"
    with pytest.raises(KubectlError) as refused:
        kubectl("apply", "--dry-run=server", "--filename=-", stdin=json.dumps(job))
    assert f'spec.dagId: Invalid value: "train model": {AIRFLOW_ID}' in str(refused.value)


def test_kubectl_explain_describes_every_field(kubectl: Kubectl) -> None:
    crd = kubectl.get("crd", f"{PLURAL}.{GROUP}")
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    recursive = kubectl("explain", "mljob.spec", "--recursive")
    assert {"dagId", "confFrom", "timeoutSeconds"} <= {path.rpartition(".")[2] for path in paths(schema)}
    for path in paths(schema):
        assert f"{path.rpartition('.')[2]}\t<" in recursive, path
        told = kubectl("explain", f"mljob.spec.{path}")
        assert len(told.partition("DESCRIPTION:")[2].split()) >= 2, told
        assert "<empty>" not in told.partition("DESCRIPTION:")[2], told


def paths(schema: Object, prefix: str = "") -> Iterator[str]:
    for name, node in schema.get("properties", {}).items():
        yield prefix + name
        yield from paths(node.get("items", node), f"{prefix}{name}.")
