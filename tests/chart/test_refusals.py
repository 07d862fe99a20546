"""Helm refuses invalid values, with a message that names the value or says what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.chart.conftest import Render
from tests.chart.rendering import CHART, RefusedError, complete, merged, run_helm
from tests.chart.value_sets import COMPONENTS

Refusal = Callable[[Mapping[str, Any]], str]
PEM = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"


def test_without_an_airflow_url_the_message_says_how_to_set_it(refusal: Refusal) -> None:
    said = refusal({"airflow": {"url": ""}, "airflowInstances": {"enabled": False}})

    assert "airflow.url is not set" in said
    assert "--set airflowInstances.enabled=true" in said
    assert "--set airflow.url=http" in said


def test_without_an_image_the_message_says_how_to_build_one(refusal: Refusal) -> None:
    said = refusal({"image": {"repository": ""}})

    assert "image.repository is not set" in said
    assert "docker build" in said


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param(
            {"view": {"enabled": True, "hosts": ["mljobs.example.com"]}},
            "docker build --target view",
            id="a view without an image",
        ),
        pytest.param(
            {"view": {"enabled": True, "image": {"repository": "registry/mljob-view"}}},
            "view.hosts is empty",
            id="a view without hosts",
        ),
        pytest.param(
            {"airflow": {"url": "http://airflow:8080/api/v2"}},
            "airflow.url is http://airflow:8080/api/v2: leave out /api",
            id="the API's path in the URL",
        ),
        pytest.param(
            {"airflow": {"url": "http://me:secret@airflow:8080"}},
            "put them into a Secret",
            id="credentials in the URL",
        ),
        pytest.param(
            {"airflow": {"url": "", "existingSecret": "creds"}},
            "airflow.existingSecret is set, but airflow.url is not",
            id="credentials without an Airflow",
        ),
        pytest.param(
            {"airflow": {"url": "", "access": [{}]}},
            "airflow.access is set, but airflow.url is not",
            id="access rules without an Airflow",
        ),
        pytest.param(
            {
                "airflow": {"access": [{}, {"credentials": {"tokenSecretRef": {"name": "a"}}}]},
                "airflowInstances": {"enabled": False},
            },
            "set airflowInstances.enabled to true",
            id="credentials of an access rule that the operator may not read",
        ),
        pytest.param(
            {"airflow": {"tls": {"ca": {"existingSecret": "trust"}}}},
            "use an https:// URL, or remove the Secret",
            id="a CA without TLS",
        ),
        pytest.param(
            {"api": {"enabled": True, "tls": {"existingSecret": "served"}}},
            "api.tls.existingSecret is set, but api.tls.caBundle is not",
            id="a certificate of mljob-api without its CA",
        ),
        pytest.param(
            {
                "api": {
                    "enabled": True,
                    "tls": {"existingSecret": "served", "caBundle": PEM, "certManager": {"issuer": "ca"}},
                }
            },
            "api.tls.existingSecret and api.tls.certManager.issuer are both set",
            id="two certificates for mljob-api",
        ),
        pytest.param(
            {"api": {"enabled": True, "tls": {"caBundle": PEM}}},
            "api.tls.caBundle is set, but api.tls.existingSecret is not",
            id="a CA without a certificate for mljob-api",
        ),
        pytest.param(
            {"api": {"enabled": True, "port": 8081}},
            "api.port is 8081, the port of the probes",
            id="the port of the probes for the API",
        ),
        pytest.param(
            {"api": {"enabled": True}, "service": {"port": 443}},
            "service.port is 443, but api.enabled is true",
            id="two ports 443 of one Service",
        ),
        pytest.param(
            {"prometheusRule": {"enabled": True}},
            "set prometheusRule.job to the label job of your own scrape, or serviceMonitor.enabled to true",
            id="alerts without a scrape",
        ),
        pytest.param(
            {"service": {"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4", "IPv6"]}},
            "service.ipFamilyPolicy is SingleStack, but service.ipFamilies has two families",
            id="two families in a single stack",
        ),
        pytest.param(
            {"extraVolumes": [{"name": "tmp", "emptyDir": {}}]},
            "extraVolumes has the name tmp, which occurs twice in the Pods of Deployment mljob-operator:",
            id="a volume with the name of the chart's",
        ),
        pytest.param(
            {
                "airflow": {"url": "https://airflow", "tls": {"ca": {"existingSecret": "trust"}}},
                "extraVolumes": [{"name": "airflow-ca", "emptyDir": {}}],
            },
            "extraVolumes has the name airflow-ca, which occurs twice",
            id="a volume with the name of a mounted Secret's",
        ),
        pytest.param(
            {"api": {"enabled": True, "pod": {"extraVolumes": [{"name": "api-tls", "emptyDir": {}}]}}},
            "extraVolumes has the name api-tls, which occurs twice in the Pods of Deployment mljob-operator-api:",
            id="a volume with the name of mljob-api's certificate",
        ),
        pytest.param(
            merged(COMPONENTS, {"view": {"pod": {"extraVolumes": [{"name": "ca", "emptyDir": {}}]}}}),
            "extraVolumes has the name ca, which occurs twice in the Pods of Deployment mljob-operator-view:",
            id="a volume with the name of the view's",
        ),
        pytest.param(
            {
                "extraVolumes": [{"name": "scratch", "emptyDir": {}}],
                "extraVolumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],
            },
            "extraVolumeMounts has the mountPath /tmp, which occurs twice",
            id="a mount over the chart's",
        ),
        pytest.param(
            {"extraVolumeMounts": [{"name": "scratch", "mountPath": "/scratch"}]},
            "extraVolumeMounts names the volume scratch, which the Pods of Deployment mljob-operator do not have",
            id="a mount without a volume",
        ),
        pytest.param(
            {"extraContainers": [{"name": "operator", "image": "proxy:1"}]},
            "extraContainers or initContainers has the name operator, which occurs twice",
            id="a container with the operator's name",
        ),
        pytest.param(
            {
                "extraContainers": [{"name": "proxy", "image": "proxy:1"}],
                "initContainers": [{"name": "proxy", "image": "proxy:1"}],
            },
            "extraContainers or initContainers has the name proxy, which occurs twice",
            id="two containers with one name",
        ),
        pytest.param({"dnsPolicy": "None"}, "is None, but dnsConfig has no nameservers", id="no DNS at all"),
        pytest.param(
            {"kafka": {"deadLetterTopic": "airflow.events"}},
            "kafka.deadLetterTopic is airflow.events, the topic of the events",
            id="the topic of the events for dead letters",
        ),
        pytest.param(
            {"kafka": {"securityProtocol": "SASL_SSL"}},
            "kafka.securityProtocol is SASL_SSL, but kafka.sasl.existingSecret is not set",
            id="SASL without credentials",
        ),
        pytest.param(
            {"kafka": {"sasl": {"existingSecret": "kafka-user"}}},
            "kafka.sasl.existingSecret is set, but kafka.securityProtocol is PLAINTEXT",
            id="credentials without SASL",
        ),
        pytest.param(
            {"kafka": {"tls": {"ca": {"existingSecret": "kafka-ca"}}}},
            "kafka.tls.ca.existingSecret is set, but kafka.securityProtocol is PLAINTEXT",
            id="Kafka's CA without TLS",
        ),
        pytest.param(
            {
                "kafka": {
                    "securityProtocol": "SASL_PLAINTEXT",
                    "sasl": {"existingSecret": "u"},
                    "tls": {"client": {"existingSecret": "c"}},
                }
            },
            "kafka.tls.client.existingSecret is set, but kafka.securityProtocol is SASL_PLAINTEXT",
            id="a client certificate without TLS",
        ),
        pytest.param(
            {
                "kafka": {
                    "securityProtocol": "SASL_SSL",
                    "sasl": {"mechanism": "OAUTHBEARER", "existingSecret": "u"},
                }
            },
            "kafka.sasl.mechanism is OAUTHBEARER, but kafka.sasl.oauth.method is not set",
            id="OAUTHBEARER without a source of tokens",
        ),
        pytest.param(
            {"kafka": {"sasl": {"oauth": {"method": "MSK_IAM", "awsRegion": "eu-west-1"}}}},
            "kafka.sasl.oauth.method is MSK_IAM, but kafka.securityProtocol is PLAINTEXT",
            id="a source of tokens without OAUTHBEARER",
        ),
        pytest.param(
            {
                "kafka": {
                    "securityProtocol": "SASL_SSL",
                    "sasl": {"mechanism": "OAUTHBEARER", "existingSecret": "u", "oauth": {"method": "OIDC"}},
                }
            },
            "kafka.sasl.oauth.oidc.tokenEndpoint is not set",
            id="OIDC without a token endpoint",
        ),
        pytest.param(
            {
                "kafka": {
                    "securityProtocol": "SASL_SSL",
                    "sasl": {"mechanism": "OAUTHBEARER", "oauth": {"method": "MSK_IAM"}},
                }
            },
            "kafka.sasl.oauth.awsRegion is not set",
            id="MSK without a region",
        ),
        pytest.param(
            {"kafka": {"extraConfig": {"ssl.keystore.password": "geheim"}}},
            "kafka.extraConfig has ssl.keystore.password, which everyone who can read Deployments would see",
            id="a secret in extraConfig",
        ),
        pytest.param(
            {"networkPolicy": {"egress": {"restrict": True}}},
            "networkPolicy.egress.restrict is true, but networkPolicy.create is not",
            id="limits of a policy that is not created",
        ),
        pytest.param(
            {"kafka": {"tls": {"client": {"privateKeyPasswordKey": "p"}}}},
            "kafka.tls.client.privateKeyPasswordKey is set, but kafka.tls.client.existingSecret is not",
            id="a password without a private key",
        ),
        pytest.param({"serviceAccount": {"create": False}}, "serviceAccount.name is not set", id="no ServiceAccount"),
    ],
)
def test_values_that_contradict_each_other_are_refused(refusal: Refusal, values: dict[str, Any], expected: str) -> None:
    assert expected in refusal(values)


@pytest.mark.parametrize(
    ("values", "where"),
    [
        pytest.param({"airflo": {}}, "airflo", id="misspelled section"),
        pytest.param({"kafka": {"bootstrapServer": "kafka:9092"}}, "bootstrapServer", id="misspelled key"),
        pytest.param({"operator": {"replicas": -1}}, "/operator/replicas", id="negative number of Pods"),
        pytest.param({"operator": {"leaseSeconds": 1}}, "/operator/leaseSeconds", id="a Lease that is too short"),
        pytest.param({"operator": {"selector": {"team": "a"}}}, "/operator/selector", id="labels without matchLabels"),
        pytest.param({"nameOverride": "My_Team"}, "/nameOverride", id="impossible name"),
        pytest.param({"fullnameOverride": "my.op"}, "/fullnameOverride", id="full name with a dot"),
        pytest.param({"fullnameOverride": "1prod"}, "/fullnameOverride", id="full name that begins with a digit"),
        pytest.param({"serviceAccount": {"name": "a..b"}}, "/serviceAccount/name", id="name with two dots in a row"),
        pytest.param(
            {"operator": {"selector": {"matchLabels": {"team": "has space"}}}},
            "/operator/selector/matchLabels/team",
            id="value that no label has",
        ),
        pytest.param(
            {"operator": {"selector": {"matchLabels": {"my team": "a"}}}}, "my team", id="key that no label has"
        ),
        pytest.param(
            {"operator": {"selector": {"matchExpressions": [{"key": "team", "operator": "In", "values": ["a b"]}]}}},
            "/operator/selector/matchExpressions/0/values/0",
            id="value in a list that no label has",
        ),
        pytest.param({"podLabels": {"team": "a b"}}, "/podLabels/team", id="impossible label of the Pod"),
        pytest.param({"podAnnotations": {"my note": "a"}}, "my note", id="impossible key of an annotation"),
        pytest.param({"extraVolumes": [{"name": "My_CA"}]}, "/extraVolumes/0/name", id="impossible name of a volume"),
        pytest.param(
            {"extraContainers": [{"name": "a b", "image": "a"}]},
            "/extraContainers/0/name",
            id="impossible name of a container",
        ),
        pytest.param({"airflow": {"url": "airflow:8080"}}, "/airflow/url", id="address without a scheme"),
        pytest.param({"airflow": {"url": 8080}}, "/airflow/url", id="address that is a number"),
        pytest.param({"airflow": {"uiUrl": "ui.example"}}, "/airflow/uiUrl", id="UI without a scheme"),
        pytest.param({"airflow": {"auth": "Kerberos"}}, "/airflow/auth", id="unknown credentials"),
        pytest.param(
            {"airflow": {"existingSecret": "My Secret"}}, "/airflow/existingSecret", id="impossible Secret name"
        ),
        pytest.param(
            {"airflow": {"secretKeys": {"token": ""}}}, "/airflow/secretKeys/token", id="empty key of a Secret"
        ),
        pytest.param({"airflow": {"cancelDagId": ""}}, "/airflow/cancelDagId", id="no cancellation DAG"),
        pytest.param({"airflow": {"reservedDags": ["a b"]}}, "/airflow/reservedDags/0", id="impossible DAG id"),
        pytest.param(
            {"airflow": {"acceptVanishedRunsBefore": "now"}},
            "/airflow/acceptVanishedRunsBefore",
            id="no time",
        ),
        pytest.param({"airflow": {"access": []}}, "/airflow/access", id="empty list of access rules"),
        pytest.param({"airflow": {"access": {}}}, "/airflow/access", id="access rules that are not a list"),
        pytest.param(
            {"airflow": {"access": [{"namespaceSelctor": {}}]}},
            "namespaceSelctor",
            id="misspelled namespace selector",
        ),
        pytest.param(
            {"airflow": {"access": [{"namespaceSelector": {"matchLabel": {}}}]}}, "matchLabel", id="misspelled labels"
        ),
        pytest.param({"airflow": {"access": [{"dags": []}]}}, "/airflow/access/0/dags", id="access rule without DAGs"),
        pytest.param(
            {"airflow": {"access": [{"maxActiveRuns": 0}]}},
            "/airflow/access/0/maxActiveRuns",
            id="access rule without runs",
        ),
        pytest.param(
            {"airflow": {"access": [{"credentials": {}}]}},
            "/airflow/access/0/credentials",
            id="credentials without a Secret",
        ),
        pytest.param(
            {"airflow": {"access": [{"namespaceSelector": {"matchExpressions": [{"key": "a", "operator": "NotIn"}]}}]}},
            "values",
            id="requirement that every namespace meets",
        ),
        pytest.param(
            {"airflow": {"access": [{"credentials": {"tokenFile": {"name": ".."}}}]}},
            "/airflow/access/0/credentials/tokenFile/name",
            id="token file that is a folder",
        ),
        pytest.param({"airflowInstances": {"enabled": "yes"}}, "/airflowInstances/enabled", id="text for a boolean"),
        pytest.param(
            {"airflowInstances": {"secrets": [""]}}, "/airflowInstances/secrets/0", id="Secret without a name"
        ),
        pytest.param({"kafka": {"bootstrapServers": "kafka"}}, "/kafka/bootstrapServers", id="broker without a port"),
        pytest.param({"kafka": {"bootstrapServers": ["kafka:9092"]}}, "/kafka/bootstrapServers", id="list of brokers"),
        pytest.param({"kafka": {"eventsTopic": ""}}, "/kafka/eventsTopic", id="no topic"),
        pytest.param({"kafka": {"eventsTopic": "a b"}}, "/kafka/eventsTopic", id="impossible topic"),
        pytest.param({"kafka": {"securityProtocol": "TLS"}}, "/kafka/securityProtocol", id="unknown protocol"),
        pytest.param({"kafka": {"sasl": {"mechanism": "MD5"}}}, "/kafka/sasl/mechanism", id="unknown mechanism"),
        pytest.param(
            {"kafka": {"extraConfig": {"a": []}}}, "/kafka/extraConfig/a", id="librdkafka property that is a list"
        ),
        pytest.param({"kafka": {"extraConfig": {"A B": "c"}}}, "A B", id="librdkafka property with an impossible name"),
        pytest.param(
            {"operator": {"namespaces": "team-a"}}, "/operator/namespaces", id="namespaces that are not a list"
        ),
        pytest.param({"operator": {"namespaces": ["Team_A"]}}, "/operator/namespaces/0", id="impossible namespace"),
        pytest.param({"operator": {"namespaces": ["a", "a"]}}, "/operator/namespaces", id="duplicate namespace"),
        pytest.param({"operator": {"runIdPrefix": "a.b"}}, "/operator/runIdPrefix", id="prefix with a dot"),
        pytest.param({"operator": {"runIdPrefix": "a" * 17}}, "/operator/runIdPrefix", id="prefix that is too long"),
        pytest.param(
            {"operator": {"resyncIntervalSeconds": 0}}, "/operator/resyncIntervalSeconds", id="resync without a pause"
        ),
        pytest.param({"operator": {"logFormat": "xml"}}, "/operator/logFormat", id="unknown log format"),
        pytest.param({"operator": {"logLevel": "loud"}}, "/operator/logLevel", id="unknown log level"),
        pytest.param({"image": {"digest": "sha256:abc"}}, "/image/digest", id="impossible digest"),
        pytest.param({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy", id="unknown pull policy"),
        pytest.param({"crds": {"keep": "yes"}}, "/crds/keep", id="text for another boolean"),
        pytest.param({"podLabels": {"a": 1}}, "/podLabels/a", id="label that is a number"),
        pytest.param({"service": {"port": 70000}}, "/service/port", id="impossible port"),
        pytest.param(
            {"terminationGracePeriodSeconds": -1}, "/terminationGracePeriodSeconds", id="negative grace period"
        ),
        pytest.param({"service": {"ipFamilies": ["IPX"]}}, "/service/ipFamilies/0", id="unknown IP family"),
        pytest.param(
            {"kafka": {"bootstrapServers": "fd00::9:9092"}}, "/kafka/bootstrapServers", id="IPv6 without brackets"
        ),
        pytest.param({"networkPolicy": {"create": "yes"}}, "/networkPolicy/create", id="text for a policy"),
        pytest.param(
            {"networkPolicy": {"egress": {"kafka": {"ports": [0]}}}},
            "/networkPolicy/egress/kafka/ports/0",
            id="port of Kafka that does not exist",
        ),
        pytest.param({"networkPolicy": {"egress": {"kafk": {}}}}, "kafk", id="misspelled destination"),
        pytest.param(
            {"topologySpreadConstraints": [{"maxSkew": 1}]}, "/topologySpreadConstraints/0", id="half a constraint"
        ),
        pytest.param(
            {"livenessProbe": {"periodSeconds": 0}}, "/livenessProbe/periodSeconds", id="probe without a pause"
        ),
        pytest.param({"dnsPolicy": "Mine"}, "/dnsPolicy", id="unknown DNS policy"),
        pytest.param({"hostAliases": [{"ip": "::1"}]}, "/hostAliases/0", id="alias without names"),
        pytest.param({"initContainers": [{"name": "a"}]}, "/initContainers/0", id="container without an image"),
        pytest.param({"extraObjects": {"kind": "Secret"}}, "/extraObjects", id="objects that are not a list"),
        pytest.param({"api": {"pod": {"nodeSelectr": {}}}}, "nodeSelectr", id="misspelled value of mljob-api's Pod"),
        pytest.param(
            {"view": {"pod": {"resources": {}}}}, "resources", id="resources among the values of the view's Pod"
        ),
        pytest.param(
            {"serviceMonitor": {"scrapeTimeout": "soon"}}, "/serviceMonitor/scrapeTimeout", id="impossible time-out"
        ),
        pytest.param({"serviceMonitor": {"sampleLimit": -1}}, "/serviceMonitor/sampleLimit", id="negative limit"),
        pytest.param({"serviceMonitor": {"interval": "often"}}, "/serviceMonitor/interval", id="impossible interval"),
    ],
)
def test_the_schema_names_the_invalid_value(refusal: Refusal, values: dict[str, Any], where: str) -> None:
    said = refusal(values)

    assert "values don't meet the specifications of the schema" in said
    assert where in said


def test_a_release_whose_services_can_have_no_name_is_refused(render: Render) -> None:
    with pytest.raises(RefusedError, match="begins with a letter, for example --set fullnameOverride=mljob-operator"):
        render(release="1prod")

    assert render({"fullnameOverride": "prod"}, release="1prod").one("Service", "prod")


def test_an_unsupported_version_of_kubernetes_is_refused(render: Render) -> None:
    with pytest.raises(RefusedError, match=r"requires kubeVersion: >=1\.29"):
        render(options=("--kube-version", "1.28.15"))


@pytest.mark.parametrize("version", ["1.29.0", "1.31.4-gke.1000", "1.36.3+k3s1"])
def test_a_version_of_kubernetes_with_a_vendors_suffix_is_accepted(render: Render, version: str) -> None:
    assert render(options=("--kube-version", version)).one("Deployment")


def test_helm_lint_finds_no_problem(helm: Path) -> None:
    assert "0 chart(s) failed" in run_helm(helm, "lint", str(CHART), "--strict", "--values", "-", values=complete({}))
