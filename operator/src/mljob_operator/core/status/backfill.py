"""The parts of a backfill's status that differ from the status of a single run. The status of a
backfill shows runs instead of tasks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from mljob_contract.mljob import MAX_FAILED_RUNS, BackfillRuns, BackfillRunStatus, BackfillStatus, Phase

from ..mljob.classification.backfill_pause import RESUMING, BackfillPause
from ..mljob.classification.cancellation import CancelReason
from ..mljob.classification.state import State
from ..run import halt
from ..run.backfill import BackfillRun, ObservedBackfill, as_one_run
from ..run.observed_run import ObservedRun
from ..run.run_key import RunKey
from ..run.states import RunState
from ..text.urls import path_segment
from .context import Context
from .summary import StatusSummary
from .workload import dag_url

BACKFILLS = "backfills"
"""The path, below the DAG's page in Airflow's UI, of the page with the DAG's backfills."""
NAMED = 5
"""The maximum number of dates that a message names."""


class BackfillOfRuns:
    """Builds the parts of a backfill's status that differ from the status of a single run.
    Implements :class:`.workload.Workload`.
    """

    noun = "backfill"

    def url(self, ui_url: str, run: RunKey) -> str:
        """Return the URL of the page with all backfills of the DAG. Airflow has no page for one
        backfill.
        """
        return f"{dag_url(ui_url, run.dag_id)}/{BACKFILLS}"

    def fields(self, observed_run: ObservedRun, url: str | None) -> dict[str, Any]:
        """Return the status fields about the runs, or no fields if the runs are not known."""
        return fields_of(observed_run.observed_backfill, url) if observed_run.observed_backfill is not None else {}

    def in_progress(self, context: Context) -> StatusSummary:
        """Return the phase, reason and message of a backfill that has been submitted and has not
        ended.
        """
        state = context.state
        observed_backfill, run, halted = (
            state.observed_run.observed_backfill,
            state.observed_run.shown_run,
            state.transient.halt,
        )
        if observed_backfill is None or run is None:
            return StatusSummary(Phase.QUEUED, "Submitted", "Airflow has accepted the backfill.")
        if state.backfill_pause is not None:
            if not state.backfill_pause.done:
                return _being_paused(context, state.backfill_pause, observed_backfill)
            if state.backfill_pause.pauses:
                return _suspended(observed_backfill)
        if halted is not None and run.state is RunState.QUEUED:
            return StatusSummary(Phase.QUEUED, halted, halt.message_of(halted, state.run.dag_id, self.noun))
        return progress_of(observed_backfill)

    def cancelling(self, state: State) -> str:
        """Return the message about a backfill that is being cancelled."""
        return "Cancelling the backfill and its runs through Airflow's REST API."

    def collecting(self, context: Context) -> StatusSummary:
        """Return the same as :meth:`in_progress`, because a backfill has no outputs to collect."""
        return self.in_progress(context)

    def succeeded(self, context: Context) -> StatusSummary:
        """Return the phase, reason and message of a backfill that succeeded."""
        return succeeded_runs(context.state.observed_run.observed_backfill)

    def failed(self, observed_run: ObservedRun) -> StatusSummary:
        """Return the phase, reason and message of a backfill that failed."""
        return failed_runs(observed_run.observed_backfill)


BACKFILL = BackfillOfRuns()


def fields_of(observed_backfill: ObservedBackfill, url: str | None) -> dict[str, Any]:
    """Return the status fields ``progress``, ``percent`` and ``backfill``.

    Args:
        observed_backfill: The backfill.
        url: The URL of the page with the DAG's backfills. The URLs of the failed runs are derived
            from this URL. If ``url`` is None, the failed runs have no URLs.
    """
    observed_backfill = observed_backfill.shown
    dag_page = url.removesuffix(f"/{BACKFILLS}") if url else None
    states = Counter(member.run.state for member in observed_backfill.members.values())
    total, succeeded = len(observed_backfill.members), states[RunState.SUCCESS]
    nothing_to_run = observed_backfill.over and not observed_backfill.empty
    failed = observed_backfill.failed
    shown = [
        BackfillRunStatus(
            dag_run_id=member.run_id,
            logical_date=member.date.replace(microsecond=0) if member.date else None,
            url=f"{dag_page}/runs/{path_segment(member.run_id)}" if dag_page else None,
        )
        for member in failed[:MAX_FAILED_RUNS]
    ]
    runs = BackfillRuns.model_validate({"total": total, "not_created": observed_backfill.not_created} | states)
    return {
        "progress": f"{succeeded}/{total}",
        "percent": 100 * succeeded // total if total else 100 if nothing_to_run else 0,
        "backfill": BackfillStatus(
            id=observed_backfill.backfill.id,
            runs=runs,
            failed_runs=shown or None,
            failed_runs_omitted=len(failed) - len(shown) or None,
        ),
    }


