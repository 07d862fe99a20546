from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from kubernetes import client, config

TIMEOUT = 30
"""Seconds to wait for an answer."""


class KubernetesApi:
    """A client of the Kubernetes API for frequent requests. For these, kubectl is too slow: each
    kubectl process takes 0.1 seconds of CPU time.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self._client: client.ApiClient = config.new_client_from_config(str(kubeconfig))

    @staticmethod
    @cache
    def of(kubeconfig: Path) -> KubernetesApi:
        return KubernetesApi(kubeconfig)

    @property
    def url(self) -> str:
        return str(self._client.configuration.host)

    @property
    def certificate(self) -> str:
        return Path(self._client.configuration.ssl_ca_cert).read_text()

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """Return an object or a list without ``managedFields``, as kubectl does."""
        status, body = self._ask("GET", path, query)
        assert status == 200, f"GET {path}: {status} {body[:300]!r}"
        found: dict[str, Any] = json.loads(body)
        for each in found.get("items", [found]):
            _forget_managers(each)
        return found

    def apply(self, path: str, body: Mapping[str, Any], *, manager: str) -> str | None:
        """Apply an object with Server-Side Apply, and take over fields of other managers. Return
        the API's message if the object is invalid, else None.
        """
        query = {"fieldManager": manager, "force": "true"}
        status, answer = self._ask("PATCH", path, query, json.dumps(body), "application/apply-patch+yaml")
        assert status in (200, 201, 400, 422), f"PATCH {path}: {status} {answer[:300]!r}"
        return None if status < 400 else str(json.loads(answer)["message"])

    def patch(self, path: str, patch: Mapping[str, Any]) -> bool:
        """Change an object by a JSON merge patch. Return whether the object exists."""
        status, answer = self._ask("PATCH", path, {}, dict(patch), "application/merge-patch+json")
        assert status in (200, 404), f"PATCH {path}: {status} {answer[:300]!r}"
        return status == 200

    def watch(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        """Yield the events of a watch, until the API server ends the watch.

        Raises:
            urllib3.exceptions.HTTPError: The connection is lost, or there is no event for
                ``TIMEOUT`` seconds.
        """
        request = self._request("GET", path, {"watch": "true"} | query)
        answer = self._client.call_api(*request, _request_timeout=TIMEOUT).response
        assert answer.status == 200, f"watch of {path}: {answer.status}"
        try:
            rest = b""
            for part in answer.stream(None):
                *lines, rest = (rest + part).split(b"\n")
                yield from map(json.loads, lines)
        finally:
            answer.close()

    def delete(self, path: str, **query: str) -> None:
        status, answer = self._ask("DELETE", path, query)
        assert status in (200, 202), f"DELETE {path}: {status} {answer[:300]!r}"

    def _ask(
        self, method: str, path: str, query: Mapping[str, str], body: Any = None, content_type: str | None = None
    ) -> tuple[int, bytes]:
        answer = self._client.call_api(
            *self._request(method, path, query, body, content_type), _request_timeout=TIMEOUT
        )
        return answer.status, answer.read()

    def _request(
        self, method: str, path: str, query: Mapping[str, str], body: Any = None, content_type: str | None = None
    ) -> tuple[Any, Any, Any, Any, Any]:
        serialized: tuple[Any, Any, Any, Any, Any] = self._client.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params={"Accept": "application/json"} | ({"Content-Type": content_type} if content_type else {}),
            body=body,
            auth_settings=["BearerToken"],
        )
        return serialized


def _forget_managers(found: Mapping[str, Any]) -> None:
    found.get("metadata", {}).pop("managedFields", None)
