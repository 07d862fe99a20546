"""Makes the Slack messages that tell owners of DAGs about the problems in a monitoring report. The
format of the messages is Slack's Block Kit.

The layout fits the screen of a phone. A phone shows the fields of a section below each other, so a
message has no fields and no tables. Slack converts the times to the time zone of the reader.

The limits come from Slack's reference (api.slack.com/reference/block-kit/blocks): 50 blocks, 150
characters in a header, 3,000 in the text of a section, 3,000 in a URL.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import UTC
from typing import Any

from mljob_airflow.monitoring.notifications.owners import name_of, owners_of
from mljob_airflow.monitoring.notifications.state import Notification, NotificationReason
from mljob_airflow.monitoring.wording import count
from mljob_airflow.truncation import truncated
from mljob_contract.reports import Finding, FindingKind, Severity

MAX_SECTIONS = 12
"""The maximum number of findings that a message shows. Of all other findings, the message has only
the number for each kind.
"""
MAX_HEADER = 150
MAX_URL = 3000
# The sum of the next four limits is below Slack's limit for a section, so that Slack cuts no link
# and no escape sequence.
MAX_TITLE = 300
MAX_DETAIL = 1000
MAX_LINK = 1200
MAX_OWNERS = 200
MAX_RESOLVED_TITLE = 200

Message = dict[str, Any]
"""A message as a JSON object. The notification on a phone shows ``text``, and Slack shows
``blocks``."""

_SIGNS = {Severity.CRITICAL: "🔴", Severity.WARNING: "🟠", Severity.INFO: "🔵"}
NAMES = {
    FindingKind.DAG_PAUSED: "paused DAG",
    FindingKind.DAG_STALE: "stale DAG",
    FindingKind.IMPORT_ERROR: "import error",
    FindingKind.RECURRING_FAILURE: "recurring failure",
    FindingKind.STUCK_QUEUED: "stuck in queued",
    FindingKind.SLOW_TASK: "slow task",
    FindingKind.LONG_WAIT: "long wait",
    FindingKind.POOL_SATURATED: "full pool",
    FindingKind.WORKERS_SATURATED: "missing workers",
    FindingKind.MANY_RETRIES: "task with many retries",
    FindingKind.MUTE_UNREADABLE: "unreadable mute",
}
"""The names of the kinds of findings, in the singular."""
_PLURALS = {
    FindingKind.STUCK_QUEUED: "stuck in queued",
    FindingKind.MANY_RETRIES: "tasks with many retries",
    FindingKind.WORKERS_SATURATED: "missing workers",
}


def message(
    notification: Notification,
    *,
    page: str | None = None,
    note: str | None = None,
    incomplete: Collection[FindingKind] = (),
) -> Message:
    """Return the message for a notification, as a JSON object for Slack.

    Args:
        notification: The notification.
        page: The URL of the HTML page of the monitoring report, or ``None`` if the report has no
            page. The message has a button with this URL, unless the URL is too long for Slack.
        note: A remark about the message itself, for example that the message was meant for another
            recipient.
        incomplete: The kinds of findings that the report may lack. A message with all findings of
            the address names these kinds.
    """
    headline = _headline(notification)
    shown = notification.current if notification.starts_thread else notification.new
    blocks: list[dict[str, Any]] = [_header(headline)]
    if note and (line := _line(note, MAX_DETAIL)):
        blocks.append(_context(line))
    names_owners = len(notification.owners) > 1
    blocks += [_section(_finding(finding, names_owners=names_owners)) for finding in shown[:MAX_SECTIONS]]
    if len(shown) > MAX_SECTIONS:
        blocks.append(_section(f"… and {summary(shown[MAX_SECTIONS:])}"))
    if notification.resolved:
        blocks.append(_section(_resolved(notification)))
    if rest := [finding for finding in notification.current if finding not in shown]:
        blocks.append(_context(f"Still open: {summary(rest)}"))
    if incomplete and notification.starts_thread:
        blocks.append(_context(f"Findings may be missing: {', '.join(NAMES[kind] for kind in incomplete)}"))
    if page and len(page) <= MAX_URL:
        blocks.append(_button(page))
    # Slack parses mentions such as <!channel> in the text too, so the text is escaped.
    return {"text": _line(f"{headline}: {_titles(notification)}", MAX_DETAIL), "blocks": blocks}


def summary(findings: Sequence[Finding]) -> str:
    """Return the number of findings of each kind, most frequent kind first, for example ``2 paused
    DAGs, 1 import error``.
    """
    kinds = Counter(finding.kind for finding in findings)
    return ", ".join(count(number, NAMES[kind], _PLURALS.get(kind)) for kind, number in kinds.most_common())


def escape(text: str) -> str:
    """Escape Slack's special characters (api.slack.com/reference/surfaces/formatting, escaping)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _headline(notification: Notification) -> str:
    if notification.reason is NotificationReason.RESOLVED:
        resolved = f"{count(len(notification.resolved), 'problem')} resolved"
        words = f"✅ {'All problems are resolved' if notification.all_resolved else resolved}"
    else:
        worst = max((finding.severity for finding in notification.new or notification.current), key=lambda s: s.rank)
        number, what = (
            (len(notification.new), "new problem")
            if notification.reason is NotificationReason.CHANGED
            else (len(notification.current), "problem")
        )
        still = " still open" if notification.reason is NotificationReason.REMINDER else ""
        words = f"{_SIGNS[worst]} {count(number, what)}{still}"
    return truncated(f"{words} · {notification.owner_names}", MAX_HEADER)


