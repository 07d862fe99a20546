"""A server on loopback that behaves like Slack, for the demo and the tests.

The server refuses the messages that Slack refuses, with Slack's errors. It also refuses messages
that Slack would show in another way than the author meant.

Sources: Slack's reference of chat.postMessage, incoming webhooks, Block Kit
(api.slack.com/reference/block-kit/blocks), mrkdwn escaping
(api.slack.com/reference/surfaces/formatting) and rate limits (api.slack.com/docs/rate-limits).
"""

from __future__ import annotations

import email.message
import json
import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "xoxb-tests"  # noqa: S105 - valid for this server only
WEBHOOK = "/services/T0/B0/tests"

BLOCKS = {
    "header",
    "section",
    "context",
    "actions",
    "divider",
    "image",
    "rich_text",
    "input",
    "video",
    "file",
    "markdown",
}
TIME_STAMP = re.compile(r"\d{10}\.\d{6}")
CHANNEL = re.compile(r"#[a-z0-9_-]{1,80}|[CGDUW][A-Z0-9]{7,}")
LINK_OR_DATE = re.compile(r"<(?:https?://[^|<>\s]+(?:\|[^<>\n]*)?|!date\^\d+\^[^<>^]+\|[^<>]+)>")
KNOWN_FIELDS = {
    "channel", "text", "blocks", "thread_ts", "reply_broadcast", "unfurl_links", "unfurl_media", "mrkdwn", "username",
    "icon_emoji", "metadata", "attachments", "parse", "link_names",
}  # fmt: skip


def complaints(body: Mapping[str, Any]) -> list[str]:
    """Return the problems of a message, one text for each problem. A problem makes Slack refuse the
    message, or show the message in another way than the author meant. ``body`` is the message as
    JSON.
    """
    said = [f"unknown field {name}" for name in set(body) - KNOWN_FIELDS]
    if not body.get("text"):
        said.append("no text: notifications would be empty")
    elif len(body["text"]) > 40_000:
        said.append("text of more than 40,000 characters")
    blocks = body.get("blocks", [])
    if not isinstance(blocks, list) or len(blocks) > 50:
        return [*said, "blocks: not a list of at most 50"]
    if len(json.dumps(blocks)) > 100_000:
        said.append("blocks: too large")
    for number, block in enumerate(blocks):
        said += [f"blocks[{number}]: {complaint}" for complaint in _block(block)]
    return said


def _block(block: Mapping[str, Any]) -> Iterator[str]:
    kind = block.get("type")
    if kind not in BLOCKS:
        yield f"unknown type {kind}"
    if kind == "header":
        yield from _text(block.get("text"), {"plain_text"}, 150)
    elif kind == "section":
        yield from _section(block)
    elif kind == "context":
        yield from _context(block.get("elements", []))
    elif kind == "actions":
        yield from _actions(block.get("elements", []))


def _section(block: Mapping[str, Any]) -> Iterator[str]:
    if "text" not in block and "fields" not in block:
        yield "a section without text"
    else:
        yield from _text(block.get("text"), {"plain_text", "mrkdwn"}, 3000)


def _context(elements: Sequence[Any]) -> Iterator[str]:
    if not 1 <= len(elements) <= 10:
        yield "a context of none or more than 10 elements"
    for element in elements:
        yield from _text(element, {"plain_text", "mrkdwn"}, 3000)


