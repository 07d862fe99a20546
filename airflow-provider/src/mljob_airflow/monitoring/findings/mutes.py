"""Mutes findings, so that known problems cause no notifications.

There are two kinds of mutes:

- An entry of the Variable ``mljob_mutes``, which is a JSON list. An entry must have an end::

    [{"dags": "train_*", "kinds": ["dag_paused"], "until": "2026-06-01T00:00:00Z", "reason": "the source is closed until June"}]

- A tag of a DAG. ``mljob-mute`` mutes all findings about the DAG, and ``mljob-mute:dag_paused``
  mutes one kind. A tag has no end.

A finding about several DAGs is muted only if each of these DAGs has a mute for the kind of the
finding.

An invalid entry has no effect, and causes a finding. A tag with an unknown kind has no effect, and
causes a finding only if there is another finding about the DAG.
"""

from __future__ import annotations

import fnmatch
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from mljob_airflow.monitoring.links import Links
from mljob_airflow.monitoring.observations import Dag
from mljob_contract.reports import MAX_FINDINGS, Finding, FindingKind, Mute

VARIABLE = "mljob_mutes"
TAG = "mljob-mute"
MAX_CHARACTERS = 256 * 1024
"""The maximum number of characters of the Variable."""
MAX_MUTES = 100
"""The maximum number of entries of the Variable that are read."""
_SHORT = {"paused": FindingKind.DAG_PAUSED, "stale": FindingKind.DAG_STALE}
"""Short names of kinds of findings, which mutes may use."""


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _kind(value: object) -> object:
    kind = _SHORT.get(value, value) if isinstance(value, str) else value
    if kind not in list(FindingKind) or kind == FindingKind.MUTE_UNREADABLE:
        known = ", ".join(kind for kind in FindingKind if kind is not FindingKind.MUTE_UNREADABLE)
        raise ValueError(f"{value!r} is not a kind of finding; the kinds are {known}")
    return kind


def _text(value: object) -> object:
    # Only a string is accepted, because pydantic would read a number as seconds since 1970.
    if not isinstance(value, str):
        raise ValueError("a date and a time with a time zone, for example 2026-06-01T00:00:00Z")
    return value


def _utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError:
        # A time such as 9999-12-31T23:59:59-05:00, which stands for "forever", is later than the
        # latest time in UTC. A time in the year 1 may be earlier than the earliest time in UTC.
        return datetime.min.replace(tzinfo=UTC) if time.year == 1 else datetime.max.replace(tzinfo=UTC)


Glob = Annotated[str, Field(min_length=1, max_length=250)]


