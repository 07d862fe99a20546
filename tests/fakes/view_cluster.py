from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qsl

from mljob_contract.run_api import LOG_POSITION, LogPosition
from tests.fakes.mljob_cluster import Answer, Asked, MLJobCluster, Object, _begin, _chunk, _send, refusal


class GrowingLog:
    """The log of a task. A test appends lines while clients follow the log."""

    def __init__(self, *lines: str) -> None:
        self._lines = list(lines)
        self._has_ended = False
        self._changed = threading.Condition()

    def write(self, *lines: str) -> None:
        with self._changed:
            self._lines += lines
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def send(self, handler: BaseHTTPRequestHandler, query: Mapping[str, str]) -> None:
        if "follow" not in query:
            first = max(len(self._lines) - int(query["tail"]), 0) if "tail" in query else 0
            lines = self._lines[first:]
            _send(handler, Answer(200, "".join(f"{line}\n" for line in lines).encode()))
            return
        _begin(handler)
        sent = LogPosition.parse(query["after"]).line if "after" in query else 0
        if "positions" in query:
            _chunk(handler, f"{LOG_POSITION}{LogPosition(1, 'fit', -1, 1, sent)}\n".encode())
        while True:
            with self._changed:
                while len(self._lines) == sent and not self._has_ended:
                    self._changed.wait()
                new, sent = self._lines[sent:], len(self._lines)
            if not new:
                break
            _chunk(handler, "".join(f"{line}\n" for line in new).encode(errors="surrogatepass"))
        _chunk(handler, b"")


class ViewCluster(MLJobCluster):
    """A fake Kubernetes API on loopback. The fake serves everything that the view (MLJobs in a
    browser) reads.

    Attributes:
        objects: All objects except MLJobs, by the URL path of their list. Watches of these lists
            deliver no events.
        logs: The logs of tasks, by ``namespace/name/task``. A request for the log of a task that
            has no entry is answered with the first log of the same MLJob.
        may: Gets a token and a request. Returns whether the token's owner may send the request.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.objects: dict[str, list[Object]] = {}
        self.logs: dict[str, GrowingLog] = {}
        self.may: Callable[[str, Asked], bool] = lambda _token, _asked: True
        super().__init__(tls)
        self.interfere = self._refuse

    def close(self) -> None:
        for log in self.logs.values():
            log.end()
        super().close()

    @contextmanager
    def hold_back(self, *ends: str) -> Iterator[Callable[[], None]]:
        """Return a context manager. Until its block ends, no request whose path ends with one of
        ``ends`` is answered. Yield a function that answers these requests earlier.
        """
        may_answer, usual = threading.Event(), self.interfere

        def held_back(asked: Asked) -> Answer | None:
            if asked.path.endswith(ends):
                may_answer.wait(180)
            return usual(asked)

        self.interfere = held_back
        try:
            yield may_answer.set
        finally:
            may_answer.set()

    def replace(
        self,
        name: str,
        namespace: str,
        spec: Object,
        status: Object,
        created_at: str = "2026-01-01T00:00:00Z",
        **labels: str,
    ) -> Object:
        with self._changed:
            known = self._objects.get((namespace, name)) or self._new({"metadata": {"name": name}}, namespace)
            metadata = {**known["metadata"], "creationTimestamp": created_at, "labels": labels}
            return self._store({**known, "metadata": metadata, "spec": spec, "status": status})

    def _refuse(self, asked: Asked) -> Answer | None:
        token = asked.headers.get("authorization", asked.headers.get("Authorization", "")).removeprefix("Bearer ")
        if self.may(token, asked):
            return None
        message = f'User "{token}" cannot {asked.method.lower()} {asked.path}'
        return refusal(403, "Forbidden", message)

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        path, _, text = handler.path.partition("?")
        query = dict(parse_qsl(text, keep_blank_values=True))
        asked = Asked(handler.command, path, query, dict(handler.headers), {})
        log = self._log_of(path, query)
        if log is None and path not in self.objects:
            super()._answer(handler)
        elif (answer := self.interfere(asked)) is not None:
            _send(handler, answer)
        elif log is not None:
            log.send(handler, query)
        elif "watch" in query:
            self._hold(handler)
        else:
            found = {"metadata": {"resourceVersion": "1"}, "items": self.objects[path]}
            _send(handler, Answer(200, json.dumps(found).encode()))

    def _log_of(self, path: str, query: Mapping[str, str]) -> GrowingLog | None:
        steps = path.split("/")
        if not path.startswith("/apis/run.mljob.dev/") or steps[-1] != "log":
            return None
        key = "/".join((steps[5], steps[7]))
        named = self.logs.get(f"{key}/{query.get('task', '')}")
        return named or next((log for name, log in self.logs.items() if name.startswith(f"{key}/")), None)

    def _hold(self, handler: BaseHTTPRequestHandler) -> None:
        _begin(handler)
        with self._changed:
            while not self._closed:
                self._changed.wait()
        handler.close_connection = True
