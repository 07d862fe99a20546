"""A client of the Kubernetes API over HTTP, with the rights of a kubeconfig's user. In most tests,
this user is the cluster's administrator.

Tests use kubectl for the actions of users. For requests that are sent several times a second or for
hundreds of objects, tests use this client, because each kubectl process takes 0.1 seconds of CPU
time.
"""

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
    """A client of one cluster's Kubernetes API.

    Args:
        kubeconfig: The kubeconfig file, whose current context names the cluster and the user.
    """

    def __init__(self, kubeconfig: Path) -> None:
        self._client: client.ApiClient = config.new_client_from_config(str(kubeconfig))

    @staticmethod
    @cache
    def of(kubeconfig: Path) -> KubernetesApi:
        """Return the client for a kubeconfig. Callers with the same kubeconfig share one client."""
        return KubernetesApi(kubeconfig)

    @property
    def url(self) -> str:
        """The API server's URL."""
        return str(self._client.configuration.host)

    @property
    def certificate(self) -> str:
        """The certificate of the authority that signed the API server's certificate, in PEM."""
        return Path(self._client.configuration.ssl_ca_cert).read_text()

    def get(self, path: str, **query: str) -> dict[str, Any]:
        """Return an object or a list without ``managedFields``, as kubectl shows it.

        Raises:
            AssertionError: The API answered with an error.
        """
        status, body = self._ask("GET", path, query)
        assert status == 200, f"GET {path}: {status} {body[:300]!r}"
        found: dict[str, Any] = json.loads(body)
        for each in found.get("items", [found]):
            _forget_managers(each)
        return found

    def apply(self, path: str, body: Mapping[str, Any], *, manager: str) -> str | None:
        """Create or change an object by Server-Side Apply, as the field manager ``manager``. Take
        over fields that belong to other managers.

        Return the API's message if the object is invalid, else None.

        Raises:
            AssertionError: The API answered with an error other than 400 and 422.
        """
        query = {"fieldManager": manager, "force": "true"}
        status, answer = self._ask("PATCH", path, query, json.dumps(body), "application/apply-patch+yaml")
        assert status in (200, 201, 400, 422), f"PATCH {path}: {status} {answer[:300]!r}"
        return None if status < 400 else str(json.loads(answer)["message"])

    def patch(self, path: str, patch: Mapping[str, Any]) -> bool:
        """Change an object by a JSON merge patch. Return False if the object does not exist,
        otherwise True.

        Raises:
            AssertionError: The API answered with an error other than 404.
        """
        status, answer = self._ask("PATCH", path, {}, dict(patch), "application/merge-patch+json")
        assert status in (200, 404), f"PATCH {path}: {status} {answer[:300]!r}"
        return status == 200

    def watch(self, path: str, **query: str) -> Iterator[dict[str, Any]]:
        """Yield the events of a watch, until the connection ends.

        Raises:
            AssertionError: The API answered with an error.
            urllib3.exceptions.HTTPError: The connection is lost, or there is no answer or no event
                for ``TIMEOUT`` (30 seconds).
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
        """Delete an object or the objects of a list, without waiting until they are gone.

        Raises:
            AssertionError: The API answered with an error.
        """
        status, answer = self._ask("DELETE", path, query)
        assert status in (200, 202), f"DELETE {path}: {status} {answer[:300]!r}"

    def _ask(
        self, method: str, path: str, query: Mapping[str, str], body: Any = None, content_type: str | None = None
    ) -> tuple[int, bytes]:
        """Send a request. Return the status and the body of the answer."""
        answer = self._client.call_api(
            *self._request(method, path, query, body, content_type), _request_timeout=TIMEOUT
        )
        return answer.status, answer.read()

    def _request(
        self, method: str, path: str, query: Mapping[str, str], body: Any = None, content_type: str | None = None
    ) -> tuple[Any, Any, Any, Any, Any]:
        """Return the arguments with which the client's ``call_api`` sends a request. ``call_api``
        writes the body as JSON if the content type is JSON.
        """
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
