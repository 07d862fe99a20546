"""Remembers which findings each owner was notified of, and decides which notifications are due
after a new report.

An owner has one conversation, which is a message about all findings and the message's thread:

- New or more severe findings cause a reply in the thread that the channel shows too.
- Resolved findings cause a reply in the thread only.
- While nothing changes, there is no message. After the repeat period, a new message repeats all
  findings and starts a new thread.

Four rules avoid needless messages:

- A finding is resolved only after no report has had the finding for a while, because findings may
  come and go.
- A report that is incomplete for a kind of findings does not resolve findings of this kind.
- A muted finding is forgotten without a message. If the finding is still there when the mute ends,
  it is new.
- A finding about a single slow task run is forgotten without a message, and never counts as
  resolved.

The functions are pure. The caller stores the state in an Airflow Variable, because all supported
versions of Airflow have Variables. The size of the state is bounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from mljob_contract.reports import Finding, FindingKind, MonitoringReport, Severity

PLATFORM = ""
"""The owner of findings without an owner: the people who run the platform."""
TRANSIENT = frozenset({FindingKind.SLOW_TASK, FindingKind.LONG_WAIT})
"""The kinds of findings about an event in the past. Findings of other kinds are about a condition
that lasts.
"""
MAX_NOTIFIED = 2000
"""The maximum number of findings in the state, of all owners together. If there are more, the
findings whose last report is the oldest are dropped."""
MAX_TITLE_LENGTH = 120
"""The maximum number of characters of a finding's title in the state."""


class NotificationReason(StrEnum):
    """The reason of a notification."""

    NEW = "new"
    """The owner had no findings before."""
    CHANGED = "changed"
    """A finding is new or more severe."""
    REMINDER = "still"
    """No finding is new, and the repeat period is over."""
    RESOLVED = "over"
    """A finding is resolved, and no finding is new."""


@dataclass(frozen=True, slots=True)
class NotifiedFinding:
    """A finding that an owner was notified of."""

    title: str
    severity: Severity
    last_seen: datetime
    """The time of the last report that had the finding."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """The messages to one owner, and the findings that the owner was notified of."""

    recipient: str
    """The Slack address of the owner."""
    channel: str
    """The id of the channel in which the message was posted. It differs from ``recipient`` if the
    recipient is a member, or if the message went to the fallback channel.
    """
    thread: str | None
    """The time stamp of the message that started the thread; ``None``: there are no threads."""
    notified_at: datetime
    """The time of the last message with all findings."""
    findings: Mapping[str, NotifiedFinding] = field(default_factory=dict)
    """The findings, by their keys."""


NotificationState = Mapping[str, Conversation]
"""Conversations by owner."""


@dataclass(frozen=True, slots=True)
class NotificationPolicy:
    """The rules when an owner is notified.

    Attributes:
        repeat_after: The time after which a message repeats the findings that are still there.
        resolved_after: The time after which a finding counts as resolved if no report has the
            finding.
        min_severity: Less severe findings cause no notification.
    """

    repeat_after: timedelta = timedelta(hours=24)
    resolved_after: timedelta = timedelta(minutes=45)
    min_severity: Severity = Severity.WARNING


@dataclass(frozen=True, slots=True)
class Notification:
    """One message to one owner."""

    owner: str
    reason: NotificationReason
    new: tuple[Finding, ...] = ()
    """Findings that are new or more severe."""
    current: tuple[Finding, ...] = ()
    """All findings of the owner in the report."""
    resolved: Mapping[str, str] = field(default_factory=dict)
    """The titles of resolved findings, by the findings' keys."""

    @property
    def starts_thread(self) -> bool:
        """Whether the message starts a thread. Other messages are replies."""
        return self.reason in (NotificationReason.NEW, NotificationReason.REMINDER)


def findings_by_owner(report: MonitoringReport, min_severity: Severity) -> dict[str, list[Finding]]:
    """The findings of each owner, most severe first. A finding with two owners is in both lists."""
    found: dict[str, list[Finding]] = {}
    for finding in report.findings:
        if finding.severity.rank >= min_severity.rank:
            for owner in finding.owners or (PLATFORM,):
                found.setdefault(owner, []).append(finding)
    return found


def due_notifications(
    state: NotificationState, report: MonitoringReport, policy: NotificationPolicy
) -> list[Notification]:
    """The notifications that are due after a report: at most one for each owner."""
    current = findings_by_owner(report, policy.min_severity)
    due = (
        _due_notification(owner, state.get(owner), current.get(owner, []), report, policy)
        for owner in sorted({*state, *current})
    )
    return [notification for notification in due if notification is not None]


def _due_notification(
    owner: str,
    conversation: Conversation | None,
    current: list[Finding],
    report: MonitoringReport,
    policy: NotificationPolicy,
) -> Notification | None:
    if conversation is None:
        return Notification(owner, NotificationReason.NEW, tuple(current), tuple(current)) if current else None
    notified = conversation.findings
    new = tuple(
        finding
        for finding in current
        if finding.key not in notified or finding.severity.rank > notified[finding.key].severity.rank
    )
    current_keys = {finding.key for finding in current}
    resolved = {
        key: finding.title
        for key, finding in notified.items()
        if key not in current_keys and _is_resolved(key, finding, report, policy)
    }
    if current and report.at - conversation.notified_at >= policy.repeat_after:
        return Notification(owner, NotificationReason.REMINDER, new, tuple(current), resolved)
    if new:
        return Notification(owner, NotificationReason.CHANGED, new, tuple(current), resolved)
    if resolved:
        return Notification(owner, NotificationReason.RESOLVED, (), tuple(current), resolved)
    return None


