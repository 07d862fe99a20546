"""The chart's objects meet the default checks of kube-linter (docs.kubelinter.io, "Built-in
checks"). The tests implement these checks themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.chart.conftest import Render
from tests.chart.rendering import Rendered
from tests.chart.value_sets import VALUE_SETS

SENSITIVE = re.compile("secret|password|token", re.IGNORECASE)
HOST = ("hostNetwork", "hostPID", "hostIPC", "hostUsers")


@pytest.fixture(params=list(VALUE_SETS.values()), ids=list(VALUE_SETS))
def rendered(request: pytest.FixtureRequest, render: Render) -> Rendered:
    return render(request.param)


def pods(rendered: Rendered) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    for deployment in rendered.all("Deployment"):
        yield deployment, deployment["spec"]["template"]


def containers(rendered: Rendered) -> Iterator[dict[str, Any]]:
    for _, template in pods(rendered):
        yield from template["spec"].get("initContainers", [])
        yield from template["spec"]["containers"]


def port_names(container: dict[str, Any]) -> set[str | int]:
    return {port[field] for port in container.get("ports", []) for field in ("name", "containerPort")}


def test_dangling_service_and_invalid_target_ports(rendered: Rendered) -> None:
    for service in rendered.all("Service"):
        selector = service["spec"]["selector"].items()
        (template,) = [each for _, each in pods(rendered) if selector <= each["metadata"]["labels"].items()]
        served = {name for container in template["spec"]["containers"] for name in port_names(container)}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= served


def test_dangling_network_policy(rendered: Rendered) -> None:
    for policy in rendered.all("NetworkPolicy"):
        selector = policy["spec"]["podSelector"]["matchLabels"].items()
        selected = [each for _, each in pods(rendered) if selector <= each["metadata"]["labels"].items()]
        assert len(selected) == 1
        served = {name for container in selected[0]["spec"]["containers"] for name in port_names(container)}
        assert {port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]} <= served


def test_mismatching_selector(rendered: Rendered) -> None:
    for deployment, template in pods(rendered):
        assert deployment["spec"]["selector"]["matchLabels"].items() <= template["metadata"]["labels"].items()


def test_non_existent_and_deprecated_service_account(rendered: Rendered) -> None:
    accounts = {each["metadata"]["name"] for each in rendered.all("ServiceAccount")}
    for _, template in pods(rendered):
        assert "serviceAccount" not in template["spec"]
        assert template["spec"].get("serviceAccountName") in accounts | {None}
        assert "serviceAccountName" in template["spec"] or not template["spec"]["automountServiceAccountToken"]


def test_host_ipc_network_pid_and_mounts(rendered: Rendered) -> None:
    for _, template in pods(rendered):
        assert not set(HOST) & template["spec"].keys()
        assert all("hostPath" not in volume for volume in template["spec"]["volumes"])
        assert not template["spec"].get("securityContext", {}).get("sysctls")


def test_no_anti_affinity(rendered: Rendered) -> None:
    for deployment, template in pods(rendered):
        if deployment["spec"]["replicas"] < 2:
            continue
        anti = template["spec"]["affinity"]["podAntiAffinity"]
        preferred = anti.get("preferredDuringSchedulingIgnoredDuringExecution", [])
        terms = [each["podAffinityTerm"] for each in preferred]
        terms += anti.get("requiredDuringSchedulingIgnoredDuringExecution", [])
        labels = template["metadata"]["labels"].items()
        assert any(
            term["topologyKey"] == "kubernetes.io/hostname" and term["labelSelector"]["matchLabels"].items() <= labels
            for term in terms
        )


def test_pdb_max_unavailable_and_unhealthy_pod_eviction_policy(rendered: Rendered) -> None:
    for budget in rendered.all("PodDisruptionBudget"):
        assert budget["spec"]["maxUnavailable"] > 0
        assert "minAvailable" not in budget["spec"]
        assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_duplicate_env_var_and_env_var_secret(rendered: Rendered) -> None:
    for container in containers(rendered):
        names = [each["name"] for each in container.get("env", [])]
        assert len(names) == len(set(names))
        # A path is no secret.
        given = [
            each["name"] for each in container.get("env", []) if each.get("value") and SENSITIVE.search(each["name"])
        ]
        assert [name for name in given if not name.endswith(("_FILE", "_FILES", "_URL", "_ENDPOINT"))] == []


def test_latest_tag(rendered: Rendered) -> None:
    for container in containers(rendered):
        assert re.search(r"(:(?!latest$)[^:/]+|@sha256:[0-9a-f]{64})$", container["image"])


def test_liveness_readiness_and_startup_port(rendered: Rendered) -> None:
    for _, template in pods(rendered):
        main = template["spec"]["containers"][0]
        for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
            assert main[probe]["httpGet"]["port"] in port_names(main)


def test_no_read_only_root_fs_privilege_escalation_and_drop_net_raw_capability(rendered: Rendered) -> None:
    for container in containers(rendered):
        context = container["securityContext"]
        assert context["readOnlyRootFilesystem"] is True
        assert context["allowPrivilegeEscalation"] is False
        assert "privileged" not in context
        assert context["capabilities"] == {"drop": ["ALL"]}


def test_run_as_non_root(rendered: Rendered) -> None:
    for _, template in pods(rendered):
        assert template["spec"]["securityContext"]["runAsNonRoot"] is True
        assert template["spec"]["securityContext"].get("runAsUser") != 0


def test_ssh_and_privileged_ports(rendered: Rendered) -> None:
    ports = [port["containerPort"] for container in containers(rendered) for port in container.get("ports", [])]

    assert ports
    assert min(ports) >= 1024


def test_unset_cpu_and_memory_requirements(rendered: Rendered) -> None:
    for container in containers(rendered):
        assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]


def test_wildcard_in_rules_and_access_to_create_pods(rendered: Rendered) -> None:
    for role in (*rendered.all("Role"), *rendered.all("ClusterRole")):
        for rule in role["rules"] or []:
            assert "*" not in (*rule["verbs"], *rule["resources"], *rule["apiGroups"])
            assert not {"pods", "deployments", "jobs", "daemonsets", "statefulsets"} & set(rule["resources"])


def test_no_extensions_v1beta(rendered: Rendered) -> None:
    assert [each["apiVersion"] for each in rendered.objects if "beta" in each["apiVersion"]] == []
