"""The chart on a real API server: what it installs is admitted, and its rights are exactly what the operator needs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.cluster import Cluster, CommandError, unique
from tests.chart.conftest import Render
from tests.chart.rendering import CHART, CRD, CRDS, INSTANCES, MINIMAL, merged
from tests.chart.test_environment import EVERYTHING
from tests.chart.test_openshift import OPENSHIFT
from tests.live.eventually import eventually

RESTRICTED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/warn": "restricted",
}
DEFINITIONS = "customresourcedefinitions.apiextensions.k8s.io"
MLJOBS = "mljobs.mljob.dev"
AIRFLOWS = "airflowinstances.mljob.dev"


@dataclass(frozen=True)
class Release:
    """The chart, installed."""

    name: str
    namespace: str

    @property
    def full_name(self) -> str:
        return f"{self.name}-mljob-operator"

    @property
    def user(self) -> str:
        """How RBAC calls the operator's ServiceAccount."""
        return f"system:serviceaccount:{self.namespace}:{self.full_name}"


def make_namespace(cluster: Cluster, prefix: str, labels: dict[str, str] | None = None) -> str:
    name = unique(prefix)
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels or {}}})
    return name


def install(cluster: Cluster, namespace: str, values: dict[str, Any], chart: Path = CHART) -> Release:
    """`helm install` under a name of its own, with the definition left to whoever has it installed already."""
    release = Release(unique("test"), namespace)
    given = json.dumps(merged(MINIMAL, merged({"crds": {"install": False}}, values)))
    cluster.helm("install", release.name, str(chart), f"--namespace={namespace}", "--values=-", stdin=given)
    return release


@pytest.fixture(scope="module")
def definition(cluster: Cluster) -> None:
    """The definitions, which the development stack has installed; a bare cluster gets them here."""
    if not cluster.exists("crd", MLJOBS):
        cluster.kubectl("apply", "--server-side", f"--filename={CRDS}")
    cluster.kubectl("wait", "--for=condition=Established", f"crd/{MLJOBS}", f"crd/{AIRFLOWS}", "--timeout=30s")


@pytest.fixture(scope="module")
def namespace(cluster: Cluster) -> Iterator[str]:
    """A namespace in which only restricted Pods are admitted."""
    name = make_namespace(cluster, "chart", RESTRICTED)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def team(cluster: Cluster) -> Iterator[str]:
    """A namespace of users."""
    name = make_namespace(cluster, "team")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def release(cluster: Cluster, definition: None, namespace: str) -> Iterator[Release]:
    """The operator for all namespaces."""
    installed = install(cluster, namespace, {})
    yield installed
    cluster.helm("uninstall", installed.name, f"--namespace={namespace}")


@pytest.fixture(scope="module")
def bound_release(cluster: Cluster, definition: None, namespace: str, team: str) -> Iterator[Release]:
    """The operator for one namespace only."""
    installed = install(
        cluster, namespace, {"operator": {"namespaces": [team]}, "rbac": {"userRoles": {"create": False}}}
    )
    yield installed
    cluster.helm("uninstall", installed.name, f"--namespace={namespace}")


@pytest.fixture(scope="module")
def nobody(cluster: Cluster, namespace: str) -> str:
    """A ServiceAccount to which nothing was granted: what it may do, everybody may."""
    cluster.kubectl("create", "serviceaccount", "nobody", f"--namespace={namespace}")
    return f"system:serviceaccount:{namespace}:nobody"


@pytest.fixture
def operator(cluster: Cluster, release: Release, tmp_path: Path) -> Cluster:
    """The cluster as the operator sees it: with the token of its ServiceAccount."""
    return cluster.as_service_account(release.namespace, release.full_name, tmp_path / "operator.kubeconfig")


# --- Admission --------------------------------------------------------------------------------------------------------


def test_the_operators_pod_is_admitted_under_restricted_pod_security(cluster: Cluster, release: Release) -> None:
    selector = f"--selector=app.kubernetes.io/instance={release.name}"
    cluster.kubectl("wait", "--for=create", "pod", selector, f"--namespace={release.namespace}", "--timeout=60s")

    (pod,) = cluster.get("pods", selector, f"--namespace={release.namespace}")["items"]
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


