"""The chart's objects for mljob-api."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from mljob_operator.api.server import STOP_SECONDS
from mljob_operator.api.settings import ApiSettings
from mljob_operator.settings import Settings
from tests.chart.conftest import Render
from tests.chart.environment_values import EVERYTHING, WITH_TOKEN
from tests.chart.rendering import IMAGE, NAMESPACE, RESTRICTED_CONTAINER, RESTRICTED_POD, Rendered, merged
from tests.chart.test_openshift import OPENSHIFT
from tests.chart.test_refusals import PEM

NAME = "mljob-operator-api"
SERVED_AS = f"{NAME}.{NAMESPACE}.svc"
ENABLED: dict[str, Any] = {"api": {"enabled": True}}
WITH_SECRET = merged(ENABLED, {"api": {"tls": {"existingSecret": "served", "caBundle": PEM}}})
WITH_CERT_MANAGER = merged(ENABLED, {"api": {"tls": {"certManager": {"issuer": "internal"}}}})

JOBS = {"apiGroups": ["mljob.dev"], "resources": ["mljobs"], "verbs": ["get"]}
CONFIG_MAPS = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}
INSTANCES = [
    {"apiGroups": ["mljob.dev"], "resources": ["airflowinstances"], "verbs": ["list"]},
    {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]},
]
SECRETS = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}


def of_api(rendered: Rendered) -> Rendered:
    return Rendered([each for each in rendered.objects if each["metadata"]["name"].startswith((NAME, "v1alpha1."))])


@pytest.fixture
def api(render: Render) -> Rendered:
    return of_api(render(ENABLED))


def grants(rendered: Rendered) -> dict[tuple[str, str, str | None], Any]:
    """Return a dict with an entry for each RoleBinding and ClusterRoleBinding of mljob-api.

    The key has the kind of the role, the name of the binding, and the namespace of the binding. The
    value is the rules of the role. If the chart does not contain the role, the value is the role's
    name.
    """
    found = {}
    for kind in ("Role", "ClusterRole"):
        for binding in of_api(rendered).all(f"{kind}Binding"):
            metadata, role = binding["metadata"], binding["roleRef"]["name"]
            [subject] = binding["subjects"]
            assert subject == {"kind": "ServiceAccount", "name": NAME, "namespace": NAMESPACE}
            rules = [
                each["rules"]
                for each in rendered.all(kind)
                if (each["metadata"]["name"], each["metadata"].get("namespace")) == (role, metadata.get("namespace"))
            ]
            found[kind, metadata["name"], metadata.get("namespace")] = rules[0] if rules else role
    return found


def test_there_is_nothing_of_mljob_api_by_default(render: Render) -> None:
    rendered = render()

    assert not of_api(rendered).objects
    assert not rendered.all("Secret")


def test_the_api_has_two_pods_that_run_its_module(api: Rendered) -> None:
    assert api.one("Deployment")["spec"]["replicas"] == 2
    assert api.container["command"] == ["python", "-m", "mljob_operator.api"]
    assert api.container["image"].startswith(f"{IMAGE}:")
    assert api.pod["serviceAccountName"] == NAME


def test_the_pods_satisfy_restricted_pod_security(api: Rendered) -> None:
    assert api.pod["securityContext"] == RESTRICTED_POD
    assert api.container["securityContext"] == RESTRICTED_CONTAINER
    assert [mount["mountPath"] for mount in api.container["volumeMounts"] if not mount.get("readOnly")] == ["/tmp"]


def test_the_operator_and_mljob_api_select_their_own_pods_only(render: Render) -> None:
    # Otherwise Prometheus would scrape mljob-api through the operator's Service.
    rendered = render(ENABLED)
    pods = {
        each["metadata"]["name"]: each["spec"]["template"]["metadata"]["labels"] for each in rendered.all("Deployment")
    }

    for service in rendered.all("Service"):
        selector = service["spec"]["selector"].items()
        selected = [name for name, labels in pods.items() if selector <= labels.items()]
        assert selected == [service["metadata"]["name"]]
    for deployment in rendered.all("Deployment"):
        selector = deployment["spec"]["selector"]["matchLabels"].items()
        assert [name for name, labels in pods.items() if selector <= labels.items()] == [deployment["metadata"]["name"]]


def test_probes_request_the_port_without_tls(api: Rendered) -> None:
    container = api.container

    assert container["startupProbe"]["httpGet"] == {"path": "/livez", "port": "probes"}
    assert container["livenessProbe"]["httpGet"] == {"path": "/livez", "port": "probes"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "probes"}
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {"https": 6443, "probes": 8081}


def test_the_pods_prefer_different_nodes_and_zones(api: Rendered) -> None:
    selector = api.one("Deployment")["spec"]["selector"]

    spread = {each["topologyKey"]: each for each in api.pod["topologySpreadConstraints"]}
    assert set(spread) == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}
    for each in spread.values():
        assert each["whenUnsatisfiable"] == "ScheduleAnyway"
        assert each["labelSelector"] == selector


def test_an_update_and_a_drain_leave_a_pod(api: Rendered) -> None:
    spec = api.one("Deployment")["spec"]
    budget = api.one("PodDisruptionBudget")["spec"]

    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    assert budget == {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": spec["selector"],
    }


def test_a_pod_serves_until_the_control_plane_knows_that_it_is_going(api: Rendered) -> None:
    [_, seconds] = api.container["lifecycle"]["preStop"]["exec"]["command"]

    assert 0 < int(seconds) < api.pod["terminationGracePeriodSeconds"] - STOP_SECONDS


def test_openshift_chooses_the_user_of_mljob_api_too(render: Render) -> None:
    api = of_api(render(merged(OPENSHIFT, ENABLED)))

    assert api.pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_values_of_the_pod_apply_to_both(render: Render) -> None:
    values = {
        "imagePullSecrets": [{"name": "registry"}],
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "dedicated", "operator": "Exists"}],
        "priorityClassName": "high",
        "podLabels": {"team": "ml"},
        "extraVolumes": [{"name": "tokens", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "tokens", "mountPath": "/tokens"}],
    }
    api = of_api(render(ENABLED | values))

    assert {name: api.pod[name] for name in ("imagePullSecrets", "nodeSelector", "tolerations")} == {
        name: values[name] for name in ("imagePullSecrets", "nodeSelector", "tolerations")
    }
    assert api.pod["priorityClassName"] == "high"
    assert {"name": "tokens", "emptyDir": {}} in api.pod["volumes"]
    assert {"name": "tokens", "mountPath": "/tokens"} in api.container["volumeMounts"]
    assert api.one("Deployment")["spec"]["template"]["metadata"]["labels"]["team"] == "ml"


# --- Certificate and registration -----------------------------------------------------------------


def test_the_chart_makes_a_certificate_that_the_registration_trusts(api: Rendered) -> None:
    data = {key: base64.b64decode(value) for key, value in api.one("Secret")["data"].items()}
    [made, authority] = [x509.load_pem_x509_certificate(data[key]) for key in ("tls.crt", "ca.crt")]
    key = serialization.load_pem_private_key(data["tls.key"], None)

    made.verify_directly_issued_by(authority)
    assert key.public_key() == made.public_key()
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName)[0] == SERVED_AS
    assert (made.not_valid_after_utc - made.not_valid_before_utc).days == 3650
    registration = api.one("APIService")["spec"]
    assert base64.b64decode(registration["caBundle"]) == data["ca.crt"]
    assert "insecureSkipTLSVerify" not in registration


def test_the_key_of_the_authority_is_not_stored(api: Rendered) -> None:
    secret = api.one("Secret")

    assert secret["type"] == "kubernetes.io/tls"
    assert set(secret["data"]) == {"ca.crt", "tls.crt", "tls.key"}
    [volume] = [each for each in api.pod["volumes"] if each["name"] == "api-tls"]
    assert volume["secret"] == {
        "secretName": secret["metadata"]["name"],
        "defaultMode": 0o440,
        "items": [{"key": "tls.crt", "path": "tls.crt"}, {"key": "tls.key", "path": "tls.key"}],
    }


def test_the_api_service_registers_the_group_at_the_service(api: Rendered) -> None:
    registration = api.one("APIService")

    assert registration["metadata"]["name"] == "v1alpha1.run.mljob.dev"
    spec = registration["spec"]
    assert (spec["group"], spec["version"]) == ("run.mljob.dev", "v1alpha1")
    assert spec["service"] == {"name": NAME, "namespace": NAMESPACE, "port": 443}
    ports = {port["name"]: (port["port"], port["targetPort"]) for port in api.one("Service")["spec"]["ports"]}
    assert ports == {"https": (443, "https"), "http": (8080, "probes")}


def test_a_secret_can_have_the_certificate(render: Render) -> None:
    api = of_api(render(WITH_SECRET))

    assert not api.all("Secret")
    [volume] = [each for each in api.pod["volumes"] if each["name"] == "api-tls"]
    assert volume["secret"]["secretName"] == "served"
    assert base64.b64decode(api.one("APIService")["spec"]["caBundle"]).decode() == PEM


def test_cert_manager_can_sign_the_certificate(render: Render) -> None:
    api = of_api(render(WITH_CERT_MANAGER))

    spec = api.one("Certificate")["spec"]
    [volume] = [each for each in api.pod["volumes"] if each["name"] == "api-tls"]
    assert not api.all("Secret")
    assert spec["secretName"] == volume["secret"]["secretName"]
    assert spec["issuerRef"] == {"group": "cert-manager.io", "kind": "Issuer", "name": "internal"}
    assert spec["dnsNames"][0] == SERVED_AS
    registration = api.one("APIService")
    assert registration["metadata"]["annotations"] == {"cert-manager.io/inject-ca-from": f"{NAMESPACE}/{NAME}"}
    assert "caBundle" not in registration["spec"]


def test_without_an_api_service_a_secret_needs_no_ca(render: Render) -> None:
    values = {"api": {"apiService": {"create": False}, "tls": {"existingSecret": "served"}}}

    assert not of_api(render(merged(ENABLED, values))).all("APIService")


# --- Rights ---------------------------------------------------------------------------------------


def test_the_api_reads_and_writes_nothing(render: Render) -> None:
    assert grants(render(ENABLED)) == {
        ("ClusterRole", NAME, None): [JOBS, CONFIG_MAPS],
        ("ClusterRole", f"{NAME}-instances", None): INSTANCES,
        ("Role", f"{NAME}-instances", NAMESPACE): [SECRETS],
        ("Role", f"{NAME}-{NAMESPACE}", "kube-system"): "extension-apiserver-authentication-reader",
    }


def test_for_chosen_namespaces_the_api_reads_mljobs_there_only(render: Render) -> None:
    values = merged(ENABLED, {"operator": {"namespaces": ["team-a", "team-b"]}})

    assert grants(render(values)) == {
        ("Role", NAME, "team-a"): [JOBS, CONFIG_MAPS],
        ("Role", NAME, "team-b"): [JOBS, CONFIG_MAPS],
        ("Role", f"{NAME}-{NAMESPACE}", "kube-system"): "extension-apiserver-authentication-reader",
    }


def test_the_api_reads_config_maps_where_the_operator_does(render: Render) -> None:
    for wanted in (True, False):
        values = merged(ENABLED, {"confFrom": {"configMaps": wanted, "secrets": True}})
        rules = grants(render(values))["ClusterRole", NAME, None]
        assert rules == ([JOBS, CONFIG_MAPS] if wanted else [JOBS])


def test_the_right_to_read_secrets_is_limited_as_the_operators(render: Render) -> None:
    values = merged(ENABLED, {"airflowInstances": {"secrets": ["prod"]}})

    [rule] = grants(render(values))["Role", f"{NAME}-instances", NAMESPACE]
    assert rule == SECRETS | {"resourceNames": ["prod"]}


def test_without_rbac_the_api_gets_no_rights(render: Render) -> None:
    rendered = render(merged(ENABLED, {"rbac": {"create": False}}))

    assert not grants(rendered)
    assert of_api(rendered).one("ServiceAccount")["automountServiceAccountToken"] is False


# --- Network --------------------------------------------------------------------------------------


def test_the_network_policy_admits_the_ports_of_the_pods(api: Rendered) -> None:
    policy = api.one("NetworkPolicy")["spec"]

    assert policy["podSelector"] == api.one("Deployment")["spec"]["selector"]
    assert policy["policyTypes"] == ["Ingress"]
    assert policy["ingress"] == [
        {"ports": [{"port": "https", "protocol": "TCP"}]},
        {"ports": [{"port": "probes", "protocol": "TCP"}]},
    ]


def test_the_network_policy_takes_peers_and_egress(render: Render) -> None:
    peers = [{"ipBlock": {"cidr": "10.0.0.0/28"}}]
    egress = [{"ports": [{"port": 53, "protocol": "UDP"}]}]
    policies = {"api": {"networkPolicy": {"ingressFrom": peers, "egress": egress}}}

    policy = of_api(render(merged(ENABLED, policies))).one("NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["ingress"][0]["from"] == peers
    assert "from" not in policy["ingress"][1]
    assert policy["egress"] == egress


def test_the_network_policy_can_be_left_out(render: Render) -> None:
    assert not render(merged(ENABLED, {"api": {"networkPolicy": {"create": False}}})).all("NetworkPolicy")


# --- Settings -------------------------------------------------------------------------------------


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Callable[[Rendered], ApiSettings]:
    def read(rendered: Rendered) -> ApiSettings:
        for name in [name for name in os.environ if name.startswith("MLJOB_")]:
            monkeypatch.delenv(name)
        for name, value in of_api(rendered).env.items():
            monkeypatch.setenv(name, value if isinstance(value, str) else "from-a-Secret")
        return ApiSettings()

    return read


def test_the_chart_sets_all_settings_of_mljob_api_itself(api: Rendered) -> None:
    own = {f"MLJOB_{name.upper()}" for name in ApiSettings.model_fields.keys() - Settings.model_fields.keys()}

    assert {name for name in api.env if name.startswith("MLJOB_API_")} == own


def test_mljob_api_accepts_the_variables_of_the_chart(
    render: Render, settings: Callable[[Rendered], ApiSettings]
) -> None:
    parsed = settings(render(merged(EVERYTHING, ENABLED)))

    assert parsed.airflow_url == EVERYTHING["airflow"]["url"]
    assert parsed.namespaces == ("team-a", "team-b")
    assert parsed.api_cert_file == "/etc/mljob-operator/api-tls/tls.crt"


def test_the_chart_and_mljob_api_have_the_same_defaults(
    render: Render, settings: Callable[[Rendered], ApiSettings]
) -> None:
    parsed = settings(render(merged(WITH_TOKEN, ENABLED)))

    # The chart has one address for all ports, by default every address.
    without_default = {"api_cert_file", "api_key_file", "api_host"}
    own = ApiSettings.model_fields.keys() - Settings.model_fields.keys() - without_default
    assert {name: getattr(parsed, name) for name in own} == {
        name: ApiSettings.model_fields[name].default for name in own
    }


def test_the_settings_of_the_election_are_the_operators_alone(render: Render) -> None:
    rendered = render(
        merged(
            ENABLED,
            {"operator": {"selector": {"matchLabels": {"team": "churn"}}}, "airflow": {"url": "http://airflow"}},
        )
    )
    of_election = {"MLJOB_LEASE_NAME", "MLJOB_LEASE_SECONDS", "MLJOB_SELECTOR"}

    assert of_election <= rendered.without(NAME).env.keys()
    assert not of_election & of_api(rendered).env.keys()


def test_the_port_of_the_value_is_served(render: Render) -> None:
    api = of_api(render(merged(ENABLED, {"api": {"port": 10250}})))

    assert api.env["MLJOB_API_PORT"] == "10250"
    assert api.container["ports"][0] == {"name": "https", "containerPort": 10250, "protocol": "TCP"}


def test_extra_variables_override_those_of_mljob_api_too(render: Render) -> None:
    extra = [{"name": "MLJOB_API_HOST", "value": "0.0.0.0"}, {"name": "MLJOB_LOG_LEVEL", "value": "debug"}]
    api = of_api(render(ENABLED | {"extraEnv": extra}))

    assert api.env["MLJOB_API_HOST"] == "0.0.0.0"
    assert api.env["MLJOB_LOG_LEVEL"] == "debug"


def test_the_api_gets_the_files_of_the_operators_connections(render: Render) -> None:
    values = merged(EVERYTHING, {"api": {"enabled": True}})
    rendered = render(values)
    operator, api = rendered.without(NAME), of_api(rendered)

    assert {each["name"] for each in api.pod["volumes"]} == {each["name"] for each in operator.pod["volumes"]} | {
        "api-tls"
    }
    for name, value in api.env.items():
        if not name.startswith("MLJOB_API_"):
            assert operator.env[name] == value