def progress_of(observed_backfill: ObservedBackfill) -> StatusSummary:
    """Return the phase, reason and message of a backfill in progress."""
    observed_backfill = observed_backfill.shown
    total, states = (
        len(observed_backfill.members),
        Counter(member.run.state for member in observed_backfill.members.values()),
    )
    done, running, queued = total - len(observed_backfill.active), states[RunState.RUNNING], states[RunState.QUEUED]
    has_started = as_one_run(observed_backfill).state is not RunState.QUEUED
    phase = Phase.RUNNING if has_started else Phase.QUEUED
    if observed_backfill.backfill.paused and queued:
        return StatusSummary(
            phase,
            "BackfillPaused",
            f"Backfill {observed_backfill.backfill.id} was paused in Airflow: {_runs(queued)} will not start until it is unpaused on the DAG's page.",
        )
    if not total:
        return StatusSummary(
            phase, "Queued", f"Airflow is creating the runs of backfill {observed_backfill.backfill.id}."
        )
    if not has_started:
        return StatusSummary(phase, "Queued", f"Airflow has created {_runs(total)}; none has started.")
    failed = f", {len(observed_backfill.failed)} of them failed" if observed_backfill.failed else ""
    return StatusSummary(phase, "RunsInProgress", f"{running} of {_runs(total)} in progress, {done} finished{failed}.")


def _suspended(observed_backfill: ObservedBackfill) -> StatusSummary:
    running = sum(member.run.state is RunState.RUNNING for member in observed_backfill.shown.members.values())
    rest = f" {_runs(running)} in progress will end." if running else ""
    return StatusSummary(
        Phase.SUSPENDED,
        "Suspended",
        f"The backfill is paused: no other run of it starts.{rest} Set spec.suspend to false to go on.",
    )


def _being_paused(context: Context, pause: BackfillPause, observed_backfill: ObservedBackfill) -> StatusSummary:
    """Return the phase, reason and message while the operator asks Airflow to pause or resume a
    backfill.
    """
    suspended = context.state.job.status.phase is Phase.SUSPENDED and not pause.pauses
    phase = Phase.SUSPENDED if suspended else progress_of(observed_backfill).phase
    if pause.pauses:
        return StatusSummary(phase, CancelReason.SUSPEND, f"The operator is pausing the backfill.{context.last_error}")
    return StatusSummary(phase, RESUMING, f"The operator is resuming the backfill.{context.last_error}")


def succeeded_runs(observed_backfill: ObservedBackfill | None) -> StatusSummary:
    """Return the phase, reason and message of a backfill that succeeded.

    Args:
        observed_backfill: The backfill, or None if its runs are not known.
    """
    if observed_backfill is None:
        return StatusSummary(Phase.SUCCEEDED, "Succeeded", "The backfill succeeded.")
    left = observed_backfill.not_created
    existing = f"; {_runs(left)} of the range existed already (reprocessBehavior)" if left else ""
    total = len(observed_backfill.members)
    if not total:
        return StatusSummary(Phase.SUCCEEDED, "Succeeded", f"The backfill had nothing to run{existing}.")
    return StatusSummary(
        Phase.SUCCEEDED, "Succeeded", f"{'Its run' if total == 1 else f'All {total} runs'} succeeded{existing}."
    )


def failed_runs(observed_backfill: ObservedBackfill | None) -> StatusSummary:
    """Return the phase, reason and message of a backfill that failed.

    Args:
        observed_backfill: The backfill, or None if its runs are not known.
    """
    if observed_backfill is None:
        return StatusSummary(Phase.FAILED, "BackfillRunsFailed", "The backfill failed.")
    if observed_backfill.empty:
        return StatusSummary(
            Phase.FAILED,
            "BackfillEmpty",
            f"Airflow closed backfill {observed_backfill.backfill.id} without any run: Airflow failed to create the runs, or somebody deleted them.",
        )
    if not observed_backfill.failed:
        return StatusSummary(
            Phase.FAILED,
            "BackfillRunsFailed",
            "Some runs had failed when the backfill ended. Since then, somebody or another backfill has run them again, or they were deleted.",
        )
    return StatusSummary(
        Phase.FAILED,
        "BackfillRunsFailed",
        f"{len(observed_backfill.failed)} of {_runs(len(observed_backfill.members))} failed: {dates(observed_backfill.failed)}.",
    )


def dates(members: Sequence[BackfillRun]) -> str:
    """Return the logical dates of the runs ``members`` as a part of a sentence, such as
    ``2026-01-01 and 2026-01-02``. A run without a logical date is named by its id. The text names
    the first ``NAMED`` runs, and counts the other runs. ``members`` must not be empty.
    """
    named = [_date(member) for member in members[:NAMED]]
    more = len(members) - len(named)
    if more:
        return f"{', '.join(named)} and {more} more"
    return " and ".join(filter(None, [", ".join(named[:-1]), named[-1]]))


def _date(member: BackfillRun) -> str:
    if member.date is None:
        return member.run_id
    midnight = (member.date.hour, member.date.minute, member.date.second) == (0, 0, 0)
    return f"{member.date:%Y-%m-%d}" if midnight else f"{member.date:%Y-%m-%dT%H:%M:%SZ}"


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"