def test_that_namespace_does_refuse_other_pods(cluster: Cluster, namespace: str) -> None:
    """Without this, the test above would pass where nothing is enforced."""
    with pytest.raises(CommandError, match='violates PodSecurity "restricted'):
        cluster.kubectl("run", "lax", "--image=lax", f"--namespace={namespace}")


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({}, id="the least"),
        pytest.param(EVERYTHING, id="everything"),
        pytest.param(OPENSHIFT, id="OpenShift"),
        pytest.param(
            {
                "nodeSelector": {"disk": "ssd"},
                "tolerations": [{"key": "dedicated", "operator": "Exists"}],
                "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
                "imagePullSecrets": [{"name": "registry"}],
                "podAnnotations": {"example.com/a": "1"},
                "podLabels": {"team": "ml"},
                "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
                "service": {"annotations": {"example.com/a": "1"}},
            },
            id="everything about the Pod",
        ),
    ],
)
def test_the_api_server_knows_every_field_and_warns_of_none(
    cluster: Cluster, render: Render, definition: None, namespace: str, values: dict[str, Any]
) -> None:
    """Strict validation: a field that the API doesn't know would be an error, and a lax Pod template a warning."""
    rendered = render(
        merged(values, {"operator": {"namespaces": []}, "crds": {"install": False}}),
        namespace=namespace,
        release=unique("dry"),
    )

    text = yaml.safe_dump_all(rendered.objects)
    done = cluster.run(
        cluster.kubectl_path, "create", "--dry-run=server", "--validate=strict", "--filename=-", stdin=text
    )

    assert done.stderr == ""


# --- Rights of the operator -------------------------------------------------------------------------------------------

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
NEEDED_FOR_INSTANCES = {
    ("mljob.dev", "airflowinstances", "list"),
    ("mljob.dev", "airflowinstances", "watch"),
    ("mljob.dev", "airflowinstances", "patch"),
    ("mljob.dev", "airflowinstances/status", "patch"),
    ("", "namespaces", "list"),
    ("", "namespaces", "watch"),
}


def test_for_all_namespaces_it_has_what_it_needs_everywhere_and_nothing_else(
    cluster: Cluster, release: Release, nobody: str, team: str
) -> None:
    everywhere = NEEDED | NEEDED_FOR_INSTANCES
    for where in (team, "kube-system"):
        assert cluster.rules(release.user, where) - cluster.rules(nobody, where) == everywhere
    at_home = cluster.rules(release.user, release.namespace) - cluster.rules(nobody, release.namespace)
    assert at_home == everywhere | {("", "secrets", "get")}


def test_for_one_namespace_it_has_what_it_needs_there_and_nothing_anywhere_else(
    cluster: Cluster, bound_release: Release, nobody: str, team: str
) -> None:
    assert cluster.rules(bound_release.user, team) - cluster.rules(nobody, team) == NEEDED
    for where in ("kube-system", "default"):
        assert cluster.rules(bound_release.user, where) == cluster.rules(nobody, where)
    # Events about itself.
    own = cluster.rules(bound_release.user, bound_release.namespace) - cluster.rules(nobody, bound_release.namespace)
    assert own == {("", "events", "create")}


ALLOWED, DENIED = True, False


