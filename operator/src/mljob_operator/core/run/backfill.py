"""A backfill: the runs of a scheduled DAG for a range of dates.

Airflow stores the state of each run, but no state of the whole backfill. :func:`as_one_run` derives
this state from the runs. So deadlines, retries and cancellation work for a backfill as for a single
run.

The operator adds a marker to the conf of a backfill's runs (:mod:`mljob_contract.backfill_marker`).
The marker names the MLJob and the attempt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field, replace
from datetime import datetime
from typing import Any

from mljob_contract.backfill_marker import Marker
from mljob_contract.mljob import MLJobSpec, ReprocessBehavior, StatusSource

from ..frozen import frozen
from .facts import EventId, RunFact, denies, later_run, latest_report, report_after_answer
from .states import RunState


@frozen
class BackfillRequest:
    """A backfill that the operator asks Airflow to create.

    Attributes:
        start: The first logical date.
        end: The last logical date, inclusive.
        reprocess: What Airflow does with runs of the range that exist already.
        max_active_runs: The maximum number of runs of the backfill that are active at a time.
        backwards: Whether the latest date runs first.
        conf: The conf of each run, without the marker that names the MLJob and the attempt.
    """

    start: datetime
    end: datetime
    reprocess: ReprocessBehavior
    max_active_runs: int
    backwards: bool
    conf: Mapping[str, Any]

    @classmethod
    def of(cls, spec: MLJobSpec, conf: Mapping[str, Any]) -> BackfillRequest:
        """Return the request for a new backfill.

        Args:
            spec: The spec of an MLJob of type Backfill.
            conf: The conf of each run, without the marker that names the MLJob and the attempt.
        """
        assert spec.backfill is not None, "the CRD's rules hold type Backfill and spec.backfill together"
        backfill = spec.backfill
        return cls(
            backfill.from_,
            backfill.to,
            backfill.reprocess_behavior,
            backfill.max_active_runs,
            backfill.run_backwards,
            conf,
        )

    @classmethod
    def repeating(cls, earlier: Backfill, spec: MLJobSpec) -> BackfillRequest:
        """Return a request that repeats the backfill ``earlier``. The value of ``backwards`` comes
        from the spec, because Airflow does not return this option. All other values come from
        ``earlier``.
        """
        backwards = spec.backfill is not None and spec.backfill.run_backwards
        return cls(earlier.start, earlier.end, earlier.reprocess, earlier.max_active_runs, backwards, earlier.conf)

    def for_failed_runs(self) -> BackfillRequest:
        """Return a copy of this request in which ``reprocess`` is Failed: Airflow repeats the
        failed runs of the range, creates the missing runs, and leaves all other runs as they are.
        """
        return replace(self, reprocess=ReprocessBehavior.FAILED)


@frozen
class Backfill:
    """A backfill as Airflow returns it.

    Attributes:
        id: The id of the backfill in Airflow.
        marker: The MLJob and the attempt that created the backfill, or None if no MLJob created it.
        start: The first logical date.
        end: The last logical date, inclusive.
        conf: The conf of each run, without the marker.
        paused: Whether the backfill is paused. Airflow starts no further run of a paused backfill.
        created_at: When the backfill was created, on Airflow's clock.
        completed_at: When Airflow closed the backfill, or None if the backfill is open. Airflow
            closes a backfill when the backfill is cancelled, or up to 30 s after the last run has
            ended. If the backfill still has no runs about 2 minutes after its creation, Airflow
            closes the backfill.
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
    created_at: datetime
    completed_at: datetime | None = None


@frozen
class BackfillRun:
    """What the operator knows of one run of a backfill.

    Attributes:
        run: The state of the run according to the REST API. The state may come from an event in two
            cases: in the argument ``member`` of :func:`with_change`, and in the result of
            :attr:`ObservedBackfill.shown`.
        date: The logical date of the run. None if this BackfillRun was made from an event, which
            has no date.
        attempt: The number of the MLJob's attempt that created the run or, if the run was repeated,
            last repeated the run. None if this BackfillRun was made from an event, which has no
            such number.
        reported: The event that reports a later state than the REST API, or None. The MLJob's
            status shows the state in this event. The operator's decisions depend on ``run`` only.
        denied: The id of the newest event that the REST API has contradicted, or None.
    """

    run_id: str
    run: RunFact
    date: datetime | None = None
    attempt: int | None = None
    reported: RunFact | None = None
    denied: EventId | None = None

    @property
    def over(self) -> bool:
        """Whether the run has ended."""
        return self.run.ended


@frozen
class ObservedBackfill:
    """Everything that the operator knows of a backfill and its runs. The object is immutable.

    Attributes:
        members: The runs by run id. An attempt that repeats failed runs creates another backfill.
            Then the runs of the earlier attempts' backfills are included.
        not_created: The number of dates in the range for which ``members`` has no run, because
            another run of the DAG already had the date.
        last_event_at: When the operator last read an event of one of the runs, on the operator's
            clock. None if there was no event.
    """

    backfill: Backfill
    members: Mapping[str, BackfillRun] = field(default_factory=dict)
    not_created: int = 0
    last_event_at: datetime | None = None

    @property
    def shown(self) -> ObservedBackfill:
        """The backfill as the status shows it. If an event reports a later state of a run than the
        REST API, the run has the state in the event.
        """
        return replace(self, members={run_id: _shown(member) for run_id, member in self.members.items()})

    @property
    def active(self) -> list[BackfillRun]:
        """The runs that have not ended."""
        return [member for member in self.members.values() if not member.over]

    @property
    def failed(self) -> list[BackfillRun]:
        """The runs that failed, sorted by date."""
        failed = [member for member in self.members.values() if member.run.state is RunState.FAILED]
        return sorted(failed, key=lambda member: (member.date is None, member.date, member.run_id))

    @property
    def created(self) -> bool:
        """Whether Airflow has created the runs of the newest attempt, or has closed the backfill.
        Airflow creates all runs of an attempt in one transaction.
        """
        attempt = self.backfill.marker.attempt if self.backfill.marker else None
        return self.backfill.completed_at is not None or any(
            member.attempt == attempt for member in self.members.values()
        )

    @property
    def over(self) -> bool:
        """Whether the backfill has ended: :attr:`created` is True, and all runs have ended."""
        return self.created and not self.active

    @property
    def empty(self) -> bool:
        """Whether the backfill has ended without runs, although no other run of the DAG has a date
        of the range. Either Airflow failed to create the runs, or somebody deleted the runs. A
        range without dates of the schedule can't be the cause, because Airflow refuses to create a
        backfill for such a range.
        """
        return self.over and not self.members and not self.not_created


