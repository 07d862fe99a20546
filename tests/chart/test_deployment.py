from __future__ import annotations

from typing import Any

import pytest

from release import version
from tests.chart.conftest import Render
from tests.chart.rendering import IMAGE, NAMESPACE, RESTRICTED_CONTAINER, RESTRICTED_POD

VERSION = version.read()
DIGEST = "sha256:" + "ab" * 32


def test_a_standby_replaces_the_pod_that_acts_before_it_ends(render: Render) -> None:
    spec = render().one("Deployment")["spec"]

    assert spec["replicas"] == 2
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def test_several_pods_are_spread_over_the_nodes_and_evicted_one_at_a_time(render: Render) -> None:
    rendered = render()

    selector = rendered.one("Deployment")["spec"]["selector"]
    assert rendered.pod["topologySpreadConstraints"] == [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": selector,
        }
        for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
    ]
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": selector}
    assert rendered.pod["affinity"]["podAntiAffinity"] == {
        "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}]
    }
    assert rendered.one("PodDisruptionBudget")["spec"] == {
        "maxUnavailable": 1,
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
        "selector": selector,
    }


@pytest.mark.parametrize("replicas", [pytest.param(0, id="the operator is stopped"), pytest.param(1, id="one Pod")])
def test_without_several_pods_nothing_spreads_them_or_delays_their_eviction(render: Render, replicas: int) -> None:
    rendered = render({"operator": {"replicas": replicas}})

    assert rendered.one("Deployment")["spec"]["replicas"] == replicas
    assert not rendered.all("PodDisruptionBudget")
    assert not {"topologySpreadConstraints", "affinity"} & rendered.pod.keys()


def test_the_deployment_and_the_service_select_the_operators_pod(render: Render) -> None:
    rendered = render({"podLabels": {"team": "ml"}})

    spec = rendered.one("Deployment")["spec"]
    selector = spec["selector"]["matchLabels"]
    assert selector == {"app.kubernetes.io/name": "mljob-operator", "app.kubernetes.io/instance": "mljob-operator"}
    assert selector.items() <= spec["template"]["metadata"]["labels"].items()
    assert rendered.one("Service")["spec"]["selector"] == selector


def test_the_selector_does_not_change_with_the_version(render: Render) -> None:
    # A Deployment's selector is immutable. The API server would refuse the upgrade.
    selector = render().one("Deployment")["spec"]["selector"]["matchLabels"]

    assert not {"app.kubernetes.io/version", "helm.sh/chart"} & selector.keys()


def test_the_pod_satisfies_restricted_pod_security(render: Render) -> None:
    rendered = render()

    assert rendered.pod["securityContext"] == RESTRICTED_POD
    assert rendered.container["securityContext"] == RESTRICTED_CONTAINER
    assert not {"hostNetwork", "hostPID", "hostIPC", "initContainers"} & rendered.pod.keys()


def test_only_tmp_is_writable(render: Render) -> None:
    rendered = render()

    assert rendered.container["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]
    assert rendered.pod["volumes"] == [{"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}}]


def test_the_container_runs_the_operator_module(render: Render) -> None:
    assert render().container["command"] == ["python", "-m", "mljob_operator"]


@pytest.mark.parametrize(
    ("probe", "path"),
    [
        pytest.param("startupProbe", "/livez", id="started"),
        pytest.param("livenessProbe", "/livez", id="alive"),
        pytest.param("readinessProbe", "/readyz", id="ready"),
    ],
)
def test_a_probe_requests_its_path_on_the_operators_port(render: Render, probe: str, path: str) -> None:
    container = render().container

    assert container[probe]["httpGet"] == {"path": path, "port": "http"}
    assert container["ports"] == [{"name": "http", "containerPort": 8080, "protocol": "TCP"}]


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        pytest.param({}, 120, id="two minutes by default"),
        pytest.param({"periodSeconds": 5, "failureThreshold": 100}, 500, id="as long as the values say"),
    ],
)
def test_the_startup_probe_gives_the_operator_time_to_start(
    render: Render, given: dict[str, int], seconds: int
) -> None:
    probe = render({"startupProbe": given}).container["startupProbe"]

    assert probe["periodSeconds"] * probe["failureThreshold"] == seconds


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        pytest.param({}, f"{IMAGE}:{VERSION}", id="the chart's appVersion"),
        pytest.param({"tag": "1.2.3"}, f"{IMAGE}:1.2.3", id="tag"),
        pytest.param(
            {"repository": "images.example/ml/mljob-operator"},
            f"images.example/ml/mljob-operator:{VERSION}",
            id="registry",
        ),
        pytest.param({"digest": DIGEST, "tag": "1.2.3"}, f"{IMAGE}@{DIGEST}", id="a digest wins over a tag"),
    ],
)
def test_the_image_comes_from_registry_tag_and_digest(render: Render, image: dict[str, str], expected: str) -> None:
    assert render({"image": image}).container["image"] == expected


def test_pull_policy_and_pull_secrets_reach_the_pod(render: Render) -> None:
    rendered = render({"image": {"pullPolicy": "Always"}, "imagePullSecrets": [{"name": "registry"}]})

    assert rendered.container["imagePullPolicy"] == "Always"
    assert rendered.pod["imagePullSecrets"] == [{"name": "registry"}]