def _actions(elements: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not 1 <= len(elements) <= 25:
        yield "actions without elements, or more than 25"
    for element in elements:
        if element.get("type") != "button":
            yield f"an element {element.get('type')}"
        yield from _text(element.get("text"), {"plain_text"}, 75)
        if len(element.get("url", "")) > 3000 or not re.match(r"https?://", element.get("url", "http://")):
            yield "a button whose url is none"
        if len(element.get("action_id", "")) > 255:
            yield "an action_id of more than 255 characters"


def _text(text: Any, kinds: set[str], most: int) -> Iterator[str]:
    if not isinstance(text, Mapping) or text.get("type") not in kinds:
        yield f"text must be one of {sorted(kinds)}: {text}"
        return
    content = text.get("text")
    if not isinstance(content, str) or not 1 <= len(content) <= most:
        yield f"a text that is not of 1 to {most} characters"
    elif text["type"] == "mrkdwn":
        rest = LINK_OR_DATE.sub("", content)
        if re.search(r"[<>]|&(?!amp;|lt;|gt;)", rest):
            yield f"mrkdwn that is not escaped: {rest}"


@dataclass
class Message:
    """A message that a :class:`SlackServer` has accepted."""

    channel: str
    ts: str
    body: dict[str, Any]

    @property
    def thread(self) -> str | None:
        """The time stamp of the message that this message replies to. None if this message is not a
        reply.
        """
        return self.body.get("thread_ts")

    @property
    def words(self) -> str:
        """The texts in the message's blocks, joined by line breaks."""
        return "\n".join(_words(self.body.get("blocks", [])))


def as_text(message: Message) -> str:
    """Return a message as text for a terminal. A link becomes its text and its URL in parentheses.
    A button becomes its text in brackets and its URL.
    """
    lines: list[str] = []
    for block in message.body.get("blocks", []):
        kind = block.get("type")
        if kind == "divider":
            lines.append("----")
        elif kind in ("header", "section"):
            lines += [_plain(block["text"]), ""]
        elif kind == "context":
            lines += [*(_plain(element) for element in block["elements"]), ""]
        elif kind == "actions":
            lines += [f"[ {_plain(button['text'])} ]  {button.get('url', '')}".rstrip() for button in block["elements"]]
    return "\n".join(lines).strip()


def _plain(text: Mapping[str, Any]) -> str:
    said: str = text["text"]
    if text["type"] == "mrkdwn":
        said = re.sub(r"<!date\^[^|>]*\|([^>]*)>", r"\1", said)
        said = re.sub(r"<(https?://[^|>]+)\|([^>]*)>", r"\2 (\1)", said)
        said = re.sub(r"<(https?://[^|>]+)>", r"\1", said)
        for sign, escaped in (("<", "&lt;"), (">", "&gt;"), ("&", "&amp;")):
            said = said.replace(escaped, sign)
    return said


def _words(part: Any) -> Iterator[str]:
    if isinstance(part, Mapping):
        if isinstance(part.get("text"), str):
            yield part["text"]
        for value in part.values():
            yield from _words(value)
    elif isinstance(part, list):
        for value in part:
            yield from _words(value)


@dataclass
class SlackServer:
    """A server that behaves like Slack.

    Attributes:
        messages: The accepted messages, in order.
        refused: The problems of all messages that the server has refused with `invalid_blocks`.
        requests: A pair for each request: the time in seconds of `time.monotonic`, and 429 or 200.
            429 means that `limited` refused the request. 200 stands for every other response, even
            for an error.
        limited: How many of the next requests the server answers with 429.
        retry_after: Seconds in the `Retry-After` header of a 429.
        missing: The names and ids of channels that the server does not find.
        members: The ids of the users, by e-mail address.
        url: The server's URL.
    """

    messages: list[Message] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    requests: list[tuple[float, int]] = field(default_factory=list)
    limited: int = 0
    retry_after: int = 1
    missing: set[str] = field(default_factory=set)
    members: dict[str, str] = field(default_factory=dict)
    url: str = ""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0

    def post(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the response to `chat.postMessage`. An accepted message is added to `messages`."""
        channel = body.get("channel", "")
        if not CHANNEL.fullmatch(channel) or channel in self.missing:
            return {"ok": False, "error": "channel_not_found"}
        thread = body.get("thread_ts")
        if thread is not None and not TIME_STAMP.fullmatch(thread):
            return {"ok": False, "error": "invalid_thread_ts"}
        if wrong := complaints(body):
            self.refused += wrong
            return {"ok": False, "error": "invalid_blocks", "response_metadata": {"messages": wrong}}
        where = channel if re.fullmatch(r"[CGD][A-Z0-9]+", channel) else self.id_of(channel)
        if thread is not None and not any(m.ts == thread and m.channel == where for m in self.messages):
            return {"ok": False, "error": "thread_not_found"}
        message = self._take(where, body)
        return {"ok": True, "channel": message.channel, "ts": message.ts, "message": {"text": body["text"]}}

    def look_up(self, address: str) -> dict[str, Any]:
        """Return the response to `users.lookupByEmail` for an e-mail address."""
        member = self.members.get(address)
        return {"ok": True, "user": {"id": member}} if member else {"ok": False, "error": "users_not_found"}

    def answer(
        self, path: str, query: Mapping[str, list[str]], headers: email.message.Message, content: bytes
    ) -> tuple[int, Any]:
        """Return the status and the body of the response to a request. The setting `limited` has no
        effect on this method.
        """
        if path == WEBHOOK:
            return self.webhook(json.loads(content))
        if headers.get("Authorization") != f"Bearer {TOKEN}":
            return 200, {"ok": False, "error": "invalid_auth"}
        if path == "/api/chat.postMessage":
            if "json" not in headers.get("Content-Type", ""):
                return 200, {"ok": False, "error": "invalid_post_type"}
            return 200, self.post(json.loads(content))
        if path == "/api/users.lookupByEmail":
            # This method takes no JSON. Its arguments are in the URL or in a form.
            given = {**query, **parse_qs(content.decode())}
            return 200, self.look_up((given.get("email") or [""])[0])
        return 200, {"ok": False, "error": "unknown_method"}

    def webhook(self, body: dict[str, Any]) -> tuple[int, str]:
        """Return the status and the body of the response to a message for an incoming webhook. An
        accepted message is added to `messages`.
        """
        if wrong := complaints(body):
            self.refused += wrong
            return 400, "invalid_blocks"
        self._take("webhook", body)
        return 200, "ok"

    def _take(self, channel: str, body: dict[str, Any]) -> Message:
        with self._lock:
            self._number += 1
            message = Message(channel, f"17{self._number:08d}.{self._number:06d}", body)
            self.messages.append(message)
        return message

    @staticmethod
    def id_of(name: str) -> str:
        """Return the id of the channel called `name`. If `name` is the id of a user, return the id
        of the direct conversation with the user.
        """
        letters = re.sub(r"[^A-Z0-9]", "", name.upper())
        return f"{'D' if name[0] in 'UW' else 'C'}{letters:0<9}"


@contextmanager
def slack_server(port: int = 0) -> Iterator[SlackServer]:
    """Run a server that behaves like Slack until the `with` block ends. With port 0, the server
    listens on any free port.
    """
    slack = SlackServer()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

        def do_GET(self) -> None:
            self._answer(b"")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

        def _answer(self, content: bytes) -> None:
            path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
            if slack.limited > 0:
                slack.limited -= 1
                slack.requests.append((time.monotonic(), 429))
                self._send(429, {"ok": False, "error": "ratelimited"}, {"Retry-After": str(slack.retry_after)})
                return
            slack.requests.append((time.monotonic(), 200))
            self._send(*slack.answer(path, query, self.headers, content))

        def _send(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if isinstance(body, str) else "application/json")
            self.send_header("Content-Length", str(len(data)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    slack.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield slack
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)
