from __future__ import annotations

from typing import Any

import pytest

from tests.chart.conftest import Render
from tests.chart.rendering import NAMESPACE

MLJOBS = {"apiGroups": ["mljob.dev"], "resources": ["mljobs"], "verbs": ["get", "list", "watch", "patch", "delete"]}
STATUS = {"apiGroups": ["mljob.dev"], "resources": ["mljobs/status"], "verbs": ["patch"]}
EVENTS = {"apiGroups": [""], "resources": ["events"], "verbs": ["create"]}
CONF = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "watch"]}

SUBJECTS = [{"kind": "ServiceAccount", "name": "mljob-operator", "namespace": NAMESPACE}]
INSTANCES = [
    {"apiGroups": ["mljob.dev"], "resources": ["airflowinstances"], "verbs": ["list", "watch", "patch"]},
    {"apiGroups": ["mljob.dev"], "resources": ["airflowinstances/status"], "verbs": ["patch"]},
    {"apiGroups": [""], "resources": ["namespaces"], "verbs": ["list", "watch"]},
]
INSTANCE_SECRETS = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
LEASES = {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["list", "create"]}
FOR_INSTANCES = "mljob-operator-instances"
FOR_LEASE = "mljob-operator-lease"
GRANTS = {"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
USER_ROLES = {
    ("ClusterRole", "mljob-operator-viewer"),
    ("ClusterRole", "mljob-operator-editor"),
    ("ClusterRole", "mljob-operator-instance-viewer"),
}


def grants(rendered: Any) -> set[tuple[str, str]]:
    return {(kind, name) for kind, name in rendered.names() if kind in GRANTS}


def test_for_all_namespaces_the_operator_gets_one_cluster_role(render: Render) -> None:
    rendered = render()

    assert rendered.one("ClusterRole", "mljob-operator")["rules"] == [MLJOBS, STATUS, EVENTS, CONF]
    binding = rendered.one("ClusterRoleBinding", "mljob-operator")
    assert binding["subjects"] == SUBJECTS
    assert binding["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": "mljob-operator",
    }
    assert grants(rendered) - USER_ROLES == {
        ("ClusterRole", "mljob-operator"),
        ("ClusterRoleBinding", "mljob-operator"),
        ("ClusterRole", FOR_INSTANCES),
        ("ClusterRoleBinding", FOR_INSTANCES),
        ("Role", FOR_INSTANCES),
        ("RoleBinding", FOR_INSTANCES),
        ("Role", FOR_LEASE),
        ("RoleBinding", FOR_LEASE),
    }


@pytest.mark.parametrize("namespaces", [[], ["team-a"]], ids=["all namespaces", "one namespace"])
def test_rights_for_the_lease_are_in_the_namespace_of_the_release_only(render: Render, namespaces: list[str]) -> None:
    rendered = render({"operator": {"namespaces": namespaces}})

    role = rendered.one("Role", FOR_LEASE)
    own = {**LEASES, "resourceNames": ["mljob-operator"], "verbs": ["get", "patch"]}
    assert (role["metadata"]["namespace"], role["rules"]) == (NAMESPACE, [own, LEASES])
    binding = rendered.one("RoleBinding", FOR_LEASE)
    assert (binding["metadata"]["namespace"], binding["subjects"]) == (NAMESPACE, SUBJECTS)
    others = [each for each in (*rendered.all("ClusterRole"), *rendered.all("Role")) if each is not role]
    assert not [each for each in others for rule in each["rules"] if "leases" in rule["resources"]]


def test_an_operator_may_write_its_own_lease_alone(render: Render) -> None:
    rendered = render({"fullnameOverride": "churn"})

    own, _ = rendered.one("Role", "churn-lease")["rules"]
    assert own["resourceNames"] == [rendered.env["MLJOB_LEASE_NAME"]] == ["churn"]


def test_rights_for_airflow_instances_are_cluster_wide_and_for_secrets_in_one_namespace(render: Render) -> None:
    rendered = render()

    assert rendered.one("ClusterRole", FOR_INSTANCES)["rules"] == INSTANCES
    role = rendered.one("Role", FOR_INSTANCES)
    assert role["rules"] == [INSTANCE_SECRETS]
    assert role["metadata"]["namespace"] == NAMESPACE
    for kind in ("RoleBinding", "ClusterRoleBinding"):
        binding = rendered.one(kind, FOR_INSTANCES)
        assert binding["subjects"] == SUBJECTS
        assert binding["roleRef"]["name"] == FOR_INSTANCES


def test_the_right_to_read_secrets_can_be_limited_to_some_secrets(render: Render) -> None:
    rendered = render({"airflowInstances": {"secrets": ["prod", "staging"]}})

    assert rendered.one("Role", FOR_INSTANCES)["rules"] == [{**INSTANCE_SECRETS, "resourceNames": ["prod", "staging"]}]


def test_airflow_instances_can_be_enabled_with_chosen_namespaces(render: Render) -> None:
    # Kubernetes stores Events about cluster-scoped objects in the namespace default.
    rendered = render({"operator": {"namespaces": ["team-a"]}, "airflowInstances": {"enabled": True}})

    assert rendered.one("ClusterRole", FOR_INSTANCES)["rules"] == INSTANCES
    events = rendered.one("Role", f"{FOR_INSTANCES}-events")
    assert (events["metadata"]["namespace"], events["rules"]) == ("default", [EVENTS])


def test_without_airflow_instances_there_are_no_rights_for_them(render: Render) -> None:
    rendered = render({"airflowInstances": {"enabled": False}})

    assert not [name for _, name in grants(rendered) if name.startswith(FOR_INSTANCES)]


def test_for_chosen_namespaces_the_operator_gets_a_role_in_each_and_no_cluster_role(render: Render) -> None:
    rendered = render({"operator": {"namespaces": ["team-a", "team-b"]}})

    names = ["mljob-operator", "mljob-operator", "mljob-operator-events"]
    namespaces = ["team-a", "team-b", "mljob-system"]
    roles, bindings = (
        [each for each in rendered.all(kind) if each["metadata"]["name"] != FOR_LEASE]
        for kind in ("Role", "RoleBinding")
    )
    for found in (roles, bindings):
        there = [(each["metadata"]["name"], each["metadata"]["namespace"]) for each in found]
        assert there == list(zip(names, namespaces, strict=True))
    assert {kind for kind, _ in grants(rendered) - USER_ROLES} == {"Role", "RoleBinding"}
    *of_jobs, of_its_own = roles
    assert [role["rules"] for role in of_jobs] == [[MLJOBS, STATUS, EVENTS, CONF]] * 2
    assert of_its_own["rules"] == [EVENTS]
    for name, binding in zip(names, bindings, strict=True):
        assert binding["subjects"] == SUBJECTS
        assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}


