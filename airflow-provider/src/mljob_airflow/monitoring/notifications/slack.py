"""Posts messages to Slack, through the hooks of Airflow's Slack provider.

The type of the Airflow Connection decides how messages are posted:

- ``slack``: A bot posts to members, and to the channels in which the bot is a member. The bot needs
  the scope ``chat:write``. To post to a member's e-mail address, the bot also needs the scope
  ``users:read.email``.
- ``slackwebhook``: The webhook posts to its only channel, without threads.

Slack accepts about one message a second in a channel, and answers further messages with status 429.
Slack's SDK then waits for the time in ``Retry-After``, and sends the message again (see
:mod:`.rate_limits`). Slack reports most other errors of a bot with status 200 and ``ok: false``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from mljob_airflow.monitoring.notifications.messages import Message
from mljob_airflow.monitoring.notifications.owners import Recipient

TIMEOUT_SECONDS = 30
"""The maximum time of a request, in seconds."""
RETRIES = 5
"""The number of retries of a request after an answer 429. Before each retry, the SDK waits for the
seconds in ``Retry-After``."""
MAX_WAIT_SECONDS = 300
"""The maximum sum of these waits, for all messages of a task together."""

UNREACHABLE = frozenset(
    {
        "channel_not_found",
        "not_in_channel",
        "is_archived",
        "user_not_found",
        "users_not_found",
        "user_disabled",
        "cannot_dm_bot",
        "messages_tab_disabled",
        "restricted_action",
        "invalid_channel",
        "missing_scope",
        "thread_not_found",
    }
)
"""Slack's errors after which a message to another address may succeed
(api.slack.com/methods/chat.postMessage, users.lookupByEmail).
"""


class SlackError(Exception):
    """Slack refused a message, or did not answer."""


class UnreachableError(SlackError):
    """Slack can't post to the address (a channel or a member). Another address may work."""


class SlackUnavailableError(SlackError):
    """Slack did not answer, or asked for a longer wait than :data:`MAX_WAIT_SECONDS` allows. Other
    messages would probably fail in the same way, each after a long wait.
    """


@dataclass(frozen=True, slots=True)
class Posted:
    """The channel and the thread of a posted message. A reply needs both."""

    channel: str
    """The channel's id. A webhook does not return the id, so its messages have ``webhook``."""
    thread: str | None
    """The message's time stamp, which identifies the thread for replies, or ``None`` if the
    messenger has no threads.
    """


class Messenger(Protocol):
    """Posts messages to Slack."""

    threads: bool
    """Whether a message can be a reply in a thread."""

    def post(
        self, recipient: Recipient, message: Message, *, reply_to: Posted | None = None, broadcast: bool = False
    ) -> Posted:
        """Post a message.

        Args:
            recipient: The recipient, if the message is not a reply in a thread.
            message: The message.
            reply_to: An earlier message. If the earlier message has a thread, ``message`` becomes a
                reply in this thread. Otherwise, ``message`` goes to the recipient.
            broadcast: Whether a reply also appears in the channel, and not only in the thread.

        Returns:
            The channel and the thread of the posted message.

        Raises:
            UnreachableError: Slack can't post to the recipient.
            SlackUnavailableError: Slack did not answer, or asked for a long wait.
            SlackError: Slack refused the message for another reason.
        """
        ...


class SlackBot:
    """Posts messages as a bot, by ``chat.postMessage``."""

    threads = True

    def __init__(self, hook: Any) -> None:
        self._hook = hook
        self._members: dict[str, str] = {}

    def post(
        self, recipient: Recipient, message: Message, *, reply_to: Posted | None = None, broadcast: bool = False
    ) -> Posted:
        """Post a message, see :meth:`Messenger.post`."""
        body = {**message, "unfurl_links": False, "unfurl_media": False}
        if reply_to is not None and reply_to.thread:
            body |= {"channel": reply_to.channel, "thread_ts": reply_to.thread, "reply_broadcast": broadcast}
        else:
            body["channel"] = self._member(recipient.address) if recipient.is_email else recipient.address
        with _slack_errors(f"Slack's chat.postMessage to {recipient.address}"):
            answer = self._hook.call("chat.postMessage", json=body)
            return Posted(str(answer["channel"]), str(answer["ts"]))

    def _member(self, email: str) -> str:
        if email not in self._members:
            with _slack_errors(f"Slack's users.lookupByEmail to {email}"):
                answer = self._hook.call("users.lookupByEmail", http_verb="GET", params={"email": email})
                self._members[email] = str(answer["user"]["id"])
        return self._members[email]


