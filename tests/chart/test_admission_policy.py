"""The MutatingAdmissionPolicy, with which the API server adds the operator's finalizer to new
MLJobs.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from devstack import kubeconform
from mljob_contract.mljob import FINALIZER
from tests import libyaml
from tests.chart.cluster import Cluster
from tests.chart.conftest import Render
from tests.chart.rendering import NAMESPACE

POLICY, BINDING = "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"
SUPPORTED = ("--api-versions", f"admissionregistration.k8s.io/v1/{POLICY}")
"""The option of Helm for a cluster of Kubernetes 1.36 or later."""
SELECTOR = {
    "matchLabels": {"shard": "a"},
    "matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["fraud"]}],
}


@pytest.mark.parametrize(
    ("values", "created"),
    [
        pytest.param({}, True, id="by default"),
        pytest.param({"admissionPolicy": {"create": False}}, False, id="not wanted"),
        pytest.param({"operator": {"namespaces": ["a"]}}, False, id="perhaps without cluster-wide rights"),
        pytest.param(
            {"operator": {"namespaces": ["a"]}, "admissionPolicy": {"create": True}}, True, id="wanted for namespaces"
        ),
        pytest.param({"operator": {"selector": SELECTOR}}, True, id="of a shard"),
    ],
)
def test_policy_and_binding_are_created_together(render: Render, values: dict[str, Any], *, created: bool) -> None:
    rendered = render(values, options=SUPPORTED)
    assert [len(rendered.all(kind)) for kind in (POLICY, BINDING)] == [int(created)] * 2
    if created:
        (binding,) = rendered.all(BINDING)
        assert binding["spec"] == {"policyName": rendered.one(POLICY)["metadata"]["name"]}


def test_older_kubernetes_gets_no_policy(render: Render) -> None:
    rendered = render({"admissionPolicy": {"create": True}})
    assert not rendered.all(POLICY)
    assert not rendered.all(BINDING)


def test_policy_matches_only_new_mljobs_that_the_release_manages(render: Render) -> None:
    rule = {"apiGroups": ["mljob.dev"], "apiVersions": ["*"], "resources": ["mljobs"], "operations": ["CREATE"]}
    everywhere = render(options=SUPPORTED).one(POLICY)["spec"]
    assert everywhere["matchConstraints"] == {"resourceRules": [rule]}
    assert everywhere["failurePolicy"] == "Ignore"

    values = {"operator": {"selector": SELECTOR, "namespaces": ["a", "b"]}, "admissionPolicy": {"create": True}}
    names = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["a", "b"]}
    assert render(values, options=SUPPORTED).one(POLICY)["spec"]["matchConstraints"] == {
        "resourceRules": [rule],
        "objectSelector": SELECTOR,
        "namespaceSelector": {"matchExpressions": [names]},
    }


def test_policy_fits_the_schema(render: Render) -> None:
    values = {"operator": {"selector": SELECTOR, "namespaces": ["a", "b"]}, "admissionPolicy": {"create": True}}
    rendered = render(values, options=SUPPORTED)
    manifest = libyaml.dump_all([rendered.one(POLICY), rendered.one(BINDING)])
    assert kubeconform.problems({"policy": manifest}, kubeconform.VERSIONS[-1]) == ""


def test_the_api_server_accepts_the_policy_without_a_warning(cluster: Cluster, render: Render) -> None:
    values = {"operator": {"selector": SELECTOR, "namespaces": [NAMESPACE]}, "admissionPolicy": {"create": True}}
    rendered = render(values, options=SUPPORTED, release="dry")
    manifest = libyaml.dump_all([rendered.one(POLICY), rendered.one(BINDING)])
    done = cluster.run(
        cluster.kubectl_path, "create", "--dry-run=server", "--validate=strict", "--filename=-", stdin=manifest
    )
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("finalizers", "spec", "expected"),
    [
        pytest.param(None, {}, [FINALIZER], id="no finalizers"),
        pytest.param([], {}, [FINALIZER], id="an empty list"),
        pytest.param(["example.com/theirs"], {}, ["example.com/theirs", FINALIZER], id="finalizers of others"),
        pytest.param([FINALIZER], {}, [FINALIZER], id="the finalizer itself"),
        pytest.param(None, {"suspend": True}, None, id="a suspended MLJob"),
        pytest.param(None, {"cancel": True}, None, id="a cancelled MLJob"),
        pytest.param(None, {"confFrom": [{"configMapRef": {"name": "a"}}]}, None, id="an MLJob with confFrom"),
    ],
)
def test_api_server_adds_the_finalizer_once(
    cluster: Cluster, finalizers: list[str] | None, spec: dict[str, Any], expected: list[str] | None
) -> None:
    # The development stack has a release of the chart.
    metadata = {"name": "admitted", "namespace": "default"} | ({} if finalizers is None else {"finalizers": finalizers})
    body = {"apiVersion": "mljob.dev/v1alpha1", "kind": "MLJob", "metadata": metadata, "spec": {"dagId": "a", **spec}}
    created = cluster.kubectl("create", "--dry-run=server", "--output=json", "--filename=-", stdin=json.dumps(body))
    assert json.loads(created)["metadata"].get("finalizers") == expected