class Entry(BaseModel):
    """An entry of the Airflow Variable ``mljob_mutes``."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    dags: Annotated[tuple[Glob, ...], BeforeValidator(_listed), Field(min_length=1, max_length=20)]
    """DAG ids: a glob or a list of globs. ``*``, ``?`` and ``[abc]`` work as in a shell."""
    kinds: Annotated[
        tuple[Annotated[FindingKind, BeforeValidator(_kind)], ...], BeforeValidator(_listed), Field(max_length=20)
    ] = ()
    """Kinds of findings. An empty list means all kinds."""
    until: Annotated[AwareDatetime, BeforeValidator(_text), AfterValidator(_utc)]
    """The end of the mute. The Variable has a time with any time zone, and this field has it in
    UTC.
    """
    reason: Annotated[str, Field(min_length=1, max_length=200)]
    """The reason, for readers of the report."""


@dataclass(frozen=True)
class _Rule:
    """A valid entry with its place in the Variable, for example ``mljob_mutes[2]``."""

    place: str
    entry: Entry
    globs: Sequence[re.Pattern[str]]

    def covers(self, kind: FindingKind, dag_id: str) -> bool:
        kinds = self.entry.kinds
        return (not kinds or kind in kinds) and any(glob.match(dag_id) for glob in self.globs)


@dataclass(frozen=True)
class Mutes:
    """The parsed Airflow Variable ``mljob_mutes``.

    Attributes:
        entries: The valid entries.
        problems: The reasons why entries have no effect, by the place of the entry. The place is
            for example ``mljob_mutes[2]``, or ``mljob_mutes`` for the whole Variable.
    """

    entries: Sequence[_Rule] = ()
    problems: Mapping[str, str] = field(default_factory=dict)


def parse(text: str | None) -> Mutes:
    """Parse the text of the Variable ``mljob_mutes``. The text is None if the Variable does not
    exist. Then the result has no entries. An invalid text raises no error: ``problems`` of the
    result has the reasons.
    """
    if text is None or not text.strip():
        return Mutes()
    way_out = "it must be a JSON list of objects with dags, until and reason"
    if len(text) > MAX_CHARACTERS:
        return Mutes(problems={VARIABLE: f"it has {len(text)} characters, and may have at most {MAX_CHARACTERS}"})
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
            problems[place] = _problem(error)
        else:
            entries.append(_Rule(place, entry, [re.compile(fnmatch.translate(glob)) for glob in entry.dags]))
    if len(given) > MAX_MUTES:
        problems[f"{VARIABLE}[{MAX_MUTES}:]"] = (
            f"{VARIABLE} has {len(given)} entries, and only the first {MAX_MUTES} are read: remove entries that have ended"
        )
    return Mutes(entries, problems)


@dataclass(frozen=True)
class MuteResult:
    """The findings after muting.

    Attributes:
        findings: The findings that are not muted, and the findings about invalid mutes.
        mutes: All valid entries of the Variable ``mljob_mutes``, and each tag that has muted a
            finding. Each mute has the keys of the findings that this mute has muted. All mutes
            together have at most :data:`~mljob_contract.reports.MAX_FINDINGS` keys. Further keys
            are left out.
        cut: The kinds of the muted findings whose keys are left out of ``mutes``.
    """

    findings: Sequence[Finding]
    mutes: tuple[Mute, ...]
    cut: frozenset[FindingKind] = frozenset()


def apply_mutes(
    findings: Iterable[Finding],
    mutes: Mutes,
    dags_of: Callable[[Finding], Sequence[Dag]],
    links: Links,
    now: datetime,
) -> MuteResult:
    """Remove muted findings, and add findings about invalid mutes. A finding that was
    muted until an entry of the Variable ended (``until``) gets a remark about this entry.

    Args:
        findings: All findings.
        mutes: The parsed Variable ``mljob_mutes``. Tags of the DAGs mute findings too.
        dags_of: Returns the DAGs that a finding is about. A finding is muted if each of these DAGs
            has a mute for the finding's kind. A finding about no DAG is never muted.
        links: Makes URLs of Airflow's UI.
        now: The current time.
    """
    kept: list[Finding] = []
    muted: dict[str, list[Finding]] = {}
    tags: dict[str, str] = {}
    misspelt: dict[tuple[str, str], Dag] = {}
    for finding in findings:
        dags = dags_of(finding)
        misspelt |= {(dag.dag_id, tag): dag for dag in dags for tag in dag.tags if _is_misspelt(tag)}
        places = [_place(finding.kind, dag, mutes, now) for dag in dags]
        if places and all(places):
            place = str(places[0])
            muted.setdefault(place, []).append(finding)
            if not place.startswith(VARIABLE):
                tags[place] = dags[0].dag_id
        else:
            kept.append(_with_ended(finding, dags, mutes, now))
    kept += [_invalid(place, why, links) for place, why in mutes.problems.items()]
    kept += [_misspelt(dag, tag, links) for (_, tag), dag in misspelt.items()]
    reported, cut = _reported(mutes, muted, tags, now)
    return MuteResult(kept, reported, cut)


def _place(kind: FindingKind, dag: Dag, mutes: Mutes, now: datetime) -> str | None:
    """Return where the mute of findings of this kind about the DAG is configured, for example
    ``mljob_mutes[2]`` or ``tag mljob-mute of train``. Return None if no mute applies at ``now``.
    """
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
    ended = [mute for mute in mutes.entries if now >= mute.entry.until]

    def was_muted(dag: Dag) -> bool:
        return any(mute.covers(finding.kind, dag.dag_id) for mute in ended)

    if not all(was_muted(dag) or _place(finding.kind, dag, mutes, now) for dag in dags):
        return finding
    for mute in ended:
        if any(mute.covers(finding.kind, dag.dag_id) for dag in dags):
            end = f"{mute.entry.until:%Y-%m-%d %H:%M} UTC"
            remark = f"This finding was muted until {end}: {mute.entry.reason}"
            return finding.model_copy(update={"detail": f"{finding.detail} {remark.rstrip('.')}.".strip()})
    return finding


def _invalid(place: str, why: str, links: Links) -> Finding:
    return Finding(
        kind=FindingKind.MUTE_UNREADABLE,
        subject=place,
        title=f"{place} is invalid, and mutes nothing",
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
        detail=f"The tag must name a kind of finding: {', '.join(kind for kind in FindingKind if kind is not FindingKind.MUTE_UNREADABLE)}.",
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
            until=mute.entry.until,
            reason=mute.entry.reason,
            ended=now >= mute.entry.until,
        )
        for mute in mutes.entries
    ]
    by_tag = [Mute(**named(place), dags=(dag_id,)) for place, dag_id in sorted(tags.items())]
    return (*entries, *by_tag), frozenset(cut)


def _problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    text = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return f"field {name} is required"
    if name == "until":
        shown = repr(first["input"])[:60]
        text = f"{shown} is not a date and a time with a time zone, for example 2026-06-01T00:00:00Z"
    return f"field {name}: {text}" if name else text