@pytest.mark.parametrize(
    ("readable", "resources"),
    [
        pytest.param({"secrets": True}, ["configmaps", "secrets"], id="both"),
        pytest.param({"configMaps": False, "secrets": True}, ["secrets"], id="secrets"),
        pytest.param({"configMaps": False}, None, id="neither"),
    ],
)
def test_the_values_decide_which_objects_conf_from_may_read(
    readable: dict[str, bool], resources: list[str] | None, render: Render
) -> None:
    rules = render({"confFrom": readable}).one("ClusterRole", "mljob-operator")["rules"]

    assert rules[3:] == ([{**CONF, "resources": resources}] if resources else [])


@pytest.mark.parametrize(
    "namespaces", [pytest.param([], id="all namespaces"), pytest.param(["team-a"], id="one namespace")]
)
def test_without_rbac_the_operator_gets_no_rights(render: Render, namespaces: list[str]) -> None:
    rendered = render({"rbac": {"create": False}, "operator": {"namespaces": namespaces}})

    assert grants(rendered) == USER_ROLES


def test_no_rule_contains_a_wildcard(render: Render) -> None:
    for values in ({"api": {"enabled": True}}, {"operator": {"namespaces": ["team-a"]}}):
        rendered = render(values)
        for role in [*rendered.all("ClusterRole"), *rendered.all("Role")]:
            for rule in role["rules"]:
                assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]


