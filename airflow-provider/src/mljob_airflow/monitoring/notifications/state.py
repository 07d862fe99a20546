"""Decides which notifications to send after a new report. The state has the findings that were
sent to each Slack address.

An address has at most one current thread in Slack. The repeat period (the threshold
``quiet_hours``) begins with the first message of the thread. The thread ends when the state has no
more findings of the address. After each report, the first of these rules that applies decides which
message is sent to an address:

1. If the address has findings but no current thread, a message with all of the findings starts a
   thread.
2. If the address has findings and the repeat period is over, a message with all of the findings
   starts a new thread.
3. If a finding is new or more severe, a message replies in the thread. The channel shows this reply
   too.
4. If a finding is resolved, a message replies in the thread, and only the thread shows the reply.
5. Otherwise, no message is sent.

Five more rules avoid needless messages:

- A finding counts as resolved only if it has been missing in all reports of the last 45 minutes (by
  default), because findings may come and go.
- A report that is incomplete for a kind of findings does not resolve findings of this kind.
- A finding that now goes to another address is not resolved. It stays in the state, so that it is
  not new when it comes back. While it is open, no message says that all problems are resolved.
- A muted finding is removed from the state without a message. After the end of the mute, the
  finding counts as new.
- A finding about a past event (:data:`TRANSIENT`) never counts as resolved. The finding is removed
  from the state without a message, after it has been missing in reports for the repeat period.

The functions are pure. The caller stores the state in an Airflow Variable.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, TypeAdapter, ValidationError

from mljob_airflow.monitoring.notifications.owners import name_of
from mljob_airflow.monitoring.notifications.routing import Batch
from mljob_contract.reports import Finding, FindingKind, MonitoringReport, Severity

TRANSIENT = frozenset({FindingKind.SLOW_TASK, FindingKind.LONG_WAIT})
"""The kinds of findings that are about an event in the past. Findings of other kinds are about a
condition that lasts.
"""
MAX_NOTIFIED = 2000
"""The maximum number of findings in the state, of all addresses together. Above this number, the
findings that have been missing in reports for the longest time are dropped. The findings in the
last report are kept in any case, because otherwise their owners would be notified again.
"""
MAX_TITLE_LENGTH = 120
"""The maximum number of characters of a finding's title in the state."""


class NotificationReason(StrEnum):
    """Why a notification is sent to an address."""

    NEW = "new"
    """The address had no findings before."""
    CHANGED = "changed"
    """A finding is new or more severe."""
    REMINDER = "still"
    """The repeat period is over, and the address has findings. Some of the findings may be new."""
    RESOLVED = "over"
    """At least one finding is resolved, and no finding is new or more severe."""


@dataclass(frozen=True, slots=True)
class NotifiedFinding:
    """A finding that was sent to an address."""

    title: str
    severity: Severity
    last_seen: datetime
    """The time of the last report that had the finding."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """The current Slack thread of an address, and the findings that were sent to the address."""

    owners: tuple[str, ...]
    """The owners for whom the last message was. These include the owners whom each of the findings
    had when it was sent. May contain :data:`.PLATFORM`.
    """
    channel: str
    """The id of the channel in which the messages are posted. The channel is not the address's if
    the messages went to the fallback channel.
    """
    thread: str | None
    """The time stamp of the message that started the thread, or ``None`` if the messenger has no
    threads.
    """
    notified_at: datetime
    """The time of the last message with all findings."""
    findings: Mapping[str, NotifiedFinding] = field(default_factory=dict)
    """The findings, by their keys."""


NotificationState = Mapping[str, Conversation]
"""Conversations by Slack address."""


@dataclass(frozen=True, slots=True)
class NotificationPolicy:
    """The rules that decide when owners are notified.

    Attributes:
        repeat_after: The time from a message with all findings of an address until the next such
            message, if the address then has findings.
        resolved_after: The time for which a finding must be missing in reports to count as
            resolved.
        min_severity: The lowest severity of a finding that causes a notification.
    """

    repeat_after: timedelta = timedelta(hours=24)
    resolved_after: timedelta = timedelta(minutes=45)
    min_severity: Severity = Severity.WARNING


@dataclass(frozen=True, slots=True)
class Notification:
    """A message to one address."""

    address: str
    owners: tuple[str, ...]
    """The owners for whom the message is: the owners of the findings in ``current``, and if the
    conversation has further findings, the owners of the conversation. May contain
    :data:`.PLATFORM`.
    """
    reason: NotificationReason
    new: tuple[Finding, ...] = ()
    """Findings that are new or more severe."""
    current: tuple[Finding, ...] = ()
    """All findings of the address in the report."""
    resolved: Mapping[str, str] = field(default_factory=dict)
    """The titles of resolved findings, by the findings' keys."""
    all_resolved: bool = False
    """Whether no finding of the conversation is open after this message. Findings that are not in
    ``current`` may be open too: they went to another address, for example.
    """

    @property
    def owner_names(self) -> str:
        """The names of the owners, for people."""
        return ", ".join(map(name_of, self.owners))

    @property
    def starts_thread(self) -> bool:
        """Whether the message has all findings of the address and starts a new thread."""
        return self.reason in (NotificationReason.NEW, NotificationReason.REMINDER)


