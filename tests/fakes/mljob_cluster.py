from __future__ import annotations

import json
import re
import ssl
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.live.loopback import LoopbackServer, QuietHandler

Object = dict[str, Any]
_MLJOBS = re.compile(
    r"/apis/mljob\.dev/v1alpha1(?:/namespaces/(?P<namespace>[^/]+))?/mljobs(?:/(?P<name>[^/]+))?(?P<status>/status)?"
)
_RUNS = re.compile(
    r"/apis/run\.mljob\.dev/v1alpha1/(?:watch/)?namespaces/(?P<namespace>[^/]+)/mljobs/(?P<name>[^/]+)/(?P<part>\w+)"
)


@dataclass(frozen=True)
class Asked:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Object


@dataclass(frozen=True)
class Answer:
    """An answer of the fake server. If ``then_cut`` is true, the server sends fewer bytes than the
    header Content-Length says, and closes the connection.
    """

    code: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    then_cut: bool = False


def refusal(code: int, reason: str = "", message: str = "", **headers: str) -> Answer:
    """Return an error response with a ``Status`` object, as the API server does. Underscores in the
    names of ``headers`` become hyphens.
    """
    status = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }
    return Answer(code, json.dumps(status).encode(), {name.replace("_", "-"): value for name, value in headers.items()})


