"""What is written to an owner, as Slack's Block Kit.

To be read on a phone: a header of a few words, one short section for each finding whose bold first line is the link, one button. No tables, no
fields side by side: a phone puts them below each other. Times are Slack's dates, which each reader sees in a time zone of their own.

Limits are those of Slack's reference (api.slack.com/reference/block-kit/blocks): 50 blocks, a header of 150 characters, a section's text of 3,000,
an address of 3,000. Texts of Airflow's are escaped: ``&``, ``<`` and ``>`` mean something to Slack.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC
from typing import Any

from mljob_airflow.monitoring.notifications.state import PLATFORM, Notice, Occasion
from mljob_airflow.monitoring.wording import count
from mljob_contract.reports import Finding, FindingKind, Severity

MAX_SECTIONS = 12
"""Findings that a message shows; the others are counted, by kind."""
MAX_HEADER = 150
MAX_URL = 3000
# Together less than a section holds, so that none is cut in the middle of a link or of an escape
TITLE = 300
DETAIL = 1000
LINK = 1200
OVER = 200

Message = dict[str, Any]
"""``text``, for the notification, and ``blocks``."""

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
"""A kind, in words for people, in the singular."""
_PLURALS = {
    FindingKind.STUCK_QUEUED: "stuck in queued",
    FindingKind.MANY_RETRIES: "tasks with many retries",
    FindingKind.WORKERS_SATURATED: "missing workers",
}


def message(notice: Notice, *, page: str | None = None, remark: str | None = None) -> Message:
    """A notice as a message.

    Args:
        notice: What to say.
        page: The address of the report's page.
        remark: Something about the message itself: that it was meant for another channel.
    """
    headline = _headline(notice)
    shown = notice.present if notice.begins_a_thread else notice.fresh
    blocks: list[dict[str, Any]] = [_header(headline)]
    if remark and (said := _line(remark, DETAIL)):
        blocks.append(_context(said))
    blocks += [_section(_finding(finding)) for finding in shown[:MAX_SECTIONS]]
    if len(shown) > MAX_SECTIONS:
        blocks.append(_section(f"… and {summary(shown[MAX_SECTIONS:])}"))
    if notice.over:
        blocks.append(_section(_over(notice)))
    if rest := [finding for finding in notice.present if finding not in shown]:
        blocks.append(_context(f"Still open: {summary(rest)}"))
    if page and len(page) <= MAX_URL:
        blocks.append(_button(page))
    return {"text": _cut(f"{headline}: {_gist(notice)}", 1000), "blocks": blocks}


def summary(findings: Sequence[Finding]) -> str:
    """``2 paused DAGs, 1 import error``."""
    kinds = Counter(finding.kind for finding in findings)
    return ", ".join(count(number, NAMES[kind], _PLURALS.get(kind)) for kind, number in kinds.most_common())


def escape(text: str) -> str:
    """Text that Slack shows as it is (api.slack.com/reference/surfaces/formatting, escaping)."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _headline(notice: Notice) -> str:
    whose = "the platform" if notice.owner == PLATFORM else notice.owner
    if notice.occasion is Occasion.OVER:
        words = f"✅ {'All is well again' if not notice.present else count(len(notice.over), 'problem') + ' less'}"
    else:
        worst = max((finding.severity for finding in notice.fresh or notice.present), key=lambda s: s.rank)
        number, what = (
            (len(notice.fresh), "new problem")
            if notice.occasion is Occasion.CHANGED
            else (len(notice.present), "problem")
        )
        still = "still " if notice.occasion is Occasion.STILL else ""
        words = f"{_SIGNS[worst]} {still}{count(number, what)}"
    return _cut(f"{words} · {whose}", MAX_HEADER)


def _gist(notice: Notice) -> str:
    if notice.occasion is Occasion.OVER:
        return "; ".join(list(notice.over.values())[:3])
    return "; ".join(finding.title for finding in (notice.fresh or notice.present)[:3])


def _finding(finding: Finding) -> str:
    title = _line(finding.title, TITLE) or _line(finding.subject, TITLE)
    if finding.url and len(finding.url) <= LINK:
        title = f"<{finding.url}|{title}>"
    lines = [f"{_SIGNS[finding.severity]} *{title}*"]
    if detail := _line(finding.detail, DETAIL):
        lines.append(detail)
    if finding.since:
        # date^<seconds>^<form>|<what a client shows that doesn't know dates>
        fallback = finding.since.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
        lines.append(f"since <!date^{int(finding.since.timestamp())}^{{date_short_pretty}} {{time}}|{fallback}>")
    return "\n".join(lines)


def _over(notice: Notice) -> str:
    titles = list(notice.over.values())
    lines = [f"✅ ~{_line(title, OVER)}~" for title in titles[:MAX_SECTIONS]]
    if len(titles) > MAX_SECTIONS:
        lines.append(f"… and {len(titles) - MAX_SECTIONS} more")
    return "\n".join(lines)


def _line(text: str, most: int) -> str:
    """The text in one line, escaped, and then no longer than that."""
    shown: list[str] = []
    length = 0
    for sign in " ".join(text.split()):
        escaped = escape(sign)
        length += len(escaped)
        if length >= most:
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


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