def findings_to_notify(report: MonitoringReport, policy: NotificationPolicy) -> list[Finding]:
    """Return the report's findings that are severe enough for a notification, in the order of the
    report.
    """
    return [finding for finding in report.findings if finding.severity.rank >= policy.min_severity.rank]


def due_notifications(
    state: NotificationState, batches: Mapping[str, Batch], report: MonitoringReport, policy: NotificationPolicy
) -> list[Notification]:
    """Return the notifications to send after a new report, at most one for each address.

    Args:
        state: The state before the report.
        batches: The :func:`findings_to_notify` of the report, by address.
        report: The report.
        policy: The rules that decide when owners are notified.
    """
    present = {finding.key for finding in findings_to_notify(report, policy)}
    due = (
        _due_notification(address, state.get(address), batches.get(address, Batch()), present, report, policy)
        for address in sorted({*state, *batches})
    )
    return [notification for notification in due if notification is not None]


def _due_notification(
    address: str,
    conversation: Conversation | None,
    batch: Batch,
    present: Collection[str],
    report: MonitoringReport,
    policy: NotificationPolicy,
) -> Notification | None:
    current = tuple(batch.findings)
    if conversation is None:
        return Notification(address, tuple(batch.owners), NotificationReason.NEW, current, current) if current else None
    notified = conversation.findings
    # The state has the owners of the conversation, but not of each finding. The conversation keeps
    # all its owners while one of its findings is missing, because the message that resolves the
    # finding is for the finding's owner.
    missing = notified.keys() - {finding.key for finding in current}
    owners = tuple(dict.fromkeys((*(conversation.owners if missing else ()), *batch.owners)))
    new = tuple(
        finding
        for finding in current
        if finding.key not in notified or finding.severity.rank > notified[finding.key].severity.rank
    )
    resolved = {
        key: finding.title
        for key, finding in notified.items()
        if key not in present and _is_resolved(key, finding, report, policy)
    }
    if current and report.at - conversation.notified_at >= policy.repeat_after:
        return Notification(address, owners, NotificationReason.REMINDER, new, current, resolved)
    if new:
        return Notification(address, owners, NotificationReason.CHANGED, new, current, resolved)
    if resolved:
        # A finding about a past event is never resolved. The finding is open while reports have it.
        is_open = (key in present or kind_of(key) not in TRANSIENT for key in notified.keys() - resolved.keys())
        return Notification(
            address, owners, NotificationReason.RESOLVED, (), current, resolved, all_resolved=not any(is_open)
        )
    return None


def _is_resolved(key: str, finding: NotifiedFinding, report: MonitoringReport, policy: NotificationPolicy) -> bool:
    kind = kind_of(key)
    if kind is None or kind in TRANSIENT or kind in report.incomplete or key in report.muted_keys:
        return False
    return report.at - finding.last_seen >= policy.resolved_after


def kind_of(key: str) -> FindingKind | None:
    """Return the kind of the finding with this key.

    Return ``None`` for a kind that only other versions of this package have.
    """
    word = key.partition(":")[0]
    return FindingKind(word) if word in set(FindingKind) else None


def after_report(state: NotificationState, report: MonitoringReport, policy: NotificationPolicy) -> NotificationState:
    """Return the state after a report.

    A finding that is still in the report gets the report's time as ``last_seen``. Findings that are
    less severe than ``policy.min_severity`` count as missing. Of the missing findings, these are
    removed:

    - muted findings;
    - findings of a kind that this version of the package does not have;
    - findings of the kinds in :data:`TRANSIENT` that have been missing for ``policy.repeat_after``.

    New findings are added by :func:`after_notification`, which also removes resolved findings.
    """
    present = {finding.key for finding in findings_to_notify(report, policy)}
    after: dict[str, Conversation] = {}
    for address, conversation in state.items():
        findings = {}
        for key, notified in conversation.findings.items():
            if key in present:
                findings[key] = replace(notified, last_seen=report.at)
            elif _is_kept(key, notified, report, policy):
                findings[key] = notified
        if findings:
            after[address] = replace(conversation, findings=findings)
    return bounded(after)


def _is_kept(key: str, finding: NotifiedFinding, report: MonitoringReport, policy: NotificationPolicy) -> bool:
    kind = kind_of(key)
    if kind is None or key in report.muted_keys:
        return False
    if kind in TRANSIENT:
        return report.at - finding.last_seen < policy.repeat_after
    return True


