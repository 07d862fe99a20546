from __future__ import annotations

import json
import secrets
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kubernetes import client, config

MLJOBS = "mljobs.mljob.dev"
INSTANCES = "airflowinstances.mljob.dev"


class CommandError(Exception): ...


@dataclass(frozen=True)
class Cluster:
    """Runs kubectl and helm against a Kubernetes cluster, with the credentials of one kubeconfig."""

    kubeconfig: Path
    kubectl_path: Path
    helm_path: Path

    def run(self, program: Path, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [str(program), f"--kubeconfig={self.kubeconfig}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120, check=False)
        if done.returncode != 0:
            raise CommandError(f"{' '.join(arguments)}: {done.stderr.strip()}")
        return done

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return self.run(self.kubectl_path, *arguments, stdin=stdin).stdout

    def helm(self, *arguments: str, stdin: str | None = None) -> str:
        return self.run(self.helm_path, *arguments, stdin=stdin).stdout

    def get(self, *arguments: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.kubectl("get", *arguments, "--output=json"))
        return found

    def exists(self, *arguments: str) -> bool:
        return bool(self.kubectl("get", *arguments, "--ignore-not-found", "--output=name").strip())

    def apply(self, *objects: dict[str, Any]) -> str:
        return self.kubectl(
            "apply", "--filename=-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        )

    def patch_status(self, namespace: str, name: str, status: dict[str, Any]) -> None:
        # `kubectl patch` would also need the right to read the MLJob.
        with config.new_client_from_config(str(self.kubeconfig)) as api:
            client.CustomObjectsApi(api).patch_namespaced_custom_object_status(
                "mljob.dev", "v1alpha1", namespace, "mljobs", name, {"status": status}
            )

    def may(self, user: str, verb: str, resource: str, *options: str, group: str | None = None) -> bool:
        name, _, subresource = resource.partition("/")
        arguments = ["auth", "can-i", verb, name, f"--as={user}", *options]
        if subresource:
            arguments.append(f"--subresource={subresource}")
        if group:
            arguments.append(f"--as-group={group}")
        command = [str(self.kubectl_path), f"--kubeconfig={self.kubeconfig}", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        answer = done.stdout.split()[:1]
        if answer not in (["yes"], ["no"]):
            raise CommandError(f"{' '.join(arguments)}: {done.stdout}{done.stderr}")
        return answer == ["yes"]

    def rules(self, user: str, namespace: str) -> set[tuple[str, str, str]]:
        """Return the rights of ``user`` on resources in a namespace, as tuples of API group,
        resource and verb.
        """
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": namespace},
        }
        answer = self.kubectl(
            "create", f"--as={user}", "--validate=false", "--filename=-", "--output=json", stdin=json.dumps(review)
        )
        return {
            (group, resource, verb)
            for rule in json.loads(answer)["status"]["resourceRules"]
            for group in rule.get("apiGroups", [])
            for resource in rule.get("resources", [])
            for verb in rule["verbs"]
        }

    def as_service_account(self, namespace: str, name: str, kubeconfig: Path) -> Cluster:
        """Write a kubeconfig with a token of the ServiceAccount to the file ``kubeconfig``. Return
        a ``Cluster`` that uses this kubeconfig.
        """
        config = json.loads(self.kubectl("config", "view", "--raw", "--minify", "--flatten", "--output=json"))
        token = self.kubectl("create", "token", name, f"--namespace={namespace}").strip()
        config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
        kubeconfig.touch(mode=0o600)
        kubeconfig.write_text(json.dumps(config))
        return replace(self, kubeconfig=kubeconfig)


def unique(prefix: str) -> str:
    return f"{prefix}-{secrets.token_hex(3)}"
