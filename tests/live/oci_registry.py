from __future__ import annotations

import hashlib
import re
import uuid
from urllib.parse import parse_qs, urlsplit

from tests.live.loopback import LoopbackServer, QuietHandler

MANIFEST = re.compile(r"/v2/(?P<name>.+)/manifests/(?P<reference>[^/]+)")
BLOB = re.compile(r"/v2/(?P<name>.+)/blobs/(?P<digest>sha256:[0-9a-f]{64})")
UPLOADS = re.compile(r"/v2/(?P<name>.+)/blobs/uploads/(?P<upload>[^/]*)")


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class OciRegistry(LoopbackServer):
    """A registry in memory, with only the requests that helm needs to push and pull a chart
    (github.com/opencontainers/distribution-spec, "Pull" and "Push").

    Attributes:
        manifests: Media type and content, by repository name and reference.
        blobs: Contents by digest.
    """

    def __init__(self) -> None:
        self.manifests: dict[tuple[str, str], tuple[str, bytes]] = {}
        self.blobs: dict[str, bytes] = {}
        registry = self

        class Handler(QuietHandler):
            def answer(self) -> None:
                registry._answer(self)

            do_HEAD = answer  # noqa: N815 - http.server's name

        super().__init__(Handler)

    def _answer(self, handler: QuietHandler) -> None:
        path, body = urlsplit(handler.path), handler.content()
        if found := UPLOADS.fullmatch(path.path):
            self._upload(handler, found, parse_qs(path.query), body)
        elif found := BLOB.fullmatch(path.path):
            self._send(handler, "application/octet-stream", self.blobs.get(found["digest"]))
        elif found := MANIFEST.fullmatch(path.path):
            name, reference = found["name"], found["reference"]
            if handler.command == "PUT":
                kept = handler.headers["Content-Type"], body
                self.manifests[name, reference] = self.manifests[name, digest_of(body)] = kept
                handler.reply(201, b"", headers={"Docker-Content-Digest": digest_of(body), "Location": path.path})
            else:
                self._send(handler, *self.manifests.get((name, reference), ("", None)))
        else:
            handler.reply(200 if path.path == "/v2/" else 404, b"{}")

    def _upload(self, handler: QuietHandler, found: re.Match[str], query: dict[str, list[str]], body: bytes) -> None:
        if handler.command == "POST":
            handler.reply(202, b"", headers={"Location": f"/v2/{found['name']}/blobs/uploads/{uuid.uuid4()}"})
            return
        assert query["digest"] == [digest_of(body)]
        self.blobs[digest_of(body)] = body
        handler.reply(201, b"", headers={"Location": f"/v2/{found['name']}/blobs/{digest_of(body)}"})

    def _send(self, handler: QuietHandler, content_type: str, content: bytes | None) -> None:
        if content is None:
            handler.reply(404, b'{"errors": [{"code": "NOT_FOUND"}]}')
            return
        headers = {"Docker-Content-Digest": digest_of(content)}
        if handler.command == "HEAD":
            handler.send_response_only(200)
            for name, value in (headers | {"Content-Type": content_type, "Content-Length": str(len(content))}).items():
                handler.send_header(name, value)
            handler.end_headers()
        else:
            handler.reply(200, content, content_type, headers)
