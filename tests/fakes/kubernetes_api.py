from __future__ import annotations

import itertools
import json
import ssl
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import yaml

from tests.live.loopback import LoopbackServer, QuietHandler

from .objects import merged

ROOT = "/apis/mljob.dev/v1alpha1"
MLJOBS = f"{ROOT}/mljobs"
INSTANCES = "/apis/mljob.dev/v1alpha1/airflowinstances"
NAMESPACES = "/api/v1/namespaces"
LIST_VERSION = "9"
"""The resourceVersion of each list."""
LEASES = "/apis/coordination.k8s.io/v1/namespaces/mljob-system/leases"

Answer = tuple[int, str]
Query = dict[str, str]


def status(code: int, message: str, *, reason: str = "", **metadata: str) -> Answer:
    """Return an error response, with a Kubernetes object of kind Status as its body."""
    body = {"kind": "Status", "apiVersion": "v1", "metadata": metadata, "status": "Failure", "message": message}
    return code, json.dumps(body | {"code": code} | ({"reason": reason} if reason else {}))


def finished(name: str, namespace: str = "team-a", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "mljob.dev/v1alpha1",
        "kind": "MLJob",
        "metadata": {
            "namespace": namespace,
            "name": name,
            "uid": f"uid-of-{name}",
            "generation": 1,
            "resourceVersion": "7",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {"dagId": "train", **spec},
        "status": {"phase": "Succeeded", "observedGeneration": 1, "completionTime": "2026-01-01T00:10:00Z"},
    }


class KubernetesApi(LoopbackServer):
    """A Kubernetes API on loopback, with only the parts that a starting operator needs.

    Attributes:
        objects: The objects of each list, by the path of the list. Leases are not included.
        refuse: Called with the path and the query of a request. Returns an answer that replaces the
            usual answer, or None.
        lists: The path and the query of every list request, except for lists of Leases.
        watches: The path of every watch request, except for watches of Leases.
    """

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.objects: dict[str, list[dict[str, Any]]] = {MLJOBS: [], INSTANCES: [], NAMESPACES: []}
        self.refuse: Callable[[str, Query], Answer | None] = lambda _path, _query: None
        self.lists: list[tuple[str, Query]] = []
        self.watches: list[str] = []
        self.leases: dict[str, dict[str, Any]] = {}
        self._versions = itertools.count(1)
        self._lock = threading.Lock()
        self._ended = threading.Event()
        api = self

        class Handler(QuietHandler):
            def answer(self) -> None:
                parts = urlsplit(self.path)
                query = dict(parse_qsl(parts.query))
                if parts.path.startswith(LEASES):
                    content = self.content()
                    _send(self, *(api.refuse(parts.path, query) or api._of_lease(self.command, parts.path, content)))
                elif self.command == "GET":
                    api._answer(self, parts.path, query)
                else:
                    self.send_error(HTTPStatus.NOT_IMPLEMENTED)

        super().__init__(Handler, port=port, tls=tls)

    def close(self) -> None:
        self._ended.set()
        super().close()

    def cut(self) -> None:
        ended, self._ended = self._ended, threading.Event()
        ended.set()

    def _answer(self, handler: BaseHTTPRequestHandler, path: str, query: Query) -> None:
        # Before `refuse` is asked: a watch that is let in just before `cut` must end too.
        ended = self._ended
        watch = "watch" in query
        if watch:
            self.watches.append(path)
        elif path in self.objects:
            self.lists.append((path, query))
        if (refused := self.refuse(path, query)) is not None:
            _send(handler, *refused)
        elif watch:
            _send(handler, 200, "")
            ended.wait()
        elif path in self.objects:
            _send(handler, 200, json.dumps(self._page(path, query)))
        elif (found := self._one(path)) is not None:
            _send(handler, 200, json.dumps(found))
        elif path in DISCOVERY:
            _send(handler, 200, json.dumps(DISCOVERY[path]))
        else:
            _send(handler, *status(404, f"there is no {path}"))

    def _of_lease(self, method: str, path: str, content: bytes) -> Answer:
        name, body = path.removeprefix(LEASES).strip("/"), json.loads(content or "{}")
        with self._lock:
            if method == "GET" and not name:
                return 200, json.dumps({"kind": "LeaseList", "metadata": {}, "items": list(self.leases.values())})
            if method == "POST":
                name = body["metadata"]["name"]
                if name in self.leases:
                    return status(409, f"Lease {name} already exists", reason="AlreadyExists")
                body["metadata"]["uid"] = f"uid-of-{name}"
            elif name not in self.leases:
                return status(404, f"Lease {name} not found", reason="NotFound")
            elif method == "PATCH":
                if body["metadata"]["resourceVersion"] != self.leases[name]["metadata"]["resourceVersion"]:
                    return status(409, f"Lease {name} has been modified", reason="Conflict")
                body = merged(self.leases[name], body)
            if method != "GET":
                body["metadata"]["resourceVersion"] = str(next(self._versions))
                self.leases[name] = body
            return 200, json.dumps(self.leases[name])

    def _one(self, path: str) -> dict[str, Any] | None:
        for each in self.objects[MLJOBS]:
            if path == f"{ROOT}/namespaces/{each['metadata']['namespace']}/mljobs/{each['metadata']['name']}":
                return each
        return None

    def _page(self, path: str, query: Query) -> dict[str, Any]:
        found = self.objects[path]
        start = int(query.get("continue", 0))
        end = start + int(query.get("limit", len(found)))
        token = str(end) if end < len(found) else ""
        metadata = {"resourceVersion": LIST_VERSION, "continue": token}
        return {"kind": "List", "metadata": metadata, "items": found[start:end]}


def _send(handler: BaseHTTPRequestHandler, code: int, body: str) -> None:
    handler.send_response(code)
    handler.send_header("Content-Type", "application/json" if body[:1] in ("", "{") else "text/html")
    handler.end_headers()
    handler.wfile.write(body.encode())
    handler.wfile.flush()


def _resource(name: str, kind: str, *, namespaced: bool) -> dict[str, Any]:
    verbs = ["get", "list", "watch", "patch"]
    return {"name": name, "singularName": "", "kind": kind, "namespaced": namespaced, "verbs": verbs}


_VERSION = {"groupVersion": "mljob.dev/v1alpha1", "version": "v1alpha1"}
DISCOVERY: dict[str, dict[str, Any]] = {
    "/api": {"versions": ["v1"]},
    "/api/v1": {"resources": [_resource("namespaces", "Namespace", namespaced=False)]},
    "/apis": {"groups": [{"name": "mljob.dev", "versions": [_VERSION], "preferredVersion": _VERSION}]},
    "/apis/mljob.dev/v1alpha1": {
        "resources": [
            _resource("mljobs", "MLJob", namespaced=True),
            _resource("airflowinstances", "AirflowInstance", namespaced=False),
        ]
    },
}


def kubeconfig(path: Path, url: str, *, authority: Path | None = None, **user: str) -> Path:
    """Write a kubeconfig, and return its path. ``user`` has the credentials, by default a token."""
    cluster = {"server": url, **({"certificate-authority": str(authority)} if authority else {})}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": cluster}],
        "users": [{"name": "it", "user": user or {"token": "t"}}],
    }
    path.write_text(yaml.safe_dump(config))
    return path