class MLJobCluster(LoopbackServer):
    """A fake Kubernetes API on loopback that stores MLJobs and answers requests to mljob-api.

    Attributes:
        interfere: A function that gets each request. The function returns the answer, or None for
            the usual answer.
        runs: The functions that answer requests to mljob-api, by ``namespace/name/part``, such as
            ``team-a/train/log``. Other requests to mljob-api get a 404.
        asked: All requests, in order.
        page_size: The maximum number of MLJobs in a page of a list.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.interfere: Callable[[Asked], Answer | None] = lambda _asked: None
        self.runs: dict[str, Callable[[Asked], Answer]] = {}
        self.asked: list[Asked] = []
        self.page_size = 500
        self._objects: dict[tuple[str, str], Object] = {}
        self._log: list[tuple[int, str, Object]] = []
        self._version = 10
        self._oldest = 0
        self._cuts = 0
        self._closed = False
        self._changed = threading.Condition()
        cluster = self

        class Handler(QuietHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                cluster._answer(self)

        super().__init__(Handler, tls=tls)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        super().close()

    # --- what tests do ---

    def put(self, name: str, namespace: str = "team-a", *, status: Object | None = None, **metadata: Any) -> Object:
        with self._changed:
            found = self._objects.get((namespace, name)) or self._new(
                {"metadata": {"name": name}, "spec": {"dagId": "train"}}, namespace
            )
            wanted = {**found, "metadata": {**found["metadata"], **metadata}}
            if status is not None:
                wanted["status"] = status
            return self._store(wanted)

    def patch(self, name: str, change: Object, namespace: str = "team-a") -> Object:
        """Change an MLJob by a merge patch. Unlike the API server, this method never increases the
        generation.
        """
        with self._changed:
            return self._store(_merge(self._objects[namespace, name], change))

    def remove(self, name: str, namespace: str = "team-a") -> None:
        with self._changed:
            found = self._objects.pop((namespace, name))
            self._tell("DELETED", found)

    def get(self, name: str, namespace: str = "team-a") -> Object:
        with self._changed:
            return self._objects[namespace, name]

    def all(self) -> list[Object]:
        with self._changed:
            return list(self._objects.values())

    def cut(self) -> None:
        with self._changed:
            self._cuts += 1
            self._changed.notify_all()

    def compact(self) -> None:
        """Forget all changes so far, as a compaction of etcd does. Then a watch from an earlier
        resource version gets a 410. So does a request for the next page of a list that has an
        earlier resource version.
        """
        with self._changed:
            self._oldest = self._version
            self._log.clear()

    def count(self, what: str) -> int:
        """Return the number of requests of one kind so far. The kind ``what`` is ``list``,
        ``watch`` or an HTTP method such as ``PATCH``.
        """
        return sum(what in (asked.method, _kind(asked)) for asked in list(self.asked))

    # --- how it answers ---

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        length = int(handler.headers.get("Content-Length") or 0)
        body = json.loads(handler.rfile.read(length) or b"{}")
        asked = Asked(handler.command, unquote(parts.path), dict(parse_qsl(parts.query)), dict(handler.headers), body)
        self.asked.append(asked)
        if (answer := self.interfere(asked)) is not None:
            _send(handler, answer)
        elif run := _RUNS.fullmatch(asked.path):
            part = self.runs.get("/".join(run.groups()))
            _send(handler, part(asked) if part else Answer(404, b"404 page not found\n"))
        elif mljobs := _MLJOBS.fullmatch(asked.path):
            self._mljobs(handler, asked, mljobs["namespace"], mljobs["name"])
        else:
            _send(handler, Answer(404, b"404 page not found\n"))

    def _mljobs(self, handler: BaseHTTPRequestHandler, asked: Asked, namespace: str | None, name: str | None) -> None:
        if asked.method == "GET" and name is None:
            if asked.query.get("watch") == "true":
                self._watch(handler, asked, namespace)
            else:
                _send(handler, self._list(asked, namespace))
        elif asked.method == "POST":
            _send(handler, self._create(asked, str(namespace)))
        else:
            _send(handler, self._one(asked, str(namespace), str(name)))

    def _list(self, asked: Asked, namespace: str | None) -> Answer:
        with self._changed:
            found = [item for item in self._objects.values() if _matches(item, namespace, asked.query)]
            version, oldest = self._version, self._oldest
        start, at = (int(part) for part in asked.query.get("continue", f"0:{version}").split(":"))
        if at < oldest:
            return refusal(410, "Expired", "The provided continue parameter is too old.")
        size = min(int(asked.query.get("limit", 500)), self.page_size)
        metadata = {"resourceVersion": str(at)}
        if start + size < len(found):
            metadata["continue"] = f"{start + size}:{at}"
        body = {"kind": "MLJobList", "metadata": metadata, "items": found[start : start + size]}
        return Answer(200, json.dumps(body).encode())

    def _create(self, asked: Asked, namespace: str) -> Answer:
        with self._changed:
            name = asked.body["metadata"]["name"]
            if (namespace, name) in self._objects:
                return refusal(409, "AlreadyExists", f'mljobs.mljob.dev "{name}" already exists')
            return Answer(201, json.dumps(self._store(self._new(asked.body, namespace))).encode())

    def _one(self, asked: Asked, namespace: str, name: str) -> Answer:
        with self._changed:
            found = self._objects.get((namespace, name))
            if found is None:
                return refusal(404, "NotFound", f'mljobs.mljob.dev "{name}" not found')
            wanted = (asked.body.get("preconditions") or asked.body.get("metadata") or {}).get("uid")
            if wanted not in (None, found["metadata"]["uid"]):
                if asked.method == "DELETE":
                    return refusal(409, "Conflict", "the UID in the precondition does not match")
                return refusal(422, "Invalid", "metadata.uid: field is immutable")
            if asked.method == "PATCH":
                merged = _merge(found, asked.body)
                if merged["spec"] != found["spec"]:
                    merged["metadata"]["generation"] += 1
                found = self._store(merged)
            elif asked.method == "DELETE":
                del self._objects[namespace, name]
                self._tell("DELETED", found)
            return Answer(200, json.dumps(found).encode())

    def _watch(self, handler: BaseHTTPRequestHandler, asked: Asked, namespace: str | None) -> None:
        version, cuts = int(asked.query["resourceVersion"]), self._cuts
        _begin(handler)
        try:
            while True:
                with self._changed:
                    while not (self._closed or self._cuts != cuts or self._version > version or version < self._oldest):
                        self._changed.wait()
                    if self._closed or self._cuts != cuts:
                        handler.close_connection = True
                        return  # without the last chunk: the client sees a broken stream
                    expired = version < self._oldest
                    news = [
                        (kind, item)
                        for at, kind, item in self._log
                        if at > version and _matches(item, namespace, asked.query)
                    ]
                    version = self._version
                if expired:
                    status = json.loads(refusal(410, "Expired", "too old resource version").body)
                    _chunk(handler, json.dumps({"type": "ERROR", "object": status}).encode() + b"\n")
                    break
                for kind, item in news:
                    _chunk(handler, json.dumps({"type": kind, "object": item}).encode() + b"\n")
                bookmark = {"kind": "MLJob", "metadata": {"resourceVersion": str(version)}}
                _chunk(handler, json.dumps({"type": "BOOKMARK", "object": bookmark}).encode() + b"\n")
            _chunk(handler, b"")
        except OSError:
            handler.close_connection = True

    def _new(self, given: Object, namespace: str) -> Object:
        metadata = {
            **given["metadata"],
            "namespace": namespace,
            "uid": str(uuid.uuid4()),
            "generation": 1,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        }
        return {
            "apiVersion": "mljob.dev/v1alpha1",
            "kind": "MLJob",
            **given,
            "metadata": metadata,
            "status": {"observedGeneration": -1},
        }

    def _store(self, item: Object) -> Object:
        key = (item["metadata"]["namespace"], item["metadata"]["name"])
        kind = "MODIFIED" if key in self._objects else "ADDED"
        self._objects[key] = self._tell(kind, item)
        return self._objects[key]

    def _tell(self, kind: str, item: Object) -> Object:
        self._version += 1
        told = {**item, "metadata": {**item["metadata"], "resourceVersion": str(self._version)}}
        self._log.append((self._version, kind, told))
        self._changed.notify_all()
        return told


def _kind(asked: Asked) -> str:
    mljobs = _MLJOBS.fullmatch(asked.path)
    if asked.method != "GET" or mljobs is None or mljobs["name"]:
        return ""
    return "watch" if asked.query.get("watch") == "true" else "list"


def _matches(item: Object, namespace: str | None, query: Mapping[str, str]) -> bool:
    metadata = item["metadata"]
    fields = dict(part.split("=", 1) for part in query.get("fieldSelector", "").split(",") if part)
    labels = dict(part.split("=", 1) for part in query.get("labelSelector", "").split(",") if part)
    return (
        namespace in (None, metadata["namespace"])
        and fields.get("metadata.name") in (None, metadata["name"])
        and labels.items() <= (metadata.get("labels") or {}).items()
    )


def _merge(target: Object, change: Object) -> Object:
    merged = dict(target)
    for key, value in change.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            merged[key] = _merge(merged.get(key) or {}, value)
        else:
            merged[key] = value
    return merged


def _send(handler: BaseHTTPRequestHandler, answer: Answer) -> None:
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(answer.body) + 10 * answer.then_cut),
        **answer.headers,
    }
    handler.send_response_only(answer.code)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(answer.body)
    handler.wfile.flush()
    if answer.then_cut:
        handler.close_connection = True


def _begin(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response_only(200)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()


def _chunk(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    handler.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
    handler.wfile.flush()
