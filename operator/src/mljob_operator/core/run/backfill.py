"""A backfill: the runs of a scheduled DAG for a range of dates. Airflow creates all of them at once
and limits how many are active.

Airflow stores whether a backfill is paused and when it was closed, and stores each of its runs like
any run. It does not store whether the backfill has begun, whether it has ended, and how: these
follow from the runs. :func:`as_one_run` turns the runs into one run, so that deadlines, retries and
cancellation work for a backfill as for a single run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from mljob_contract.backfill_marker import Marker
from mljob_contract.mljob import MLJobSpec, ReprocessBehavior, StatusSource

from .facts import EventId, RunFact, denies, heard_after_answer, heard_of_run, later_run
from .states import RunState


@dataclass(frozen=True, slots=True)
class BackfillRequest:
    """The backfill that the operator asks Airflow to create.

    Attributes:
        start: The first logical date.
        end: The last logical date, included.
        conf: The conf of each run, without the marker.
    """

    start: datetime
    end: datetime
    reprocess: ReprocessBehavior
    max_active_runs: int
    backwards: bool
    conf: Mapping[str, Any]

    @classmethod
    def of(cls, spec: MLJobSpec, conf: Mapping[str, Any]) -> BackfillRequest:
        """The backfill that a spec asks for."""
        assert spec.backfill is not None, "the CRD's rules hold type Backfill and spec.backfill together"
        wanted = spec.backfill
        return cls(
            wanted.from_, wanted.to, wanted.reprocess_behavior, wanted.max_active_runs, wanted.run_backwards, conf
        )

    @classmethod
    def like(cls, earlier: Backfill, spec: MLJobSpec) -> BackfillRequest:
        """A request with the range and settings of a backfill in Airflow. The direction comes from
        the spec, because Airflow does not return it.
        """
        backwards = spec.backfill is not None and spec.backfill.run_backwards
        return cls(earlier.start, earlier.end, earlier.reprocess, earlier.max_active_runs, backwards, earlier.conf)

    def of_failed(self) -> BackfillRequest:
        """A request for the same range that runs failed runs again and creates missing runs."""
        return replace(self, reprocess=ReprocessBehavior.FAILED)


@dataclass(frozen=True, slots=True)
class Backfill:
    """A backfill as Airflow has it.

    Attributes:
        id: Airflow's id.
        marker: Which MLJob and attempt created it; None: no MLJob did.
        start: The first logical date.
        end: The last logical date.
        conf: The conf of each run, without the marker.
        paused: Whether Airflow starts no further run of it.
        created: When it was created, on Airflow's clock.
        completed: When Airflow closed it: up to 30 s after its last run ended, or when it was
            cancelled; None: it is open.
    """

    id: int
    dag_id: str
    marker: Marker | None
    start: datetime
    end: datetime
    conf: Mapping[str, Any]
    reprocess: ReprocessBehavior
    max_active_runs: int
    paused: bool
    created: datetime
    completed: datetime | None = None


@dataclass(frozen=True, slots=True)
class BackfillRun:
    """A run of a backfill.

    Attributes:
        run: Its state. In an :class:`ObservedBackfill` it comes from REST.
        date: Its logical date; None: an event doesn't say.
        attempt: The attempt that created it or ran it again; None: an event doesn't say.
        heard: The event that says more of the run than REST. It is a hint: the status may show it,
            and no decision depends on it.
        denied: The last event that REST has contradicted.
    """

    run_id: str
    run: RunFact
    date: datetime | None = None
    attempt: int | None = None
    heard: RunFact | None = None
    denied: EventId | None = None

    @property
    def over(self) -> bool:
        """Whether the run has ended."""
        return self.run.ended


@dataclass(frozen=True, slots=True)
class ObservedBackfill:
    """All that is known of a backfill and its runs. Instances are immutable: each change creates a
    new ObservedBackfill.

    Attributes:
        members: Its runs by their ids.
        not_created: How many runs of its range existed already and are left as they are.
        stirred: When the last event of one of its runs was read (operator's clock). Changes without
            an event may follow.
    """

    backfill: Backfill
    members: Mapping[str, BackfillRun] = field(default_factory=dict)
    not_created: int = 0
    stirred: datetime | None = None

    @property
    def shown(self) -> ObservedBackfill:
        """The backfill as the status shows it: with what events say of its runs."""
        return replace(self, members={run_id: _shown(member) for run_id, member in self.members.items()})

    @property
    def active(self) -> list[BackfillRun]:
        """Runs that have not ended."""
        return [member for member in self.members.values() if not member.over]

    @property
    def failed(self) -> list[BackfillRun]:
        """Runs that failed, in the order of their dates."""
        failed = [member for member in self.members.values() if member.run.state is RunState.FAILED]
        return sorted(failed, key=lambda member: (member.date is None, member.date, member.run_id))

    @property
    def made(self) -> bool:
        """Whether Airflow has created its runs.

        Airflow creates the runs of an attempt in one transaction, so that all of them are visible
        or none. A backfill without any run to create is known as such when Airflow has closed it.
        """
        attempt = self.backfill.marker.attempt if self.backfill.marker else None
        return self.backfill.completed is not None or any(member.attempt == attempt for member in self.members.values())

    @property
    def over(self) -> bool:
        """Whether all of its runs have ended."""
        return self.made and not self.active

    @property
    def empty(self) -> bool:
        """Whether it is over without any run, created or existing. Airflow refuses a range without
        runs, so creating the runs must have failed.
        """
        return self.over and not self.members and not self.not_created


@dataclass(frozen=True, slots=True)
class BackfillSnapshot:
    """What Airflow's REST API says of a backfill and all of its runs.

    Attributes:
        members: Its runs.
        not_created: How many runs of its range existed already.
        final: Whether all of its runs have ended, so that no fact can be newer.
    """

    backfill: Backfill
    members: tuple[BackfillRun, ...]
    not_created: int
    final: bool = False


def surveyed(old: ObservedBackfill | None, survey: BackfillSnapshot) -> ObservedBackfill:
    """Add what REST says of the whole backfill. A run that is missing there was deleted, or another
    backfill has taken it over.
    """
    before = old.members if old is not None else {}
    now = {member.run_id: _later(before.get(member.run_id), member, final=survey.final) for member in survey.members}
    return ObservedBackfill(survey.backfill, now, survey.not_created, old.stirred if old is not None else None)


def joined(observed_backfill: ObservedBackfill, member: BackfillRun) -> ObservedBackfill:
    """Add what the change feed or an event says of one run. An event of an unknown run is ignored,
    because it does not say to which backfill the run belongs.
    """
    old, stirred = observed_backfill.members.get(member.run_id), observed_backfill.stirred
    if member.run.source is StatusSource.KAFKA:
        if old is None or old.denied == member.run.event_id:
            return observed_backfill
        new = replace(old, heard=heard_of_run(old.run, old.heard, member.run))
        stirred = max(filter(None, (stirred, member.run.observed_at)))
    elif old is not None and (member.attempt or 0) < (old.attempt or 0):
        return observed_backfill
    else:
        new = _later(old, member)
    return replace(observed_backfill, members={**observed_backfill.members, member.run_id: new}, stirred=stirred)


def _later(old: BackfillRun | None, new: BackfillRun, *, final: bool = False) -> BackfillRun:
    """A run, after an answer of REST."""
    if old is None or final:
        return new
    run, asked_at = later_run(old.run, new.run), new.run.observed_at
    # The attempt's number rises when the run is run again, so the known end belongs to an earlier
    # attempt.
    if new.attempt is not None and old.attempt is not None and new.attempt > old.attempt:
        run = new.run
    contradicted = old.heard is not None and denies(new.run, old.heard, asked_at)
    return replace(
        new,
        run=run,
        date=new.date or old.date,
        attempt=new.attempt or old.attempt,
        heard=heard_after_answer(old.heard, run, new.run, asked_at),
        denied=old.heard.event_id if old.heard is not None and contradicted else old.denied,
    )


def _shown(member: BackfillRun) -> BackfillRun:
    return replace(member, run=later_run(member.run, member.heard), heard=None) if member.heard else member


def as_one_run(observed_backfill: ObservedBackfill) -> RunFact:
    """The backfill as one run: queued until one of its runs starts, then running until all have
    ended, and failed if one has failed.
    """
    backfill, runs = observed_backfill.backfill, [member.run for member in observed_backfill.members.values()]
    newest = max(runs, key=lambda run: run.occurred_at, default=None)
    begun = [run for run in runs if run.state is RunState.RUNNING or _ended_since(run, backfill.created)]
    if observed_backfill.over:
        state = RunState.FAILED if observed_backfill.failed or observed_backfill.empty else RunState.SUCCESS
    else:
        state = RunState.RUNNING if begun else RunState.QUEUED
    ends = [run.end or run.occurred_at for run in begun]
    return RunFact(
        state=state,
        source=newest.source if newest else StatusSource.REST,
        occurred_at=newest.occurred_at if newest else backfill.created,
        observed_at=max((run.observed_at for run in runs), default=backfill.created),
        start=min((run.start for run in begun if run.start is not None), default=None),
        end=max(ends, default=backfill.completed) if observed_backfill.over else None,
        queued_at=backfill.created,
    )


def _ended_since(run: RunFact, since: datetime) -> bool:
    """Whether the run ended in this attempt, rather than in an earlier one."""
    return run.ended and (run.end or run.occurred_at) >= since
