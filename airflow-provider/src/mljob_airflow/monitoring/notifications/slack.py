"""Slack, through the hooks of Airflow's Slack provider: what is sent, and what it answers.

A Connection of type ``slack`` holds a bot's token and can do all of it: any channel the bot is in, members, threads (scopes ``chat:write``, and
``users:read.email`` for addresses that are e-mails). One of type ``slackwebhook`` writes to its one channel, without threads.

Slack limits posts to about one a second for a channel and says 429 with ``Retry-After`` beyond that: the SDK's handler waits so long and tries again. Its
other answers come with status 200 and ``ok: false``: where nobody can be reached, the fallback channel can; a wrong token ends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from mljob_airflow.monitoring.notifications.messages import Message
from mljob_airflow.monitoring.notifications.owners import Target

TIMEOUT_SECONDS = 30
RETRIES = 5
"""How often a request is sent again: each time after what ``Retry-After`` says."""

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
"""Slack's errors that are about the address (api.slack.com/methods/chat.postMessage, users.lookupByEmail)."""


class SlackError(Exception):
    """Slack did not take a message; the text says why, and where it was to go."""


class UnreachableError(SlackError):
    """Nobody can be written to there; elsewhere the message may arrive."""


@dataclass(frozen=True, slots=True)
class Posted:
    """Where a message is: the channel's id, and its time stamp, to which a thread is bound."""

    channel: str
    thread: str | None


class Messenger(Protocol):
    """Who brings messages."""

    threads: bool
    """Whether a message can answer another."""

    def post(self, target: Target, message: Message, *, reply_to: Posted | None = None, show: bool = False) -> Posted:
        """Send a message.

        Args:
            target: Where to.
            message: What.
            reply_to: The message whose thread it belongs to; that one's channel counts then.
            show: Whether a reply is to be seen in the channel as well.

        Raises:
            UnreachableError: The address leads nowhere.
            SlackError: Anything else.
        """
        ...


class SlackBot:
    """A bot: ``chat.postMessage``."""

    threads = True

    def __init__(self, hook: Any) -> None:
        self._hook = hook
        self._members: dict[str, str] = {}

    def post(self, target: Target, message: Message, *, reply_to: Posted | None = None, show: bool = False) -> Posted:
        """Send a message; see :class:`Messenger`."""
        body = {**message, "unfurl_links": False, "unfurl_media": False}
        if reply_to is not None and reply_to.thread:
            body |= {"channel": reply_to.channel, "thread_ts": reply_to.thread, "reply_broadcast": show}
        else:
            body["channel"] = self._member(target.address) if target.is_email else target.address
        answer = self._call("chat.postMessage", target.address, json=body)
        return Posted(str(answer["channel"]), str(answer["ts"]))

    def _member(self, email: str) -> str:
        if email not in self._members:
            answer = self._call("users.lookupByEmail", email, http_verb="GET", params={"email": email})
            self._members[email] = str(answer["user"]["id"])
        return self._members[email]

    def _call(self, method: str, address: str, **arguments: Any) -> Any:
        from slack_sdk.errors import SlackApiError, SlackClientError

        try:
            return self._hook.call(method, **arguments)
        except SlackApiError as error:
            word = str(error.response.get("error") or f"status {error.response.status_code}")
            needed = f" (needs the scope {error.response['needed']})" if error.response.get("needed") else ""
            kind = UnreachableError if word in UNREACHABLE else SlackError
            raise kind(f"Slack's {method} to {address}: {word}{needed}") from error
        except (SlackClientError, OSError) as error:
            raise SlackError(f"Slack's {method} to {address}: {type(error).__name__}: {error}") from error


class SlackWebhook:
    """An incoming webhook: one channel, which the webhook's owner chose, and no threads."""

    threads = False

    def __init__(self, hook: Any) -> None:
        self._hook = hook

    def post(self, target: Target, message: Message, *, reply_to: Posted | None = None, show: bool = False) -> Posted:
        """Send a message; see :class:`Messenger`."""
        from airflow.exceptions import AirflowException
        from slack_sdk.errors import SlackClientError

        try:
            self._hook.send(**message)
        except (AirflowException, SlackClientError, OSError) as error:
            raise SlackError(f"Slack's webhook: {type(error).__name__}: {error}") from error
        return Posted("webhook", None)


def messenger(conn_id: str, conn_type: str) -> Messenger:
    """The messenger for a Connection.

    Raises:
        ValueError: It is not one of Slack's.
    """
    # Late, with what it needs: only the task that writes pays for it.
    from slack_sdk.http_retry.builtin_handlers import (
        ConnectionErrorRetryHandler,
        RateLimitErrorRetryHandler,
        ServerErrorRetryHandler,
    )

    again = [
        RateLimitErrorRetryHandler(max_retry_count=RETRIES),
        ConnectionErrorRetryHandler(max_retry_count=2),
        ServerErrorRetryHandler(max_retry_count=2),
    ]
    if conn_type == "slack":
        from airflow.providers.slack.hooks.slack import SlackHook

        return SlackBot(SlackHook(slack_conn_id=conn_id, timeout=TIMEOUT_SECONDS, retry_handlers=again))
    if conn_type == "slackwebhook":
        from airflow.providers.slack.hooks.slack_webhook import SlackWebhookHook

        return SlackWebhook(
            SlackWebhookHook(slack_webhook_conn_id=conn_id, timeout=TIMEOUT_SECONDS, retry_handlers=again)
        )
    raise ValueError(f"the Connection {conn_id} is of type {conn_type}: it must be slack (a bot) or slackwebhook")
