"""Sends Slack messages to the owners of the findings in a report.

The state is saved after each message, so a retry of the task does not repeat a message. If Slack
can't post a reply in an owner's thread, the message starts a new thread. If Slack can't post to the
owner's address either, the message goes to the fallback channel. If an owner can't be notified at
all, the other owners are still notified, and then the task fails.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mljob_airflow.monitoring.notifications import state as states
from mljob_airflow.monitoring.notifications.messages import message
from mljob_airflow.monitoring.notifications.owners import Recipient, recipient_of
from mljob_airflow.monitoring.notifications.slack import Messenger, Posted, SlackError, UnreachableError
from mljob_airflow.monitoring.notifications.state import (
    Conversation,
    Notification,
    NotificationPolicy,
    NotificationState,
)
from mljob_airflow.rest.client import AirflowApiError
from mljob_contract.reports import MonitoringReport

log = logging.getLogger(__name__)

PLATFORM_NAME = "the platform"
"""The name of the owner :data:`.state.PLATFORM`, in logs and in the task's return value."""


class NotificationError(Exception):
    """Some owners were not notified, because a request to Slack or Airflow failed. A retry of the
    task notifies only these owners.
    """


@dataclass(frozen=True)
class OwnerDirectory:
    """The Slack addresses of owners.

    Attributes:
        mapping: Addresses by owner, from the Variable ``mljob_owners``.
        fallback: The channel for owners without an address.
        link_of: Returns an owner's link in the ``owner_links`` of a DAG, or ``None``. Called only
            for owners that ``mapping`` lacks. Raises :class:`.AirflowApiError`.
    """

    mapping: Mapping[str, str]
    fallback: str
    link_of: Callable[[str], str | None] = lambda _owner: None

    def recipient(self, owner: str) -> Recipient:
        """Return the owner's Slack address, or the fallback channel for an owner without an
        address.

        Raises:
            AirflowApiError: A request to Airflow for the owner's link failed.
        """
        link = None if owner in self.mapping else self.link_of(owner)
        return recipient_of(owner, self.mapping, link, self.fallback)


def notify(
    report: MonitoringReport,
    state: NotificationState,
    policy: NotificationPolicy,
    messenger: Messenger,
    directory: OwnerDirectory,
    save: Callable[[NotificationState], None],
    *,
    page: str | None = None,
) -> dict[str, Any]:
    """Send each notification that ``policy`` requires for ``report``, and save the state.

    Args:
        report: The report with the findings.
        state: The previous notifications of each owner.
        policy: The rules that decide when owners are notified.
        messenger: Posts messages to Slack.
        directory: The addresses of owners.
        save: Saves the state.
        page: The URL of the report's page, or ``None`` if there is no page.

    Returns:
        The reason of each notification that was sent, by owner, for example ``{"team-a": "new"}``.

    Raises:
        NotificationError: At least one message was not sent. The other messages were sent.
    """
    notifications = states.due_notifications(state, report, policy)
    notified: dict[str, str] = {}
    failed: list[str] = []
    for notification in notifications:
        name = notification.owner or PLATFORM_NAME
        try:
            sent = _send(notification, state.get(notification.owner), messenger, directory, report, page)
        except (SlackError, AirflowApiError) as error:
            log.error("%s was not notified of %d finding(s): %s", name, len(notification.current), error)
            failed.append(str(error))
            continue
        state = states.after_notification(state, notification, sent)
        save(state)
        notified[name] = notification.reason.value
    save(states.after_report(state, report, policy))
    if failed:
        raise NotificationError(f"{len(failed)} of {len(notifications)} message(s) were not sent: {failed[0]}")
    return notified


def _send(
    notification: Notification,
    before: Conversation | None,
    messenger: Messenger,
    directory: OwnerDirectory,
    report: MonitoringReport,
    page: str | None,
) -> Conversation:
    recipient = directory.recipient(notification.owner)
    reply_to = None
    if before is not None and not notification.starts_thread and before.recipient == recipient.address:
        reply_to = Posted(before.channel, before.thread)
    content = message(notification, page=page, incomplete=report.incomplete)
    broadcast = bool(notification.new)
    if reply_to is not None:
        try:
            posted = messenger.post(recipient, content, reply_to=reply_to, broadcast=broadcast)
        except UnreachableError as error:
            log.warning("%s; the message starts a new thread.", error)
        else:
            # Keep the time stamp of the thread's first message. With the time stamp of the reply,
            # the next reply would start another thread.
            return Conversation(recipient.address, posted.channel, reply_to.thread or posted.thread, report.at)
    try:
        posted = messenger.post(recipient, content, broadcast=broadcast)
    except UnreachableError as error:
        if recipient.is_fallback:
            raise
        log.warning("%s; the message goes to the fallback channel %s.", error, directory.fallback)
        note = f"For {notification.owner}, who could not be reached. {error}"
        fallback = Recipient(directory.fallback, is_fallback=True)
        posted = messenger.post(fallback, message(notification, page=page, note=note, incomplete=report.incomplete))
    return Conversation(recipient.address, posted.channel, posted.thread, report.at)
