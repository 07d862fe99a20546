"""Sends Slack messages to the owners of the findings in a report. All owners with the same address
share a message.

The state is saved after each message, so a retry of the task does not repeat a message. If Slack
can't post a reply in a thread, the message starts a new thread. If Slack can't post to the address
either, the message goes to the fallback channel. If an owner can't be notified at all, the other
owners are still notified, and then the task fails. If Slack doesn't answer, the other messages
remain for the next try of the task, or for the next run.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from mljob_airflow.monitoring.notifications import state as states
from mljob_airflow.monitoring.notifications.messages import message
from mljob_airflow.monitoring.notifications.owners import name_of
from mljob_airflow.monitoring.notifications.routing import OwnerDirectory, batches_by_address
from mljob_airflow.monitoring.notifications.slack import (
    Messenger,
    Posted,
    SlackError,
    SlackUnavailableError,
    UnreachableError,
)
from mljob_airflow.monitoring.notifications.state import (
    Conversation,
    Notification,
    NotificationPolicy,
    NotificationState,
)
from mljob_contract.reports import MonitoringReport

log = logging.getLogger(__name__)

MAX_UNAVAILABLE = 2
"""The number of messages in a row that Slack leaves without an answer, after which no more messages
are sent. After only one, Slack may answer the others: the message or its channel may be at fault.
"""


class NotificationError(Exception):
    """Some owners were not notified, because a request to Slack or Airflow failed. A retry of the
    task notifies only these owners.
    """


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
        state: The previous notifications of each address.
        policy: The rules that decide when owners are notified.
        messenger: Posts messages to Slack.
        directory: The addresses of owners.
        save: Saves the state.
        page: The URL of the report's page, or ``None`` if there is no page.

    Returns:
        The reason of each notification that was sent, by owner, for example ``{"team-a": "new"}``.

    Raises:
        NotificationError: At least one message was not sent. The other messages were sent, unless
            Slack did not answer.
    """
    batches, unrouted = batches_by_address(states.findings_to_notify(report, policy), directory)
    notifications = states.due_notifications(state, batches, report, policy)
    notified: dict[str, str] = {}
    failed: list[str] = []
    for owner, unread in unrouted.items():
        log.error("%s was not notified of all findings: %s", name_of(owner), unread)
        failed.append(str(unread))
    sent_messages = unavailable = 0
    for notification in notifications:
        try:
            sent = _send(notification, state.get(notification.address), messenger, directory, report, page)
        except SlackError as error:
            log.error(
                "%s: not notified of %d finding(s): %s", notification.owner_names, len(notification.current), error
            )
            failed.append(str(error))
            unavailable = unavailable + 1 if isinstance(error, SlackUnavailableError) else 0
            if unavailable == MAX_UNAVAILABLE:
                break
            continue
        unavailable = 0
        sent_messages += 1
        state = states.after_notification(state, notification, sent)
        save(state)
        notified |= dict.fromkeys(map(name_of, notification.owners), notification.reason.value)
    save(states.after_report(state, report, policy))
    if failed:
        messages = len(notifications) + len(unrouted)
        raise NotificationError(f"{messages - sent_messages} of {messages} message(s) were not sent: {failed[0]}")
    return notified


def _send(
    notification: Notification,
    before: Conversation | None,
    messenger: Messenger,
    directory: OwnerDirectory,
    report: MonitoringReport,
    page: str | None,
) -> Conversation:
    recipient = directory.recipient(notification.address)
    reply_to = None
    if before is not None and not notification.starts_thread:
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
            return Conversation(notification.owners, posted.channel, reply_to.thread or posted.thread, report.at)
    try:
        posted = messenger.post(recipient, content, broadcast=broadcast)
    except UnreachableError as error:
        if recipient.is_fallback:
            raise
        log.warning("%s; the message goes to the fallback channel %s.", error, directory.fallback)
        note = f"For {notification.owner_names}, who could not be reached. {error}"
        fallback = directory.recipient(directory.fallback)
        posted = messenger.post(fallback, message(notification, page=page, note=note, incomplete=report.incomplete))
    return Conversation(notification.owners, posted.channel, posted.thread, report.at)
