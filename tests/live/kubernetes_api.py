"""The Kubernetes API, read over HTTP as the cluster's administrator.

What a user does is done with kubectl. What a test asks while it waits is asked here: a kubectl process costs a tenth of a second of a processor,
and tests that wait ask several times a second.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from kubernetes import client, config

TIMEOUT = 30
"""Seconds to wait for an answer."""


class KubernetesApi:
    """One cluster.

    Args:
        kubeconfig: Whose current context counts.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self._client: client.ApiClient = config.new_client_from_config(str(kubeconfig))

    @staticmethod
    @cache
    def of(kubeconfig: Path) -> KubernetesApi:
        """The same object for everybody who asks for the same cluster."""
        return KubernetesApi(kubeconfig)

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """An object or a list, without ``managedFields``, as kubectl shows it.

        Raises:
            AssertionError: The API answered with an error.
        """
        request = self._client.param_serialize(
            "GET",
            path,
            query_params=list(query.items()),
            header_params={"Accept": "application/json"},
            auth_settings=["BearerToken"],
        )
        answer = self._client.call_api(*request, _request_timeout=TIMEOUT)
        body = answer.read()
        assert answer.status == 200, f"GET {path}: {answer.status} {body[:300]!r}"
        found: dict[str, Any] = json.loads(body)
        for each in found.get("items", [found]):
            _forget_managers(each)
        return found


def _forget_managers(found: Mapping[str, Any]) -> None:
    found.get("metadata", {}).pop("managedFields", None)
