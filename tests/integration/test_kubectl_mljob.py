"""``kubectl mljob`` on a real Kubernetes API, without an operator."""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any

import pytest

from devstack.stack import Stack
from mljob.cli.session import Session
from mljob.errors import Invalid
from mljob_contract.resource import API_VERSION
from tests.live.kubectl import Kubectl, KubectlError
from tests.live.mljobs import manifest
from tests.live.plugin import Plugin, write_kubeconfig
from tests.mistakes import OTHERS, RULES, VALID, Mistake
from tests.yaml_scalars import KEYS, SCALARS


@pytest.fixture(scope="module")
def namespace(kubectl: Kubectl) -> str:
    name = f"plugin-{secrets.token_hex(3)}"
    kubectl("create", "namespace", name)
    return name


@pytest.fixture(scope="module")
def kubeconfig(stack: Stack, namespace: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_kubeconfig(stack.kubeconfig, tmp_path_factory.mktemp("kube") / "config", namespace)


@pytest.fixture(scope="module")
def plugin(kubeconfig: Path) -> Plugin:
    return Plugin(kubeconfig)


@pytest.mark.parametrize("mistake", [*RULES, *OTHERS], ids=lambda mistake: f"{mistake.path} {mistake.message}")
def test_api_server_refuses_each_mistake_that_lint_finds(mistake: Mistake, kubeconfig: Path) -> None:
    with Session(kubeconfig=str(kubeconfig)) as session, pytest.raises(Invalid):
        session.dry_run(mistake.manifest)


@pytest.mark.parametrize("kind", VALID)
def test_api_server_accepts_what_lint_accepts(kind: str, plugin: Plugin) -> None:
    told = plugin("lint", "--server", "-", stdin=json.dumps(VALID[kind]))
    assert told == (0, "", "1 checked, 0 mistakes\n")


def read_by_kubectl(kubectl: Kubectl, mapping: str) -> dict[str, Any]:
    text = f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\nread: {mapping}\n"
    made: dict[str, Any] = json.loads(kubectl("label", "--local", "-f", "-", "a=b", "-o", "json", stdin=text))
    return made["read"]


def test_kubectl_reads_scalars_as_documented(kubectl: Kubectl) -> None:
    named = {f"v{index}": scalar for index, scalar in enumerate(SCALARS)}
    read = read_by_kubectl(kubectl, f"{{{', '.join(f'{name}: {scalar}' for name, scalar in named.items())}}}")
    assert {scalar: read[name] for name, scalar in named.items()} == SCALARS


@pytest.mark.parametrize(("key", "stored"), KEYS.items())
def test_kubectl_stores_keys_as_documented(key: str, stored: str | None, kubectl: Kubectl) -> None:
    if stored is None:
        with pytest.raises(KubectlError, match="unsupported map key"):
            read_by_kubectl(kubectl, f"{{{key}: 1}}")
    else:
        assert read_by_kubectl(kubectl, f"{{{key}: 1}}") == {stored: 1}


def test_lint_on_the_server_knows_the_stored_object(plugin: Plugin, kubectl: Kubectl, namespace: str) -> None:
    stored = manifest("cancelled", "train_model", cancel=True)
    kubectl.within(namespace).apply(stored)
    changed = {**stored, "spec": {**stored["spec"], "cancel": False}}
    told = plugin("lint", "--server", "-", stdin=json.dumps(changed))
    assert told.code == 1
    assert "cancel can't be set back to false" in told.out


def test_run_that_is_only_checked_shows_the_defaults_and_stores_nothing(plugin: Plugin) -> None:
    told = plugin("run", "train_model", "--name=checked", "--set=epochs=3", "--dry-run", "-o", "json")
    assert told.code == 0, told.err
    spec = json.loads(told.out)["spec"]
    assert (spec["conf"], spec["runPolicy"], spec["retryStrategy"]) == ({"epochs": 3}, "Once", "ClearFailed")
    assert "checked" not in plugin("list").out


def test_mljob_is_created_listed_selected_and_suspended(plugin: Plugin) -> None:
    assert plugin("run", "train_model", "--name=kept", "--label=team=vision", "--type=Training").code == 0
    assert plugin("run", "other", "--name=left").code == 0
    listed = plugin("list", "-l", "team=vision", "-o", "name")
    assert listed == (0, "mljob.mljob.dev/kept\n", "")
    assert plugin("list", "--type=Training", "-o", "name").out == "mljob.mljob.dev/kept\n"
    assert plugin("suspend", "-l", "team=vision").out == "mljob.mljob.dev/kept suspended\n"
    assert json.loads(plugin("list", "-l", "team=vision", "-o", "json").out)["items"][0]["spec"]["suspend"] is True
    assert plugin("resume", "kept").code == 0


def test_wait_ends_with_the_status_that_is_written(plugin: Plugin, kubectl: Kubectl, namespace: str) -> None:
    assert plugin("run", "train_model", "--name=ended").code == 0
    waiting = plugin.start("watch", "ended")
    assert waiting.stdout is not None
    assert "New" in waiting.stdout.readline()
    at = "2026-01-01T00:00:00Z"
    conditions = [
        {"type": kind, "status": status, "reason": "TaskFailed", "message": "", "lastTransitionTime": at}
        for kind, status in (("Failed", "True"), ("Reconciling", "False"), ("Stalled", "True"))
    ]
    status = {
        "observedGeneration": 1,
        "phase": "Failed",
        "reason": "TaskFailed",
        "message": "no data",
        "conditions": conditions,
    }
    kubectl.within(namespace)(
        "patch", "mljob", "ended", "--subresource=status", "--type=merge", "--patch", json.dumps({"status": status})
    )
    out, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 1, err
    assert "Failed" in out
    assert "no data" in out
    assert plugin("wait", "ended").code == 1


def test_missing_rights_are_named(stack: Stack, kubectl: Kubectl, namespace: str, tmp_path: Path) -> None:
    own = kubectl.within(namespace)
    own("create", "serviceaccount", "nobody")
    token = own("create", "token", "nobody").strip()
    plugin = Plugin(write_kubeconfig(stack.kubeconfig, tmp_path / "config", namespace, token))
    for arguments, right in (
        (("list",), 'cannot list resource "mljobs"'),
        (("run", "train_model"), 'cannot create resource "mljobs"'),
        (("why", "kept"), 'cannot get resource "mljobs"'),
    ):
        told = plugin(*arguments)
        assert (told.code, told.out) == (4, "")
        assert right in told.err
        assert namespace in told.err


def test_kubectl_completes_commands_and_names(
    kubeconfig: Path, plugin: Plugin, kubectl: Kubectl, namespace: str
) -> None:
    import subprocess

    from tests.live.plugin import plugin_environment

    kubectl.within(namespace).apply({"apiVersion": API_VERSION, **manifest("completed", "train_model")})
    told = subprocess.run(
        ["kubectl", "__complete", "mljob", "why", "comp"],
        capture_output=True,
        text=True,
        env=plugin_environment(kubeconfig),
        timeout=60,
        check=True,
    )
    assert told.stdout.splitlines() == ["completed", ":4"]
