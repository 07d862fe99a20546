"""Findings that somebody knows of, and is not told: a DAG that is paused on purpose.

Two places. An entry of the Variable ``mljob_mutes``, a JSON list that people change without a release, has an end, so that it is not forgotten::

    [{"dags": "train_*", "kinds": ["dag_paused"], "until": "2026-06-01T00:00:00Z", "reason": "the source is closed until June"}]

A tag of a DAG, ``mljob-mute`` or for one kind ``mljob-mute:dag_paused``, has none: it is code, which somebody reviews.

A mute counts only if all of it can be read: one that can't mutes nothing, and is itself a finding. The report says how many findings are muted by
what, and which mutes have ended.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from mljob_airflow.monitoring.links import Links
from mljob_airflow.monitoring.observations import Dag
from mljob_contract.reports import MAX_FINDINGS, Finding, FindingKind, Mute

VARIABLE = "mljob_mutes"
TAG = "mljob-mute"
MAX_BYTES = 256 * 1024
"""Of the Variable."""
MAX_MUTES = 100
"""Entries of the Variable."""
_SHORT = {"paused": FindingKind.DAG_PAUSED, "stale": FindingKind.DAG_STALE}
"""What kinds that are about DAGs are called as well."""


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _kind(value: object) -> object:
    kind = _SHORT.get(value, value) if isinstance(value, str) else value
    if kind not in list(FindingKind) or kind == FindingKind.MUTE_UNREADABLE:
        known = ", ".join(kind for kind in FindingKind if kind is not FindingKind.MUTE_UNREADABLE)
        raise ValueError(f"{value!r} is no kind of finding: {known}")
    return kind


def _text(value: object) -> object:
    # pydantic takes a number for seconds since 1970.
    if not isinstance(value, str):
        raise ValueError("a date and a time with a time zone, for example 2026-06-01T00:00:00Z")
    return value


Glob = Annotated[str, Field(min_length=1, max_length=250)]


class Entry(BaseModel):
    """An entry of the Variable."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    dags: Annotated[tuple[Glob, ...], BeforeValidator(_listed), Field(min_length=1, max_length=20)]
    """DAG ids: a glob or a list of them, in which ``*``, ``?`` and ``[abc]`` mean what they mean in a shell."""
    kinds: Annotated[
        tuple[Annotated[FindingKind, BeforeValidator(_kind)], ...], BeforeValidator(_listed), Field(max_length=20)
    ] = ()
    """Kinds of findings; none: all."""
    until: Annotated[AwareDatetime, BeforeValidator(_text)]
    """From then on it counts no more. With a time zone."""
    reason: Annotated[str, Field(min_length=1, max_length=200)]
    """Why, for those who read the report."""


@dataclass(frozen=True)
class _Compiled:
    """An entry, ready to be compared with DAGs."""

    place: str
    entry: Entry
    globs: Sequence[re.Pattern[str]]

    def covers(self, kind: FindingKind, dag_id: str) -> bool:
        """Whether it is about findings of this kind of that DAG, its end apart."""
        kinds = self.entry.kinds
        return (not kinds or kind in kinds) and any(glob.match(dag_id) for glob in self.globs)


@dataclass(frozen=True)
class Mutes:
    """The Variable's entries.

    Attributes:
        entries: Those that can be read.
        problems: Why the others can't, by their place.
    """

    entries: Sequence[_Compiled] = ()
    problems: Mapping[str, str] = field(default_factory=dict)


def read(text: str | None) -> Mutes:
    """The mutes in the Variable's text; ``None`` where there is no such Variable."""
    if text is None or not text.strip():
        return Mutes()
    way_out = "it must be a JSON list of objects with dags, until and reason"
    if len(text) > MAX_BYTES:
        return Mutes(problems={VARIABLE: f"it has {len(text)} characters, and may have {MAX_BYTES}"})
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        return Mutes(problems={VARIABLE: f"it is not JSON ({error}): {way_out}"})
    if not isinstance(given, list):
        return Mutes(problems={VARIABLE: f"it is a {type(given).__name__}: {way_out}"})
    entries, problems = [], {}
    for index, value in enumerate(given[:MAX_MUTES]):
        place = f"{VARIABLE}[{index}]"
        try:
            entry = Entry.model_validate(value)
        except ValidationError as error:
            problems[place] = _complaint(error)
        else:
            entries.append(_Compiled(place, entry, [re.compile(fnmatch.translate(glob)) for glob in entry.dags]))
    if len(given) > MAX_MUTES:
        problems[VARIABLE] = (
            f"it has {len(given)} entries, and only the first {MAX_MUTES} are read: take out those that have ended"
        )
    return Mutes(entries, problems)


@dataclass(frozen=True)
class Told:
    """What is left to tell.

    Attributes:
        findings: Those that are not muted, and those about mutes that can't be read.
        mutes: What is muted, by what.
        cut: Kinds of which more findings are muted than a report names.
    """

    findings: Sequence[Finding]
    mutes: tuple[Mute, ...]
    cut: frozenset[FindingKind] = frozenset()


