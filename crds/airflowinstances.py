"""The CRD of AirflowInstance: its columns in ``kubectl get``, its validation rules, and whether a
field manager of server-side apply owns a list as a whole or single entries of it.
"""

from __future__ import annotations

from mljob_contract import airflow_instance
from mljob_contract.mljob import UNOBSERVED

from .definition import Columns, Resource, Rules, keyed
from .structural import model_schema, without_defaults

_READY = ".status.conditions[?(@.type=='Ready')]"
COLUMNS: Columns = [
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


def airflow_instances() -> Resource:
    """Return the CRD of AirflowInstance as a :class:`~crds.definition.Resource`, which makes the
    manifest.
    """
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
    status["default"] = UNOBSERVED
    keyed(status["properties"], {"conditions": ["type"]})
    conditions = status["properties"]["conditions"]["items"]
    conditions["description"] = "One aspect of the AirflowInstance's state, as in metav1.Condition."
    conditions["properties"]["type"]["description"] = (
        "Ready: Airflow answers and accepts the credentials, so that MLJobs can run. Healthy: Airflow reports that its components are healthy. "
        "EventsConnected: the operator is connected to the Kafka brokers. DefaultInstance: MLJobs without airflowRef run here. AccessCredentials: Airflow accepts "
        "the credentials of the access rules. Secure is False if credentials go over the network unencrypted. VanishedRunsAccepted is False if the annotation "
        "mljob.dev/accept-vanished-runs is not a time with a time zone, or lies in the future."
    )
    return Resource(
        airflow_instance.KIND,
        airflow_instance.PLURAL,
        "afi",
        "Cluster",
        "AirflowInstance is an Airflow that MLJobs can run in: its URL, the credentials for it, and which namespaces may run which DAGs.",
        COLUMNS,
        spec,
        status,
        [],
    )