def after_notification(state: NotificationState, notification: Notification, sent: Conversation) -> NotificationState:
    """Return the state after a notification was sent: with the findings in the message, and without
    the resolved findings. An address without findings is removed.

    Args:
        state: The state before the notification.
        notification: The notification.
        sent: A conversation with the message's owners, channel, thread and time (``notified_at``).
            The field ``findings`` is ignored.
    """
    before = state.get(notification.address)
    findings = dict(before.findings) if before else {}
    for key in notification.resolved:
        findings.pop(key, None)
    for finding in notification.current if notification.starts_thread else notification.new:
        findings[finding.key] = NotifiedFinding(finding.title[:MAX_TITLE_LENGTH], finding.severity, sent.notified_at)
    others = {address: conversation for address, conversation in state.items() if address != notification.address}
    if not findings:
        return others
    notified_at = sent.notified_at if notification.starts_thread or before is None else before.notified_at
    return {**others, notification.address: replace(sent, notified_at=notified_at, findings=findings)}


def bounded(state: NotificationState) -> NotificationState:
    """Return the state with at most :data:`MAX_NOTIFIED` findings. The findings with the oldest
    ``last_seen`` are dropped. All findings with the newest ``last_seen`` are kept.
    """
    everything = sorted(
        (
            (finding.last_seen, address, key)
            for address, conversation in state.items()
            for key, finding in conversation.findings.items()
        ),
        reverse=True,
    )
    if len(everything) <= MAX_NOTIFIED:
        return state
    newest = everything[0][0]
    kept = {
        (address, key)
        for number, (last_seen, address, key) in enumerate(everything)
        if number < MAX_NOTIFIED or last_seen == newest
    }
    smaller = {
        address: replace(
            conversation,
            findings={key: finding for key, finding in conversation.findings.items() if (address, key) in kept},
        )
        for address, conversation in state.items()
    }
    return {address: conversation for address, conversation in smaller.items() if conversation.findings}


def to_json(state: NotificationState) -> dict[str, Any]:
    """Return the state as a JSON object, for the Airflow Variable.

    Earlier versions of this package take the addresses for owners.
    """
    return {
        address: {
            "target": address,
            "owners": list(conversation.owners),
            "channel": conversation.channel,
            "thread": conversation.thread,
            "at": conversation.notified_at.isoformat(),
            "findings": {
                key: [finding.title, finding.severity.value, finding.last_seen.isoformat()]
                for key, finding in conversation.findings.items()
            },
        }
        for address, conversation in state.items()
    }


def from_json(value: object, now: datetime) -> NotificationState:
    """Read the state from a JSON object. The state is empty for ``None``.

    Earlier versions stored a conversation for each owner. The conversations of several owners with
    the same address are merged. The latest thread becomes the thread of the address.

    Args:
        value: The JSON object.
        now: The current time. Later times in the state become this time, because otherwise no
            reminder would be sent, and no finding would be resolved, until then.

    Raises:
        ValueError: The value is not in the format of :func:`to_json`.
    """
    if value is None:
        return {}
    try:
        stored = _STORED_STATE.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise ValueError(f"not the state of a monitor: {place}: {first['msg']}") from None
    state: dict[str, Conversation] = {}
    for name, entry in sorted(stored.items(), key=lambda item: item[1].at):
        conversation = entry.conversation(name, now)
        before = state.get(entry.target)
        state[entry.target] = _merged(before, conversation) if before else conversation
    return state


def _merged(earlier: Conversation, later: Conversation) -> Conversation:
    owners = tuple(dict.fromkeys((*earlier.owners, *later.owners)))
    return replace(later, owners=owners, findings={**earlier.findings, **later.findings})


def _in_utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("the time can't be converted to UTC") from None


_Time = Annotated[AwareDatetime, AfterValidator(_in_utc)]


class _StoredConversation(BaseModel):
    """A conversation in the format of :func:`to_json`."""

    target: str
    owners: list[str] | None = None
    """The owners. ``None`` in the format of earlier versions, in which the key is the owner."""
    channel: str
    thread: str | None
    at: _Time
    findings: dict[str, tuple[str, Severity, _Time]]

    def conversation(self, name: str, now: datetime) -> Conversation:
        """Return the conversation that is stored with the key ``name``."""
        return Conversation(
            owners=(name,) if self.owners is None else tuple(self.owners),
            channel=self.channel,
            thread=self.thread,
            notified_at=min(self.at, now),
            findings={
                key: NotifiedFinding(title, severity, min(last_seen, now))
                for key, (title, severity, last_seen) in self.findings.items()
            },
        )


_STORED_STATE = TypeAdapter(dict[str, _StoredConversation])
