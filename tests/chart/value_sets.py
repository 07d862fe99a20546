"""Helm values for tests that check all rendered objects."""

from __future__ import annotations

from typing import Any

from tests import libyaml
from tests.chart.environment_values import EVERYTHING
from tests.chart.rendering import CHART, merged
from tests.chart.test_openshift import OPENSHIFT

IPV6: dict[str, Any] = libyaml.load((CHART / "values-ipv6.yaml").read_text())

COMPONENTS: dict[str, Any] = {
    "api": {"enabled": True},
    "view": {
        "enabled": True,
        "replicas": 2,
        "hosts": ["mljobs.example.com"],
        "image": {"repository": "registry.example.com/mljob-view"},
    },
}
"""Values that add mljob-api and the view to the operator."""

PEER = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "any"}}}
CLOSED: dict[str, Any] = merged(
    COMPONENTS,
    {
        "kafka": {"bootstrapServers": "kafka-0:9092,[fd00::9]:9093"},
        "networkPolicy": {
            "create": True,
            "metricsFrom": [PEER],
            "egress": {
                "restrict": True,
                "dns": {"to": [PEER]},
                "kubernetesApi": {"to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}]},
                "airflow": {"to": [PEER], "ports": [8080, 443]},
                "kafka": {"to": [PEER]},
                "extra": [{"to": [PEER], "ports": [{"port": 443, "protocol": "TCP"}]}],
            },
        },
    },
)
"""The values of ``COMPONENTS``, and NetworkPolicies that limit incoming and outgoing connections.
"""

POD: dict[str, Any] = {
    "imagePullSecrets": [{"name": "registry"}],
    "podAnnotations": {"example.com/a": "1"},
    "podLabels": {"team": "ml"},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "dedicated", "operator": "Exists"}],
    "affinity": {
        "podAntiAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": [
                {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"team": "ml"}}}
            ]
        }
    },
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}
    ],
    "priorityClassName": "high",
    "runtimeClassName": "gvisor",
    "schedulerName": "batch",
    "hostAliases": [{"ip": "10.0.0.7", "hostnames": ["airflow.example.com"]}],
    "dnsPolicy": "None",
    "dnsConfig": {"nameservers": ["10.0.0.10"], "options": [{"name": "ndots", "value": "2"}]},
    "startupProbe": {"periodSeconds": 3, "failureThreshold": 100},
    "livenessProbe": {"periodSeconds": 20, "timeoutSeconds": 9, "failureThreshold": 4},
    "readinessProbe": {"periodSeconds": 7, "timeoutSeconds": 6, "failureThreshold": 5},
    "terminationGracePeriodSeconds": 60,
    "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
    "extraEnvFrom": [{"configMapRef": {"name": "proxies"}}],
    "extraVolumes": [{"name": "company-ca", "configMap": {"name": "company-ca"}}],
    "extraVolumeMounts": [{"name": "company-ca", "mountPath": "/etc/company-ca", "readOnly": True}],
    "initContainers": [
        {
            "name": "wait",
            "image": "registry.example.com/wait:1",
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "16Mi"}},
        }
    ],
    "extraContainers": [
        {
            "name": "proxy",
            "image": "registry.example.com/proxy:1",
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "16Mi"}},
        }
    ],
}
"""Every value that api.pod and view.pod may replace, except the security contexts."""

WHOLE_POD: dict[str, Any] = merged(
    COMPONENTS,
    {
        **POD,
        "view": {"pod": POD},
        "deploymentAnnotations": {"example.com/a": "1"},
        "revisionHistoryLimit": 3,
        "service": {
            "annotations": {"example.com/a": "1"},
            "ipFamilyPolicy": "RequireDualStack",
            "ipFamilies": ["IPv6", "IPv4"],
        },
        "extraObjects": [
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "company-ca"}, "data": {"ca.pem": "x"}},
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}-text'}\n",
        ],
    },
)

VALUE_SETS: dict[str, dict[str, Any]] = {
    "required values": {},
    "one Pod": {"operator": {"replicas": 1}},
    "all values": merged(EVERYTHING, {"operator": {"namespaces": []}}),
    "OpenShift": merged(COMPONENTS, OPENSHIFT),
    "IPv6": merged(COMPONENTS, IPV6),
    "all components": COMPONENTS,
    "limited connections": CLOSED,
    "all values of the Pod": WHOLE_POD,
}