class SlackWebhook:
    """Posts messages by an incoming webhook, to the webhook's only channel and without threads."""

    threads = False

    def __init__(self, hook: Any) -> None:
        self._hook = hook

    def post(
        self, recipient: Recipient, message: Message, *, reply_to: Posted | None = None, broadcast: bool = False
    ) -> Posted:
        """Post a message to the webhook's channel. All arguments except ``message`` are ignored.

        Raises:
            SlackUnavailableError: Slack did not answer.
            SlackError: Slack refused the message.
        """
        with _slack_errors("Slack's webhook"):
            self._hook.send(**message)
        return Posted("webhook", None)


@contextmanager
def _slack_errors(request: str) -> Iterator[None]:
    """Raise a :class:`SlackError` for each exception in the ``with`` block.

    Slack's SDK lets the exceptions of other libraries through, for example of ``http.client`` and
    of its parsers, if Slack or a proxy sends a broken answer.

    Args:
        request: The request in words, for the text of an error.
    """
    try:
        yield
    except Exception as error:
        raise _slack_error(request, error) from error


def _slack_error(request: str, error: Exception) -> SlackError:
    from slack_sdk.errors import SlackApiError

    if not isinstance(error, SlackApiError):
        # OSError: Slack can't be reached, or a timeout is over.
        failure = SlackUnavailableError if isinstance(error, OSError) else SlackError
        return failure(f"{request}: {type(error).__name__}: {error}")
    answer = error.response.data if isinstance(error.response.data, Mapping) else {}
    code = str(answer.get("error") or f"status {error.response.status_code}")
    needed = f" (the bot needs the scope {answer['needed']})" if answer.get("needed") else ""
    kind = UnreachableError if code in UNREACHABLE else SlackError
    if error.response.status_code == 429:
        kind = SlackUnavailableError
    return kind(f"{request}: {code}{needed}")


def messenger(conn_id: str, conn_type: str) -> Messenger:
    """Make the messenger for an Airflow Connection.

    Args:
        conn_id: The Connection's id.
        conn_type: The Connection's type.

    Raises:
        ValueError: The type is neither ``slack`` nor ``slackwebhook``.
    """
    # Imported here, because only the task that posts messages needs these modules.
    from slack_sdk.http_retry.builtin_handlers import ConnectionErrorRetryHandler, ServerErrorRetryHandler

    from mljob_airflow.monitoring.notifications.rate_limits import BoundedRateLimitHandler

    retry_handlers = [
        BoundedRateLimitHandler(RETRIES, MAX_WAIT_SECONDS),
        ConnectionErrorRetryHandler(max_retry_count=2),
        ServerErrorRetryHandler(max_retry_count=2),
    ]
    if conn_type == "slack":
        from airflow.providers.slack.hooks.slack import SlackHook

        return SlackBot(SlackHook(slack_conn_id=conn_id, timeout=TIMEOUT_SECONDS, retry_handlers=retry_handlers))
    if conn_type == "slackwebhook":
        from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook

        return SlackWebhook(
            SlackWebhookHook(slack_webhook_conn_id=conn_id, timeout=TIMEOUT_SECONDS, retry_handlers=retry_handlers)
        )
    raise ValueError(
        f"the Connection {conn_id} has the type {conn_type}: its type must be slack (a bot) or slackwebhook"
    )