def _titles(notification: Notification) -> str:
    if notification.reason is NotificationReason.RESOLVED:
        return "; ".join(list(notification.resolved.values())[:3])
    return "; ".join(finding.title for finding in (notification.new or notification.current)[:3])


def _finding(finding: Finding, *, names_owners: bool) -> str:
    title = _line(finding.title, MAX_TITLE) or _line(finding.subject, MAX_TITLE)
    if finding.url and len(finding.url) <= MAX_LINK:
        title = f"<{finding.url}|{title}>"
    lines = [f"{_SIGNS[finding.severity]} *{title}*"]
    if detail := _line(finding.detail, MAX_DETAIL):
        lines.append(detail)
    if names_owners:
        owners = ", ".join(map(name_of, owners_of(finding)))
        lines.append(f"Owner: {_line(owners, MAX_OWNERS)}")
    if finding.since:
        # Slack's syntax: date^<seconds>^<format>|<text for a client that can't show dates>
        fallback = finding.since.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
        lines.append(f"since <!date^{int(finding.since.timestamp())}^{{date_short_pretty}} {{time}}|{fallback}>")
    return "\n".join(lines)


def _resolved(notification: Notification) -> str:
    titles = list(notification.resolved.values())
    lines = [f"✅ ~{_line(title, MAX_RESOLVED_TITLE)}~" for title in titles[:MAX_SECTIONS]]
    if len(titles) > MAX_SECTIONS:
        lines.append(f"… and {len(titles) - MAX_SECTIONS} more")
    return "\n".join(lines)


def _line(text: str, max_length: int) -> str:
    """Return ``text`` as one escaped line of at most ``max_length`` characters."""
    shown: list[str] = []
    length = 0
    for sign in " ".join(text.split()):
        escaped = escape(sign)
        length += len(escaped)
        if length >= max_length:
            return "".join(shown) + "…"
        shown.append(escaped)
    return "".join(shown)


def _header(text: str) -> dict[str, Any]:
    return {"type": "header", "text": {"type": "plain_text", "text": text, "emoji": True}}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _context(text: str) -> dict[str, Any]:
    return {"type": "context", "elements": [{"type": "mrkdwn", "text": text}]}


def _button(url: str) -> dict[str, Any]:
    button = {
        "type": "button",
        "action_id": "open_report",
        "text": {"type": "plain_text", "text": "Open the report"},
        "url": url,
    }
    return {"type": "actions", "elements": [button]}