def without_muted(
    findings: Iterable[Finding],
    mutes: Mutes,
    dags_of: Callable[[Finding], Sequence[Dag]],
    links: Links,
    now: datetime,
) -> Told:
    """Take out what is muted.

    Args:
        findings: All that was found.
        mutes: The Variable's.
        dags_of: The DAGs that a finding is about. It is muted if it is for each of them; one about no DAG never is.
        links: Addresses.
        now: The clock.
    """
    kept: list[Finding] = []
    muted: dict[str, list[Finding]] = {}
    tags: dict[str, str] = {}
    unreadable: dict[tuple[str, str], Dag] = {}
    for finding in findings:
        dags = dags_of(finding)
        unreadable |= {(dag.dag_id, tag): dag for dag in dags for tag in dag.tags if _is_misspelt(tag)}
        places = [_place(finding.kind, dag, mutes, now) for dag in dags]
        if places and all(places):
            place = str(places[0])
            muted.setdefault(place, []).append(finding)
            if not place.startswith(VARIABLE):
                tags[place] = dags[0].dag_id
        else:
            kept.append(_with_ended(finding, dags, mutes, now))
    kept += [_unreadable(place, why, links) for place, why in mutes.problems.items()]
    kept += [_misspelt(dag, tag, links) for (_, tag), dag in unreadable.items()]
    reported, cut = _reported(mutes, muted, tags, now)
    return Told(kept, reported, cut)


def _place(kind: FindingKind, dag: Dag, mutes: Mutes, now: datetime) -> str | None:
    """Where it is said that findings of this kind about the DAG are muted; ``None`` where nowhere."""
    for mute in mutes.entries:
        if now < mute.entry.until and mute.covers(kind, dag.dag_id):
            return mute.place
    for tag in dag.tags:
        if tag == TAG or _kind_of(tag) is kind:
            return f"tag {tag} of {dag.dag_id}"
    return None


def _kind_of(tag: str) -> FindingKind | None:
    prefix, colon, word = tag.partition(":")
    if prefix != TAG or not colon:
        return None
    try:
        return FindingKind(str(_kind(word)))
    except ValueError:
        return None


def _is_misspelt(tag: str) -> bool:
    return tag.startswith(f"{TAG}:") and _kind_of(tag) is None


def _with_ended(finding: Finding, dags: Sequence[Dag], mutes: Mutes, now: datetime) -> Finding:
    """The finding, which says that a mute of it has ended: its owner may have relied on that."""
    for mute in mutes.entries:
        if now >= mute.entry.until and any(mute.covers(finding.kind, dag.dag_id) for dag in dags):
            said = f"It was muted until {mute.entry.until.astimezone(UTC):%Y-%m-%d %H:%M} UTC: {mute.entry.reason}"
            return finding.model_copy(update={"detail": f"{finding.detail} {said.rstrip('.')}.".strip()})
    return finding


def _unreadable(place: str, why: str, links: Links) -> Finding:
    return Finding(
        kind=FindingKind.MUTE_UNREADABLE,
        subject=place,
        title=f"{place} can't be read, and mutes nothing",
        detail=f"{why[:1].upper()}{why[1:]}.",
        url=links.variables(),
    )


def _misspelt(dag: Dag, tag: str, links: Links) -> Finding:
    return Finding(
        kind=FindingKind.MUTE_UNREADABLE,
        subject=dag.dag_id,
        variant=tag,
        owners=dag.owners,
        title=f"The tag {tag} of {dag.dag_id} mutes nothing",
        detail=f"It names no kind of finding: {', '.join(kind for kind in FindingKind if kind is not FindingKind.MUTE_UNREADABLE)}.",
        dag_id=dag.dag_id,
        url=links.dag(dag.dag_id),
    )


def _reported(
    mutes: Mutes, muted: Mapping[str, Sequence[Finding]], tags: Mapping[str, str], now: datetime
) -> tuple[tuple[Mute, ...], frozenset[FindingKind]]:
    room = MAX_FINDINGS
    cut: set[FindingKind] = set()

    def named(place: str) -> dict[str, Any]:
        nonlocal room
        found = muted.get(place, ())
        keys = tuple(finding.key for finding in found[:room])
        cut.update(finding.kind for finding in found[room:])
        room -= len(keys)
        return {"place": place, "findings": len(found), "keys": keys}

    entries = [
        Mute(
            **named(mute.place),
            dags=mute.entry.dags,
            kinds=mute.entry.kinds,
            until=mute.entry.until.astimezone(UTC),
            reason=mute.entry.reason,
            ended=now >= mute.entry.until,
        )
        for mute in mutes.entries
    ]
    by_tag = [Mute(**named(place), dags=(dag_id,)) for place, dag_id in sorted(tags.items())]
    return (*entries, *by_tag), frozenset(cut)


def _complaint(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    words = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return f"field {name} is required"
    if name == "until":
        shown = repr(first["input"])[:60]
        words = f"{shown} is not a date and a time with a time zone, for example 2026-06-01T00:00:00Z"
    return f"field {name}: {words}" if name else words