def test_the_instance_viewer_role_can_only_read_airflow_instances(render: Render) -> None:
    found = render().one("ClusterRole", "mljob-operator-instance-viewer")

    assert found["rules"] == [
        {"apiGroups": ["mljob.dev"], "resources": ["airflowinstances"], "verbs": ["get", "list", "watch"]}
    ]
    assert not any("aggregate-to" in label for label in found["metadata"]["labels"])


@pytest.mark.parametrize(
    ("role", "verbs", "aggregated_to"),
    [
        pytest.param("viewer", ["get", "list", "watch"], {"view", "edit", "admin"}, id="viewer"),
        pytest.param(
            "editor",
            ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
            {"edit", "admin"},
            id="editor",
        ),
    ],
)
def test_a_user_role_grants_rights_on_mljobs_and_reads_their_status_and_runs(
    render: Render, role: str, verbs: list[str], aggregated_to: set[str]
) -> None:
    found = render().one("ClusterRole", f"mljob-operator-{role}")

    assert found["rules"] == [
        {"apiGroups": ["mljob.dev"], "resources": ["mljobs"], "verbs": verbs},
        {"apiGroups": ["mljob.dev"], "resources": ["mljobs/status"], "verbs": ["get"]},
        {"apiGroups": ["run.mljob.dev"], "resources": ["mljobs/log", "mljobs/graph"], "verbs": ["get"]},
        {"apiGroups": ["run.mljob.dev"], "resources": ["mljobs/events"], "verbs": ["get", "watch"]},
        {"apiGroups": ["mljob.dev"], "resources": ["airflowinstances"], "verbs": ["get", "list", "watch"]},
    ]
    prefix = "rbac.authorization.k8s.io/aggregate-to-"
    assert {
        label.removeprefix(prefix) for label in found["metadata"]["labels"] if label.startswith(prefix)
    } == aggregated_to


def test_aggregation_to_kubernetes_own_roles_can_be_disabled(render: Render) -> None:
    for role in render({"rbac": {"userRoles": {"aggregate": False}}}).all("ClusterRole"):
        assert not [label for label in role["metadata"]["labels"] if "aggregate" in label]


def test_user_roles_can_be_disabled(render: Render) -> None:
    assert not grants(render({"rbac": {"userRoles": {"create": False}}})) & USER_ROLES


def test_the_chart_can_be_installed_without_cluster_wide_rights(render: Render) -> None:
    rendered = render(
        {"operator": {"namespaces": ["team-a"]}, "crds": {"install": False}, "rbac": {"userRoles": {"create": False}}}
    )

    assert {kind for kind, _ in rendered.names()} == {
        "Deployment",
        "PodDisruptionBudget",
        "Service",
        "ServiceAccount",
        "Role",
        "RoleBinding",
    }


def test_an_existing_service_account_is_used_and_not_created(render: Render) -> None:
    rendered = render({"serviceAccount": {"create": False, "name": "robot"}})

    assert not rendered.all("ServiceAccount")
    assert rendered.pod["serviceAccountName"] == "robot"
    for kind, name in grants(rendered):
        if kind.endswith("Binding"):
            assert rendered.one(kind, name)["subjects"][0]["name"] == "robot"


def test_the_values_set_the_service_accounts_name_and_annotations(render: Render) -> None:
    rendered = render({"serviceAccount": {"name": "robot", "annotations": {"example.com/role": "ml"}}})

    metadata = rendered.one("ServiceAccount")["metadata"]
    assert metadata["name"] == rendered.pod["serviceAccountName"] == "robot"
    assert metadata["annotations"] == {"example.com/role": "ml"}