@pytest.mark.parametrize(
    ("verb", "resource", "expected"),
    [
        pytest.param("watch", MLJOBS, ALLOWED, id="watches MLJobs"),
        pytest.param("patch", MLJOBS, ALLOWED, id="patches finalizers"),
        pytest.param("patch", f"{MLJOBS}/status", ALLOWED, id="patches statuses"),
        pytest.param("create", "events", ALLOWED, id="writes Events"),
        pytest.param("patch", "events", DENIED, id="changes no Event"),
        pytest.param("list", DEFINITIONS, DENIED, id="lists no definitions"),
        pytest.param("create", MLJOBS, DENIED, id="creates no MLJob"),
        pytest.param("delete", MLJOBS, ALLOWED, id="deletes MLJobs whose time is up"),
        pytest.param("watch", AIRFLOWS, ALLOWED, id="watches AirflowInstances"),
        pytest.param("patch", f"{AIRFLOWS}/status", ALLOWED, id="patches their statuses"),
        pytest.param("create", AIRFLOWS, DENIED, id="creates no AirflowInstance"),
        pytest.param("delete", AIRFLOWS, DENIED, id="deletes no AirflowInstance"),
        pytest.param("update", MLJOBS, DENIED, id="replaces no MLJob"),
        pytest.param("patch", DEFINITIONS, DENIED, id="changes no definition"),
        pytest.param("delete", DEFINITIONS, DENIED, id="deletes no definition"),
        pytest.param("watch", "namespaces", ALLOWED, id="watches namespaces"),
        pytest.param("patch", "namespaces", DENIED, id="changes no namespace"),
        pytest.param("get", "secrets", DENIED, id="reads no Secret"),
        pytest.param("list", "secrets", DENIED, id="lists no Secrets"),
        pytest.param("get", "configmaps", ALLOWED, id="reads a ConfigMap"),
        pytest.param("watch", "configmaps", ALLOWED, id="watches a ConfigMap"),
        pytest.param("list", "configmaps", DENIED, id="lists no ConfigMaps"),
        pytest.param("get", "pods", DENIED, id="reads no Pod"),
        pytest.param("create", "pods/exec", DENIED, id="enters no Pod"),
        pytest.param("create", "pods", DENIED, id="makes no Pod"),
        pytest.param("create", "serviceaccounts/token", DENIED, id="makes no token"),
        pytest.param("impersonate", "users", DENIED, id="impersonates nobody"),
        pytest.param("create", "rolebindings.rbac.authorization.k8s.io", DENIED, id="grants nothing"),
        pytest.param("escalate", "clusterroles.rbac.authorization.k8s.io", DENIED, id="does not escalate"),
        pytest.param("*", "*", DENIED, id="is no administrator"),
    ],
)
def test_what_the_operator_may_do_in_any_namespace(
    cluster: Cluster, release: Release, verb: str, resource: str, *, expected: bool
) -> None:
    assert cluster.may(release.user, verb, resource, "--all-namespaces") is expected


def test_with_its_token_the_operator_can_look_after_an_mljob(cluster: Cluster, operator: Cluster, team: str) -> None:
    """The requests of an MLJob's life, from taking it up to letting it go."""
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


def test_with_its_token_the_operator_can_write_events(operator: Cluster, team: str) -> None:
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
def test_with_its_token_the_operator_is_refused_the_rest(operator: Cluster, arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError, match=r"\(Forbidden\)"):
        operator.kubectl(*arguments)


# --- Rights of people -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def members(cluster: Cluster, release: Release, team: str) -> dict[str, str]:
    """Users who hold Kubernetes' own view, edit and admin in the team's namespace."""
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
def test_whoever_holds_a_role_of_kubernetes_may_use_mljobs(
    cluster: Cluster, members: dict[str, str], nobody: str, team: str, role: str, verbs: set[str]
) -> None:
    rules = cluster.rules(members[role], team)

    assert {verb for group, resource, verb in rules if (group, resource) == ("mljob.dev", "mljobs")} == verbs
    assert {verb for group, resource, verb in rules if (group, resource) == ("mljob.dev", "mljobs/status")} == {"get"}
    assert cluster.rules(members[role], "default") & {("mljob.dev", "mljobs", verb) for verb in verbs} == set()


# --- The definition's life --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Copy:
    """The chart with a definition of another name, so that trying its upgrade and removal takes no MLJob from anybody."""

    path: Path
    definition: str

    def change(self, old: str, new: str) -> None:
        """A new version of the definition."""
        file = self.path / "files" / "crds" / CRD.name
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))


@pytest.fixture
def copy(cluster: Cluster, tmp_path: Path) -> Iterator[Copy]:
    group = f"{unique('test')}.mljob.dev"
    path = tmp_path / "chart"
    shutil.copytree(CHART, path)
    (path / "files" / "crds" / INSTANCES.name).unlink()
    copied = Copy(path, f"mljobs.{group}")
    copied.change("group: mljob.dev", f"group: {group}")
    copied.change("name: mljobs.mljob.dev", f"name: mljobs.{group}")
    # `kubectl get mlj` and `kubectl get ml` stay the real one's, also while this one is on its way out.
    copied.change("    - mlj\n", f"    - {unique('mlj')}\n")
    copied.change("    - ml\n", f"    - {unique('ml')}\n")
    yield copied
    cluster.kubectl("delete", "crd", copied.definition, "--ignore-not-found", "--wait=false")