def _is_resolved(key: str, finding: NotifiedFinding, report: MonitoringReport, policy: NotificationPolicy) -> bool:
    kind = kind_of(key)
    if kind is None or kind in TRANSIENT or kind in report.incomplete or key in report.muted_keys:
        return False
    return report.at - finding.last_seen >= policy.resolved_after


def kind_of(key: str) -> FindingKind | None:
    """The kind of the finding with this key.

    ``None``: the kind is unknown, because another version of this package has stored the finding.
    """
    word = key.partition(":")[0]
    return FindingKind(word) if word in set(FindingKind) else None


def after_report(state: NotificationState, report: MonitoringReport, policy: NotificationPolicy) -> NotificationState:
    """The state after a report.

    Findings in the report get the report's time as ``last_seen``. Muted findings and old transient
    findings are forgotten.
    """
    current = findings_by_owner(report, policy.min_severity)
    after: dict[str, Conversation] = {}
    for owner, conversation in state.items():
        keys = {finding.key for finding in current.get(owner, [])}
        findings = {}
        for key, notified in conversation.findings.items():
            if key in keys:
                findings[key] = replace(notified, last_seen=report.at)
            elif _is_kept(key, notified, report, policy):
                findings[key] = notified
        if findings:
            after[owner] = replace(conversation, findings=findings)
    return bounded(after)


def _is_kept(key: str, finding: NotifiedFinding, report: MonitoringReport, policy: NotificationPolicy) -> bool:
    kind = kind_of(key)
    if kind is None or key in report.muted_keys:
        return False
    if kind in TRANSIENT:
        return report.at - finding.last_seen < policy.repeat_after
    return True


def after_notification(state: NotificationState, notification: Notification, sent: Conversation) -> NotificationState:
    """The state after a notification was sent.

    Args:
        state: The state before the notification.
        notification: The notification.
        sent: The recipient, channel, thread and time of the message. Its ``findings`` are ignored.
    """
    before = state.get(notification.owner)
    findings = dict(before.findings) if before else {}
    for key in notification.resolved:
        findings.pop(key, None)
    for finding in notification.current if notification.starts_thread else notification.new:
        findings[finding.key] = NotifiedFinding(finding.title[:MAX_TITLE_LENGTH], finding.severity, sent.notified_at)
    others = {owner: conversation for owner, conversation in state.items() if owner != notification.owner}
    if not findings:
        return others
    notified_at = sent.notified_at if notification.starts_thread or before is None else before.notified_at
    return bounded({**others, notification.owner: replace(sent, notified_at=notified_at, findings=findings)})


def bounded(state: NotificationState) -> NotificationState:
    """The state, reduced to the :data:`MAX_NOTIFIED` findings that were seen last."""
    everything = sorted(
        (
            (finding.last_seen, owner, key)
            for owner, conversation in state.items()
            for key, finding in conversation.findings.items()
        ),
        reverse=True,
    )
    if len(everything) <= MAX_NOTIFIED:
        return state
    kept = {(owner, key) for _, owner, key in everything[:MAX_NOTIFIED]}
    smaller = {
        owner: replace(
            conversation,
            findings={key: finding for key, finding in conversation.findings.items() if (owner, key) in kept},
        )
        for owner, conversation in state.items()
    }
    return {owner: conversation for owner, conversation in smaller.items() if conversation.findings}


def to_json(state: NotificationState) -> dict[str, Any]:
    """The state as a JSON object, for the Airflow Variable."""
    return {
        owner: {
            "target": conversation.recipient,
            "channel": conversation.channel,
            "thread": conversation.thread,
            "at": conversation.notified_at.isoformat(),
            "findings": {
                key: [finding.title, finding.severity.value, finding.last_seen.isoformat()]
                for key, finding in conversation.findings.items()
            },
        }
        for owner, conversation in state.items()
    }


def from_json(value: object) -> NotificationState:
    """Read the state from a JSON object; empty for ``None``.

    Raises:
        ValueError: The value is not in the format of :func:`to_json`.
    """
    if value is None:
        return {}
    try:
        return {str(owner): _conversation(entry) for owner, entry in _items(value)}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"not the state of a monitor: {type(error).__name__}: {error}") from error


def _items(value: object) -> Iterable[tuple[Any, Any]]:
    if not isinstance(value, Mapping):
        raise TypeError(f"a {type(value).__name__}, not an object")
    return value.items()


def _conversation(entry: Any) -> Conversation:
    return Conversation(
        recipient=entry["target"],
        channel=entry["channel"],
        thread=entry["thread"],
        notified_at=datetime.fromisoformat(entry["at"]),
        findings={
            key: NotifiedFinding(title, Severity(severity), datetime.fromisoformat(last_seen))
            for key, (title, severity, last_seen) in entry["findings"].items()
        },
    )
