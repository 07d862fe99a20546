"""The chart on a real API server: admission, RBAC, and mljob-api."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests import libyaml
from tests.chart.cluster import INSTANCES, MLJOBS, Cluster, CommandError, unique
from tests.chart.conftest import Render
from tests.chart.releases import Release, install, make_namespace
from tests.chart.rendering import CHART, merged
from tests.chart.value_sets import VALUE_SETS
from tests.live.eventually import eventually

RESTRICTED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/warn": "restricted",
}
CRD_RESOURCE = "customresourcedefinitions.apiextensions.k8s.io"


NO_API_SERVICE = {"api": {"apiService": {"create": False}}}
"""Values without the APIService. A cluster can have one APIService of mljob-api, which the
development stack has already.
"""
ONE_STACK = {"service": {"ipFamilyPolicy": "SingleStack", "ipFamilies": []}}
"""Values for one family of IP addresses, as the API server of the development stack has."""
WITH_API = merged(NO_API_SERVICE, {"api": {"enabled": True}})


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    name = make_namespace(cluster, "chart", RESTRICTED)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def team(cluster: Cluster) -> Iterator[str]:
    name = make_namespace(cluster, "team")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def release(cluster: Cluster, crds: None, namespace: str) -> Iterator[Release]:
    installed = install(cluster, namespace, {})
    yield installed
    cluster.helm("uninstall", installed.name, f"--namespace={namespace}")


@pytest.fixture(scope="module")
def api_release(cluster: Cluster, crds: None, namespace: str) -> Iterator[Release]:
    installed = install(cluster, namespace, WITH_API)
    yield installed
    cluster.helm("uninstall", installed.name, f"--namespace={namespace}")


@pytest.fixture(scope="module")
def bound_release(cluster: Cluster, crds: None, namespace: str, team: str) -> Iterator[Release]:
    installed = install(
        cluster, namespace, {"operator": {"namespaces": [team]}, "rbac": {"userRoles": {"create": False}}}
    )
    yield installed
    cluster.helm("uninstall", installed.name, f"--namespace={namespace}")


@pytest.fixture(scope="module")
def nobody(cluster: Cluster, namespace: str) -> str:
    cluster.kubectl("create", "serviceaccount", "nobody", f"--namespace={namespace}")
    return f"system:serviceaccount:{namespace}:nobody"


@pytest.fixture
def operator(cluster: Cluster, release: Release, tmp_path: Path) -> Cluster:
    return cluster.as_service_account(release.namespace, release.full_name, tmp_path / "operator.kubeconfig")


# --- Admission ------------------------------------------------------------------------------------


def test_restricted_pod_security_admits_the_operators_pod(cluster: Cluster, release: Release) -> None:
    selector = f"--selector=app.kubernetes.io/instance={release.name}"
    cluster.kubectl("wait", "--for=create", "pod", selector, f"--namespace={release.namespace}", "--timeout=60s")

    pods = cluster.get("pods", selector, f"--namespace={release.namespace}")["items"]
    assert pods
    for pod in pods:
        assert pod["spec"]["serviceAccountName"] == release.full_name
        assert any(
            "serviceAccountToken" in source
            for volume in pod["spec"]["volumes"]
            for source in volume.get("projected", {}).get("sources", [])
        )
    conditions = cluster.get("deployment", release.full_name, f"--namespace={release.namespace}")["status"][
        "conditions"
    ]
    assert "ReplicaFailure" not in [each["type"] for each in conditions]


def test_restricted_pod_security_refuses_another_pod(cluster: Cluster, namespace: str) -> None:
    # Without this check, the admission of the operator's Pod in this namespace would prove
    # nothing.
    with pytest.raises(CommandError, match='violates PodSecurity "restricted'):
        cluster.kubectl("run", "lax", "--image=lax", f"--namespace={namespace}")


@pytest.mark.parametrize(
    "values",
    [merged(merged(values, NO_API_SERVICE), ONE_STACK) for values in VALUE_SETS.values()],
    ids=VALUE_SETS.keys(),
)
def test_the_api_server_accepts_every_rendered_field_without_a_warning(
    cluster: Cluster, render: Render, crds: None, namespace: str, values: dict[str, Any]
) -> None:
    # A Pod template that violates "restricted" causes a warning, because the namespace asks for
    # it.
    rendered = render(
        merged(values, {"crds": {"install": False}}),
        namespace=namespace,
        release=unique("dry"),
    )

    text = libyaml.dump_all(rendered.objects)
    done = cluster.run(
        cluster.kubectl_path, "create", "--dry-run=server", "--validate=strict", "--filename=-", stdin=text
    )

    assert done.stderr == ""


# --- Rights of the operator -----------------------------------------------------------------------

NEEDED = {
    ("mljob.dev", "mljobs", "get"),
    ("mljob.dev", "mljobs", "list"),
    ("mljob.dev", "mljobs", "watch"),
    ("mljob.dev", "mljobs", "patch"),
    ("mljob.dev", "mljobs", "delete"),
    ("mljob.dev", "mljobs/status", "patch"),
    ("", "events", "create"),
    ("", "configmaps", "get"),
    ("", "configmaps", "watch"),
}
NEEDED_FOR_THE_LEASE = {("coordination.k8s.io", "leases", verb) for verb in ("get", "list", "create", "patch")}
NEEDED_FOR_INSTANCES = {
    ("mljob.dev", "airflowinstances", "list"),
    ("mljob.dev", "airflowinstances", "watch"),
    ("mljob.dev", "airflowinstances", "patch"),
    ("mljob.dev", "airflowinstances/status", "patch"),
    ("", "namespaces", "list"),
    ("", "namespaces", "watch"),
}


def test_an_operator_of_all_namespaces_has_exactly_the_needed_rights(
    cluster: Cluster, release: Release, nobody: str, team: str
) -> None:
    expected = NEEDED | NEEDED_FOR_INSTANCES
    for where in (team, "kube-system"):
        assert cluster.rules(release.user, where) - cluster.rules(nobody, where) == expected
    at_home = cluster.rules(release.user, release.namespace) - cluster.rules(nobody, release.namespace)
    assert at_home == expected | {("", "secrets", "get")} | NEEDED_FOR_THE_LEASE


def test_an_operator_of_one_namespace_has_the_needed_rights_there_only(
    cluster: Cluster, bound_release: Release, nobody: str, team: str
) -> None:
    assert cluster.rules(bound_release.user, team) - cluster.rules(nobody, team) == NEEDED
    for where in ("kube-system", "default"):
        assert cluster.rules(bound_release.user, where) == cluster.rules(nobody, where)
    # The operator records Events about itself in its own namespace.
    own = cluster.rules(bound_release.user, bound_release.namespace) - cluster.rules(nobody, bound_release.namespace)
    assert own == {("", "events", "create")} | NEEDED_FOR_THE_LEASE


ALLOWED, DENIED = True, False


@pytest.mark.parametrize(
    ("verb", "resource", "expected"),
    [
        pytest.param("watch", MLJOBS, ALLOWED, id="watches MLJobs"),
        pytest.param("patch", MLJOBS, ALLOWED, id="patches finalizers"),
        pytest.param("patch", f"{MLJOBS}/status", ALLOWED, id="patches statuses"),
        pytest.param("create", "events", ALLOWED, id="writes Events"),
        pytest.param("patch", "events", DENIED, id="does not patch Events"),
        pytest.param("list", CRD_RESOURCE, DENIED, id="does not list CRDs"),
        pytest.param("create", MLJOBS, DENIED, id="does not create MLJobs"),
        pytest.param("delete", MLJOBS, ALLOWED, id="deletes expired MLJobs"),
        pytest.param("watch", INSTANCES, ALLOWED, id="watches AirflowInstances"),
        pytest.param("patch", f"{INSTANCES}/status", ALLOWED, id="patches their statuses"),
        pytest.param("create", INSTANCES, DENIED, id="does not create AirflowInstances"),
        pytest.param("delete", INSTANCES, DENIED, id="does not delete AirflowInstances"),
        pytest.param("update", MLJOBS, DENIED, id="does not replace MLJobs"),
        pytest.param("patch", CRD_RESOURCE, DENIED, id="does not patch CRDs"),
        pytest.param("delete", CRD_RESOURCE, DENIED, id="does not delete CRDs"),
        pytest.param("watch", "namespaces", ALLOWED, id="watches namespaces"),
        pytest.param("patch", "namespaces", DENIED, id="does not patch namespaces"),
        pytest.param("get", "secrets", DENIED, id="does not read Secrets"),
        pytest.param("list", "secrets", DENIED, id="does not list Secrets"),
        pytest.param("get", "configmaps", ALLOWED, id="reads a ConfigMap"),
        pytest.param("watch", "configmaps", ALLOWED, id="watches a ConfigMap"),
        pytest.param("list", "configmaps", DENIED, id="does not list ConfigMaps"),
        pytest.param("get", "leases", DENIED, id="reads no Lease elsewhere"),
        pytest.param("get", "pods", DENIED, id="does not read Pods"),
        pytest.param("create", "pods/exec", DENIED, id="does not exec into Pods"),
        pytest.param("create", "pods", DENIED, id="does not create Pods"),
        pytest.param("create", "serviceaccounts/token", DENIED, id="does not create tokens"),
        pytest.param("impersonate", "users", DENIED, id="does not impersonate users"),
        pytest.param("create", "rolebindings.rbac.authorization.k8s.io", DENIED, id="does not create RoleBindings"),
        pytest.param("escalate", "clusterroles.rbac.authorization.k8s.io", DENIED, id="does not escalate"),
        pytest.param("*", "*", DENIED, id="is no administrator"),
    ],
)
def test_a_right_in_all_namespaces_is_granted_or_denied(
    cluster: Cluster, release: Release, verb: str, resource: str, *, expected: bool
) -> None:
    assert cluster.may(release.user, verb, resource, "--all-namespaces") is expected


def test_the_operators_token_allows_all_requests_for_an_mljob(cluster: Cluster, operator: Cluster, team: str) -> None:
    name, where = unique("job"), f"--namespace={team}"
    cluster.apply(
        {
            "apiVersion": "mljob.dev/v1alpha1",
            "kind": "MLJob",
            "metadata": {"name": name, "namespace": team},
            "spec": {"dagId": "any"},
        }
    )

    assert name in operator.kubectl("get", "mljobs", "--all-namespaces")
    operator.kubectl(
        "patch", "mljob", name, where, "--type=merge", '--patch={"metadata": {"finalizers": ["mljob.dev/cancel"]}}'
    )
    operator.patch_status(team, name, {"phase": "Running"})
    assert cluster.get("mljob", name, where)["status"]["phase"] == "Running"
    cluster.kubectl("delete", "mljob", name, where, "--wait=false")
    assert operator.get("mljob", name, where)["metadata"]["deletionTimestamp"]
    operator.kubectl("patch", "mljob", name, where, "--type=merge", '--patch={"metadata": {"finalizers": null}}')

    cluster.kubectl("wait", "--for=delete", f"mljob/{name}", where, "--timeout=30s")


def test_the_operators_token_allows_creating_events(operator: Cluster, team: str) -> None:
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": unique("event"), "namespace": team},
        "involvedObject": {"apiVersion": "mljob.dev/v1alpha1", "kind": "MLJob", "name": "any", "namespace": team},
        "reason": "Submitted",
        "message": "The run was created",
        "type": "Normal",
    }

    assert operator.kubectl("create", "--filename=-", stdin=json.dumps(event))


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("get", "secrets"), id="Secrets"),
        pytest.param(("get", "configmaps", "--all-namespaces"), id="ConfigMaps"),
        pytest.param(("get", "nodes"), id="nodes"),
        pytest.param(("delete", "airflowinstance", "any"), id="deleting AirflowInstances"),
    ],
)
def test_the_operators_token_does_not_allow_other_requests(operator: Cluster, arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match=r"\(Forbidden\)"):
        operator.kubectl(*arguments)


# --- mljob-api ------------------------------------------------------------------------------------


def test_restricted_pod_security_admits_the_pods_of_mljob_api(cluster: Cluster, api_release: Release) -> None:
    name, where = f"{api_release.full_name}-api", f"--namespace={api_release.namespace}"

    def replicas() -> int:
        return int(cluster.get("deployment", name, where)["status"].get("replicas", 0))

    eventually(lambda: replicas() == 2, "mljob-api has two Pods")
    conditions = cluster.get("deployment", name, where)["status"]["conditions"]
    assert "ReplicaFailure" not in [each["type"] for each in conditions]


def test_mljob_api_has_exactly_the_needed_rights(
    cluster: Cluster, api_release: Release, nobody: str, team: str
) -> None:
    expected = {
        ("mljob.dev", "mljobs", "get"),
        ("mljob.dev", "airflowinstances", "list"),
        ("", "namespaces", "get"),
        ("", "configmaps", "get"),
    }
    of_front_proxy = {("", "configmaps", verb) for verb in ("list", "watch")}
    for where, more in (
        (team, set()),
        ("kube-system", of_front_proxy),
        (api_release.namespace, {("", "secrets", "get")}),
    ):
        own = cluster.rules(api_release.api_user, where) - cluster.rules(nobody, where)
        assert own == expected | more
    # In kube-system, mljob-api may list one ConfigMap only.
    assert not cluster.may(api_release.api_user, "list", "configmaps", "--namespace=kube-system")


def test_an_upgrade_keeps_the_certificate_of_mljob_api(cluster: Cluster, api_release: Release) -> None:
    # With a new certificate, the API server would trust only the new CA at once, but the Pods
    # would present the old certificate until the kubelet updates the mounted Secret.
    name, where = f"{api_release.full_name}-api-tls", f"--namespace={api_release.namespace}"
    before = cluster.get("secret", name, where)["data"]

    cluster.helm("upgrade", api_release.name, str(CHART), where, "--reuse-values", "--set=podLabels.team=ml")

    assert cluster.get("secret", name, where)["data"] == before
    cluster.kubectl("delete", "secret", name, where)
    cluster.helm("upgrade", api_release.name, str(CHART), where, "--reuse-values", "--set=podLabels.team=ai")
    renewed = cluster.get("secret", name, where)["data"]
    assert set(renewed) == set(before)
    assert renewed["tls.crt"] != before["tls.crt"]


def test_the_api_server_accepts_the_api_service(cluster: Cluster, render: Render) -> None:
    registration = render({"api": {"enabled": True}}).one("APIService")

    done = cluster.run(
        cluster.kubectl_path, "apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict",
        "--filename=-", stdin=json.dumps(registration),
    )  # fmt: skip

    assert "v1alpha1.run.mljob.dev" in done.stdout
    assert done.stderr == ""


# --- Rights of people -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def members(cluster: Cluster, release: Release, team: str) -> dict[str, str]:
    """The names of three users, by ClusterRole: view, edit and admin. Each user has the ClusterRole
    in the namespace ``team``.
    """
    users = {role: f"{role}-{team}" for role in ("view", "edit", "admin")}
    for role, user in users.items():
        cluster.kubectl("create", "rolebinding", user, f"--clusterrole={role}", f"--user={user}", f"--namespace={team}")
    for role, verb in {"view": "get", "edit": "create", "admin": "create"}.items():
        may = partial(cluster.may, users[role], verb, MLJOBS, f"--namespace={team}")
        eventually(may, f"Kubernetes has added the rights on MLJobs to {role}")
    return users


READING = {"get", "list", "watch"}
WRITING = {"create", "update", "patch", "delete", "deletecollection"}


@pytest.mark.parametrize(
    ("role", "verbs"),
    [
        pytest.param("view", READING, id="viewers read"),
        pytest.param("edit", READING | WRITING, id="editors read and write"),
        pytest.param("admin", READING | WRITING, id="administrators read and write"),
    ],
)
def test_kubernetes_own_roles_include_the_rights_on_mljobs(
    cluster: Cluster, members: dict[str, str], nobody: str, team: str, role: str, verbs: set[str]
) -> None:
    rules = cluster.rules(members[role], team)

    assert {verb for group, resource, verb in rules if (group, resource) == ("mljob.dev", "mljobs")} == verbs
    assert {verb for group, resource, verb in rules if (group, resource) == ("mljob.dev", "mljobs/status")} == {"get"}
    assert {(resource, verb) for group, resource, verb in rules if group == "run.mljob.dev"} == {
        ("mljobs/log", "get"),
        ("mljobs/graph", "get"),
        ("mljobs/events", "get"),
        ("mljobs/events", "watch"),
    }
    assert cluster.rules(members[role], "default") & {("mljob.dev", "mljobs", verb) for verb in verbs} == set()
