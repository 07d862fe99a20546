"""What was told to whom, and what of a new report is therefore news.

An owner has one conversation: a message that says what is wrong, and its thread. Something new, or worse, is said in the thread and shown
in the channel; what is over is said in the thread alone. When nothing changes nothing is said, until a quiet period has passed: then what is still
wrong is said in a new message. Four guards keep it quiet:

- what is not found any more is over only when it stays away for a while: it may flicker;
- what a report could not look at in full is never over by its absence;
- what is muted is forgotten without a word, and told anew when its mute ends;
- a task that was slow once is not "over" when no run of it was slow since: it is forgotten without a word.

Pure: memory in, memory out. It is kept in an Airflow Variable, which Airflow 3.1 has as well as 3.3; its size is bounded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from mljob_contract.reports import Finding, FindingKind, MonitoringReport, Severity

PLATFORM = ""
"""The owner of what has none: whoever runs the platform."""
PASSING = frozenset({FindingKind.SLOW_TASK, FindingKind.LONG_WAIT})
"""Kinds that are about something that has happened, not about a state that lasts."""
MAX_REMEMBERED = 2000
"""Findings in the memory, of all owners together. The ones not seen for longest go first."""
MAX_TITLE = 120


class Occasion(StrEnum):
    """Why somebody is written to."""

    NEW = "new"
    """There was nothing wrong before."""
    CHANGED = "changed"
    """Something is new or worse."""
    STILL = "still"
    """Nothing is new, and the quiet period is over."""
    OVER = "over"
    """Something is over, and nothing is new."""


@dataclass(frozen=True, slots=True)
class Told:
    """A finding that somebody was told of."""

    title: str
    severity: Severity
    seen: datetime
    """When a report had it last."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """What an owner was told."""

    target: str
    """Where it was meant to go."""
    channel: str
    """Where it went, in Slack's word for it."""
    thread: str | None
    """The message that began it; ``None`` where there are no threads."""
    at: datetime
    """When everything was said last."""
    findings: Mapping[str, Told] = field(default_factory=dict)


Memory = Mapping[str, Conversation]
"""Conversations by owner."""


@dataclass(frozen=True, slots=True)
class Quiet:
    """When not to speak."""

    repeat_after: timedelta = timedelta(hours=24)
    settle: timedelta = timedelta(minutes=45)
    min_severity: Severity = Severity.WARNING


@dataclass(frozen=True, slots=True)
class Notice:
    """One message for one owner."""

    owner: str
    occasion: Occasion
    fresh: tuple[Finding, ...] = ()
    """What is new or worse."""
    present: tuple[Finding, ...] = ()
    """All that is wrong now."""
    over: Mapping[str, str] = field(default_factory=dict)
    """Titles, by key, of what is over."""

    @property
    def begins_a_thread(self) -> bool:
        """Whether it is a message of its own."""
        return self.occasion in (Occasion.NEW, Occasion.STILL)


def by_owner(report: MonitoringReport, min_severity: Severity) -> dict[str, list[Finding]]:
    """What each owner is to know, the most severe first. A DAG with two owners is told to both."""
    found: dict[str, list[Finding]] = {}
    for finding in report.findings:
        if finding.severity.rank >= min_severity.rank:
            for owner in finding.owners or (PLATFORM,):
                found.setdefault(owner, []).append(finding)
    return found


def news(memory: Memory, report: MonitoringReport, quiet: Quiet) -> list[Notice]:
    """The messages that a report is worth: at most one for each owner."""
    present = by_owner(report, quiet.min_severity)
    notices = []
    for owner in sorted({*memory, *present}):
        notice = _news_for(owner, memory.get(owner), present.get(owner, []), report, quiet)
        if notice is not None:
            notices.append(notice)
    return notices


def _news_for(
    owner: str, conversation: Conversation | None, present: list[Finding], report: MonitoringReport, quiet: Quiet
) -> Notice | None:
    if conversation is None:
        return Notice(owner, Occasion.NEW, tuple(present), tuple(present)) if present else None
    told = conversation.findings
    fresh = tuple(
        finding
        for finding in present
        if finding.key not in told or finding.severity.rank > told[finding.key].severity.rank
    )
    over = {
        key: known.title
        for key, known in told.items()
        if key not in {finding.key for finding in present} and _is_over(key, known, report, quiet)
    }
    repeat = report.at - conversation.at >= quiet.repeat_after
    if present and repeat:
        return Notice(owner, Occasion.STILL, fresh, tuple(present), over)
    if fresh:
        return Notice(owner, Occasion.CHANGED, fresh, tuple(present), over)
    if over:
        return Notice(owner, Occasion.OVER, (), tuple(present), over)
    return None


