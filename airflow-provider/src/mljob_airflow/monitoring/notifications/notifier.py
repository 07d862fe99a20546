"""From a report to messages that are sent: what is news, to whom, and what to remember of it.

The memory is saved after each message, so that a try that ends half-way does not repeat itself. One owner who can't be reached keeps nobody else
from being told: the message goes to the fallback channel, which says so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mljob_airflow.monitoring.notifications import state as remembering
from mljob_airflow.monitoring.notifications.messages import message
from mljob_airflow.monitoring.notifications.owners import Target, target_of
from mljob_airflow.monitoring.notifications.slack import Messenger, Posted, SlackError, UnreachableError
from mljob_airflow.monitoring.notifications.state import Conversation, Memory, Notice, Quiet
from mljob_contract.reports import MonitoringReport

log = logging.getLogger(__name__)


class TellingError(Exception):
    """Somebody was not told. Trying again tells those alone."""


@dataclass(frozen=True)
class Directory:
    """Whom to write to.

    Attributes:
        mapping: Owner -> address, of the Variable.
        fallback: The channel for those who have no address.
        link_of: An owner's link, of a DAG's ``owner_links``. Asked when somebody is written to whom the mapping doesn't know.
    """

    mapping: Mapping[str, str]
    fallback: str
    link_of: Callable[[str], str | None] = lambda _owner: None

    def target(self, owner: str) -> Target:
        """Where an owner is written to."""
        link = None if owner in self.mapping else self.link_of(owner)
        return target_of(owner, self.mapping, link, self.fallback)


def tell(
    report: MonitoringReport,
    memory: Memory,
    quiet: Quiet,
    messenger: Messenger,
    directory: Directory,
    save: Callable[[Memory], None],
    *,
    page: str | None = None,
) -> dict[str, Any]:
    """Send what is news, and remember it.

    Args:
        report: What was found.
        memory: What was told before.
        quiet: When not to speak.
        messenger: Slack.
        directory: Whom to write to.
        save: Keeps the memory.
        page: The address of the report's page.

    Returns:
        Whom something was told, and on what occasion.

    Raises:
        TellingError: Somebody was not told.
    """
    notices = remembering.news(memory, report, quiet)
    told: dict[str, str] = {}
    failed: list[str] = []
    for notice in notices:
        try:
            sent = _send(notice, memory.get(notice.owner), messenger, directory, report, page)
        except SlackError as error:
            log.error(
                "%s was not told of %d finding(s): %s", notice.owner or "the platform", len(notice.present), error
            )
            failed.append(str(error))
            continue
        memory = remembering.after(memory, notice, sent)
        save(memory)
        told[notice.owner or "the platform"] = notice.occasion.value
    save(remembering.seen(memory, report, quiet))
    if failed:
        raise TellingError(f"{len(failed)} of {len(notices)} message(s) were not sent: {failed[0]}")
    return told


def _send(
    notice: Notice,
    before: Conversation | None,
    messenger: Messenger,
    directory: Directory,
    report: MonitoringReport,
    page: str | None,
) -> Conversation:
    target = directory.target(notice.owner)
    reply_to = None
    if before is not None and not notice.begins_a_thread and before.target == target.address:
        reply_to = Posted(before.channel, before.thread)
    try:
        posted = messenger.post(target, message(notice, page=page), reply_to=reply_to, show=bool(notice.fresh))
    except UnreachableError as error:
        if target.is_fallback:
            raise
        log.warning("%s; the fallback channel %s is told.", error, directory.fallback)
        remark = f"For {notice.owner}, who could not be reached. {error}"
        fallback = Target(directory.fallback, is_fallback=True)
        posted = messenger.post(fallback, message(notice, page=page, remark=remark))
    # A reply belongs to the thread that is there, not to one that it would begin.
    thread = (reply_to.thread if reply_to else None) or posted.thread
    return Conversation(target.address, posted.channel, thread, report.at)