@frozen
class BackfillSnapshot:
    """A backfill and all its runs in Airflow's REST API at one time.

    Attributes:
        members: The runs of the backfill. An attempt may create a new backfill that repeats only
            the failed runs. The runs of the earlier backfills of the MLJob are then included.
        not_created: The number of dates in the range for which ``members`` has no run, because
            another run of the DAG already had the date.
        final: Whether the backfill and all its runs had ended at that time. If True, the snapshot
            replaces all earlier facts about the runs.
    """

    backfill: Backfill
    members: tuple[BackfillRun, ...]
    not_created: int
    final: bool = False


def with_snapshot(old: ObservedBackfill | None, snapshot: BackfillSnapshot) -> ObservedBackfill:
    """Combine a snapshot with the earlier facts in ``old``. Runs that only ``old`` contains are
    removed, because they were deleted or belong to another backfill now.
    """
    old_members = old.members if old is not None else {}
    members = {
        member.run_id: _later(old_members.get(member.run_id), member, final=snapshot.final)
        for member in snapshot.members
    }
    return ObservedBackfill(
        snapshot.backfill, members, snapshot.not_created, old.last_event_at if old is not None else None
    )


def with_change(observed_backfill: ObservedBackfill, member: BackfillRun) -> ObservedBackfill:
    """Return an ObservedBackfill that includes the new state of one run.

    In these cases, ``member`` is ignored, and ``observed_backfill`` is returned:

    - ``member`` comes from an event about a run that ``observed_backfill`` does not contain. An
      event does not show to which backfill its run belongs.
    - ``member`` comes from an event that the REST API has contradicted.
    - ``member`` comes from the REST API, and a later attempt has already repeated the run.
    """
    old, last_event_at = observed_backfill.members.get(member.run_id), observed_backfill.last_event_at
    if member.run.source is StatusSource.KAFKA:
        if old is None or old.denied == member.run.event_id:
            return observed_backfill
        new = replace(old, reported=latest_report(old.run, old.reported, member.run))
        last_event_at = max(filter(None, (last_event_at, member.run.observed_at)))
    elif old is not None and (member.attempt or 0) < (old.attempt or 0):
        return observed_backfill
    else:
        new = _later(old, member)
    return replace(
        observed_backfill, members={**observed_backfill.members, member.run_id: new}, last_event_at=last_event_at
    )


def _later(old: BackfillRun | None, new: BackfillRun, *, final: bool = False) -> BackfillRun:
    if old is None or final:
        return new
    run, asked_at = later_run(old.run, new.run), new.run.observed_at
    # A higher attempt number means that a later attempt repeats this run. An end that is already
    # known then belongs to an earlier attempt.
    if new.attempt is not None and old.attempt is not None and new.attempt > old.attempt:
        run = new.run
    contradicted = old.reported is not None and denies(new.run, old.reported, asked_at)
    return replace(
        new,
        run=run,
        date=new.date or old.date,
        attempt=new.attempt or old.attempt,
        reported=report_after_answer(old.reported, run, new.run, asked_at),
        denied=old.reported.event_id if old.reported is not None and contradicted else old.denied,
    )


def _shown(member: BackfillRun) -> BackfillRun:
    return replace(member, run=later_run(member.run, member.reported), reported=None) if member.reported else member


def as_one_run(observed_backfill: ObservedBackfill) -> RunFact:
    """Return the state of the whole backfill as the state of one run.

    The backfill is queued until one of its runs starts, and then running until all runs have ended.
    At the end, the backfill has failed if one of its runs has failed, or if it is empty
    (:attr:`ObservedBackfill.empty`).
    """
    backfill, runs = observed_backfill.backfill, [member.run for member in observed_backfill.members.values()]
    newest = max(runs, key=lambda run: run.occurred_at, default=None)
    started = [run for run in runs if run.state is RunState.RUNNING or _ended_since(run, backfill.created_at)]
    if observed_backfill.over:
        state = RunState.FAILED if observed_backfill.failed or observed_backfill.empty else RunState.SUCCESS
    else:
        state = RunState.RUNNING if started else RunState.QUEUED
    ends = [run.end or run.occurred_at for run in started]
    return RunFact(
        state=state,
        source=newest.source if newest else StatusSource.REST,
        occurred_at=newest.occurred_at if newest else backfill.created_at,
        observed_at=max((run.observed_at for run in runs), default=backfill.created_at),
        start=min((run.start for run in started if run.start is not None), default=None),
        end=max(ends, default=backfill.completed_at) if observed_backfill.over else None,
        queued_at=backfill.created_at,
    )


def _ended_since(run: RunFact, since: datetime) -> bool:
    return run.ended and (run.end or run.occurred_at) >= since