def _is_over(key: str, known: Told, report: MonitoringReport, quiet: Quiet) -> bool:
    kind = kind_of(key)
    if kind is None or kind in PASSING or kind in report.incomplete or key in report.muted_keys:
        return False
    return report.at - known.seen >= quiet.settle


def kind_of(key: str) -> FindingKind | None:
    """The kind of the finding that has this key; ``None`` for one of another version of this package."""
    word = key.partition(":")[0]
    return FindingKind(word) if word in set(FindingKind) else None


def seen(memory: Memory, report: MonitoringReport, quiet: Quiet) -> Memory:
    """The memory after a look: what was told and is still there was seen now; what passes, and has passed, is forgotten."""
    present = by_owner(report, quiet.min_severity)
    after: dict[str, Conversation] = {}
    for owner, conversation in memory.items():
        keys = {finding.key for finding in present.get(owner, [])}
        findings = {}
        for key, told in conversation.findings.items():
            if key in keys:
                findings[key] = replace(told, seen=report.at)
            elif _is_worth_keeping(key, told, report, quiet):
                findings[key] = told
        if findings:
            after[owner] = replace(conversation, findings=findings)
    return bounded(after)


def _is_worth_keeping(key: str, told: Told, report: MonitoringReport, quiet: Quiet) -> bool:
    kind = kind_of(key)
    if kind is None or key in report.muted_keys:
        return False
    if kind in PASSING:
        return report.at - told.seen < quiet.repeat_after
    return True


def after(memory: Memory, notice: Notice, sent: Conversation) -> Memory:
    """The memory after a notice was sent.

    Args:
        memory: What it was.
        notice: What was said.
        sent: Where to; its findings do not count.
    """
    before = memory.get(notice.owner)
    findings = dict(before.findings) if before else {}
    for key in notice.over:
        findings.pop(key, None)
    said = notice.present if notice.begins_a_thread else notice.fresh
    for finding in said:
        findings[finding.key] = Told(finding.title[:MAX_TITLE], finding.severity, sent.at)
    rest = {owner: conversation for owner, conversation in memory.items() if owner != notice.owner}
    if not findings:
        return rest
    at = sent.at if notice.begins_a_thread or before is None else before.at
    return bounded({**rest, notice.owner: replace(sent, at=at, findings=findings)})


def bounded(memory: Memory) -> Memory:
    """The memory without what is too much."""
    everything = sorted(
        (
            (told.seen, owner, key)
            for owner, conversation in memory.items()
            for key, told in conversation.findings.items()
        ),
        reverse=True,
    )
    if len(everything) <= MAX_REMEMBERED:
        return memory
    kept = {(owner, key) for _, owner, key in everything[:MAX_REMEMBERED]}
    smaller = {
        owner: replace(
            conversation, findings={key: told for key, told in conversation.findings.items() if (owner, key) in kept}
        )
        for owner, conversation in memory.items()
    }
    return {owner: conversation for owner, conversation in smaller.items() if conversation.findings}


def to_json(memory: Memory) -> dict[str, Any]:
    """The memory as JSON."""
    return {
        owner: {
            "target": conversation.target,
            "channel": conversation.channel,
            "thread": conversation.thread,
            "at": conversation.at.isoformat(),
            "findings": {
                key: [told.title, told.severity.value, told.seen.isoformat()]
                for key, told in conversation.findings.items()
            },
        }
        for owner, conversation in memory.items()
    }


def from_json(value: object) -> Memory:
    """The memory read back; empty when it is none.

    Raises:
        ValueError: It is not a memory.
    """
    if value is None:
        return {}
    try:
        return {str(owner): _conversation(entry) for owner, entry in _items(value)}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"not a monitor's memory: {type(error).__name__}: {error}") from error


def _items(value: object) -> Iterable[tuple[Any, Any]]:
    if not isinstance(value, Mapping):
        raise TypeError(f"a {type(value).__name__}, not an object")
    return value.items()


def _conversation(entry: Any) -> Conversation:
    return Conversation(
        target=entry["target"],
        channel=entry["channel"],
        thread=entry["thread"],
        at=datetime.fromisoformat(entry["at"]),
        findings={
            key: Told(title, Severity(severity), datetime.fromisoformat(at))
            for key, (title, severity, at) in entry["findings"].items()
        },
    )