@pytest.fixture
def home(cluster: Cluster) -> Iterator[str]:
    name = make_namespace(cluster, "chart")
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def test_an_upgrade_of_the_release_upgrades_the_definition(cluster: Cluster, copy: Copy, home: str) -> None:
    release = install(cluster, home, {"crds": {"install": True}}, copy.path)
    columns = cluster.get("crd", copy.definition)["spec"]["versions"][0]["additionalPrinterColumns"]
    assert "DAG" in [column["name"] for column in columns]

    copy.change("- name: DAG\n", "- name: Graph\n")
    cluster.helm("upgrade", release.name, str(copy.path), f"--namespace={home}", "--reuse-values")

    columns = cluster.get("crd", copy.definition)["spec"]["versions"][0]["additionalPrinterColumns"]
    assert "Graph" in [column["name"] for column in columns]
    cluster.helm("uninstall", release.name, f"--namespace={home}")


def test_the_definition_outlives_the_release_and_is_taken_up_by_the_next(
    cluster: Cluster, copy: Copy, home: str
) -> None:
    values = json.dumps(merged(MINIMAL, {"fullnameOverride": unique("test")}))
    arguments = (str(copy.path), f"--namespace={home}", "--values=-")

    cluster.helm("install", "again", *arguments, stdin=values)
    cluster.helm("uninstall", "again", f"--namespace={home}")
    assert cluster.exists("crd", copy.definition)

    cluster.helm("install", "again", *arguments, stdin=values)
    cluster.helm("uninstall", "again", f"--namespace={home}")


ADOPTIONS = {
    "take-ownership": "--take-ownership",
    "label and annotations": None,
}
"""How a release takes over a definition, as the chart's README has it: an option of Helm's, or words on the definition."""


@pytest.mark.parametrize("option", ADOPTIONS.values(), ids=ADOPTIONS.keys())
@pytest.mark.parametrize("made_by", ["another release", "kubectl"])
def test_a_definition_of_somebody_elses_is_taken_over(
    cluster: Cluster, copy: Copy, home: str, made_by: str, option: str | None
) -> None:
    before = "default"
    if made_by == "kubectl":
        cluster.kubectl("apply", "--server-side", f"--filename={copy.path / 'files' / 'crds' / CRD.name}")
    else:
        old = install(cluster, before, {"crds": {"install": True}}, copy.path)
        cluster.helm("uninstall", old.name, f"--namespace={before}")
    uid = cluster.get("crd", copy.definition)["metadata"]["uid"]
    values = json.dumps(merged(MINIMAL, {"fullnameOverride": unique("test")}))
    # Helm 4 applies on the server, where the fields that kubectl wrote are kubectl's.
    force = ("--force-conflicts",) if made_by == "kubectl" else ()
    arguments = ("install", "ours", str(copy.path), f"--namespace={home}", "--values=-", *force)

    with pytest.raises(CommandError, match="invalid ownership metadata"):
        cluster.helm(*arguments, stdin=values)
    if option is None:
        cluster.kubectl("label", "crd", copy.definition, "--overwrite", "app.kubernetes.io/managed-by=Helm")
        cluster.kubectl(
            "annotate",
            "crd",
            copy.definition,
            "--overwrite",
            "meta.helm.sh/release-name=ours",
            f"meta.helm.sh/release-namespace={home}",
        )
        cluster.helm(*arguments, stdin=values)
    else:
        cluster.helm(*arguments, option, stdin=values)

    ours = cluster.get("crd", copy.definition)["metadata"]
    assert ours["uid"] == uid, "it is the same definition, with its MLJobs"
    assert ours["annotations"]["meta.helm.sh/release-namespace"] == home
    cluster.helm("uninstall", "ours", f"--namespace={home}")


def test_the_definition_goes_with_the_release_when_asked(cluster: Cluster, copy: Copy, home: str) -> None:
    release = install(cluster, home, {"crds": {"install": True, "keep": False}}, copy.path)
    assert cluster.exists("crd", copy.definition)

    cluster.helm("uninstall", release.name, f"--namespace={home}")

    eventually(lambda: not cluster.exists("crd", copy.definition), "the definition is gone")


def test_nothing_else_outlives_the_release(cluster: Cluster, definition: None, home: str) -> None:
    release = install(cluster, home, {})
    mine = f"--selector=app.kubernetes.io/instance={release.name}"
    kinds = "deployments,services,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings"
    assert cluster.get(kinds, mine, f"--namespace={home}")["items"]

    cluster.helm("uninstall", release.name, f"--namespace={home}")

    eventually(
        lambda: not cluster.get(kinds, mine, f"--namespace={home}")["items"], "all objects of the release are gone"
    )