def test_resources_limit_memory_and_leave_cpu_unlimited(render: Render) -> None:
    assert render().container["resources"] == {
        "requests": {"cpu": "50m", "memory": "128Mi"},
        "limits": {"memory": "512Mi"},
    }


TOLERATION = {"key": "dedicated", "operator": "Equal", "value": "ml", "effect": "NoSchedule"}
AFFINITY: dict[str, Any] = {
    "nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": []}]}
    }
}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param({"nodeSelector": {"disk": "ssd"}}, {"nodeSelector": {"disk": "ssd"}}, id="node selector"),
        pytest.param({"tolerations": [TOLERATION]}, {"tolerations": [TOLERATION]}, id="tolerations"),
        pytest.param({"affinity": AFFINITY}, {"affinity": AFFINITY}, id="affinity"),
        pytest.param({"priorityClassName": "high"}, {"priorityClassName": "high"}, id="priority class"),
        pytest.param({"terminationGracePeriodSeconds": 90}, {"terminationGracePeriodSeconds": 90}, id="grace period"),
        pytest.param({}, {"terminationGracePeriodSeconds": 30}, id="default grace period"),
    ],
)
def test_scheduling_values_reach_the_pod(render: Render, values: dict[str, Any], expected: dict[str, Any]) -> None:
    pod = render(values).pod

    assert expected.items() <= pod.items()


def test_the_pod_has_no_field_for_a_value_that_is_not_set(render: Render) -> None:
    assert set(render().pod) == {
        "serviceAccountName",
        "automountServiceAccountToken",
        "securityContext",
        "terminationGracePeriodSeconds",
        "affinity",
        "topologySpreadConstraints",
        "containers",
        "volumes",
    }


def test_pod_annotations_and_labels_reach_the_pod(render: Render) -> None:
    metadata = render({"podAnnotations": {"example.com/a": "b"}, "podLabels": {"team": "ml"}}).one("Deployment")[
        "spec"
    ]["template"]["metadata"]

    assert metadata["annotations"]["example.com/a"] == "b"
    assert metadata["annotations"]["kubectl.kubernetes.io/default-container"] == "operator"
    assert metadata["labels"]["team"] == "ml"


def test_security_contexts_and_resources_can_be_replaced(render: Render) -> None:
    # On OpenShift the default user must be removed with null, because OpenShift chooses the user.
    rendered = render(
        {
            "podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None},
            "securityContext": {"readOnlyRootFilesystem": False},
            "resources": {"limits": {"memory": "1Gi"}},
        }
    )

    assert rendered.pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    assert rendered.container["securityContext"]["readOnlyRootFilesystem"] is False
    assert rendered.container["resources"]["limits"] == {"memory": "1Gi"}


def test_only_the_operators_pod_mounts_the_service_account_token_by_default(render: Render) -> None:
    rendered = render()

    assert rendered.pod["automountServiceAccountToken"] is True
    assert rendered.pod["serviceAccountName"] == "mljob-operator"
    assert rendered.one("ServiceAccount")["automountServiceAccountToken"] is False


@pytest.mark.parametrize(
    ("values", "release", "expected"),
    [
        pytest.param({}, "mljob-operator", "mljob-operator", id="a release with the chart's name"),
        pytest.param(
            {}, "prod-mljob-operator", "prod-mljob-operator", id="a release whose name contains the chart's name"
        ),
        pytest.param({}, "prod", "prod-mljob-operator", id="any other release"),
        pytest.param({}, "team.prod", "team-prod-mljob-operator", id="a release with a dot in its name"),
        pytest.param({"nameOverride": "jobs"}, "prod", "prod-jobs", id="another name"),
        pytest.param({"fullnameOverride": "jobs"}, "prod", "jobs", id="another full name"),
    ],
)
def test_objects_are_named_after_the_release(
    render: Render, values: dict[str, Any], release: str, expected: str
) -> None:
    rendered = render({"crds": {"install": False}, **values}, release=release)

    assert rendered.names() == {
        ("Deployment", expected),
        ("Service", expected),
        ("ServiceAccount", expected),
        ("ClusterRole", expected),
        ("ClusterRole", f"{expected}-viewer"),
        ("ClusterRole", f"{expected}-editor"),
        ("ClusterRole", f"{expected}-instance-viewer"),
        ("ClusterRoleBinding", expected),
        ("ClusterRole", f"{expected}-instances"),
        ("ClusterRoleBinding", f"{expected}-instances"),
        ("Role", f"{expected}-instances"),
        ("RoleBinding", f"{expected}-instances"),
        ("Role", f"{expected}-lease"),
        ("RoleBinding", f"{expected}-lease"),
        ("PodDisruptionBudget", expected),
    }


def test_every_object_has_the_labels_and_the_namespace_of_the_release(render: Render) -> None:
    cluster_wide = {"CustomResourceDefinition", "ClusterRole", "ClusterRoleBinding"}

    for each in render({"serviceMonitor": {"enabled": True}}).objects:
        metadata = each["metadata"]
        assert {
            "helm.sh/chart": f"mljob-operator-{VERSION}",
            "app.kubernetes.io/name": "mljob-operator",
            "app.kubernetes.io/instance": "mljob-operator",
            "app.kubernetes.io/version": VERSION,
            "app.kubernetes.io/managed-by": "Helm",
        }.items() <= metadata["labels"].items()
        assert metadata.get("namespace") == (None if each["kind"] in cluster_wide else NAMESPACE)
