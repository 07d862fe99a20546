"""Detects that many runs have vanished from an Airflow at once.

The operator follows the runs in progress of MLJobs. A followed run that Airflow no longer has is
missing. If few runs are missing, somebody has probably deleted these runs. They count as deleted,
and their MLJobs fail. If many runs are missing at once (:func:`are_many`), somebody has probably
emptied or restored Airflow's database, or the URL leads to another Airflow. These runs don't count
as deleted, and the operator starts no run in that Airflow, until the runs are found again or an
administrator accepts their loss (:mod:`.accepted_loss`).

If all missing runs belong to one namespace, and the operator also follows runs of other namespaces,
the missing runs do count as deleted. Otherwise a team that deletes its own runs would block the
MLJobs of all other teams.

If the operator follows three or more runs in an Airflow, a missing run counts as deleted only if
the newest list of all active runs (a relist) lacks this run too. The operator looks up each other
followed run that the list lacks. Until the look-up, such a run counts as missing but not as
deleted.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

from mljob_contract.airflow_instance import ACCEPT_VANISHED_RUNS

from ..frozen import frozen
from .run_key import SETTINGS_AIRFLOW, Key

REASON = "RunsVanished"
"""The reason in the condition Ready of the AirflowInstance, and in the statuses of MLJobs whose
runs are missing.
"""
MIN_VANISHED = 3
"""The minimum number of runs that are missing at the same time and count as many. One or two
missing runs look like runs that somebody deleted.
"""


def are_many(missing: int, followed: int) -> bool:
    """Return whether many runs are missing: at least three, and at least half of the followed runs."""
    return missing >= MIN_VANISHED and 2 * missing >= followed


@frozen
class Vanished:
    """How many runs have vanished from an Airflow, and since when.

    Attributes:
        missing: The number of MLJobs whose run is missing. MLJobs whose run is accepted as lost
            don't count.
        followed: The number of all MLJobs that have a run in progress in this Airflow, including
            MLJobs whose run is missing.
        since: When the first of the missing runs was found missing. None if ``missing`` is 0, for
            example just after a restart of the operator.
    """

    missing: int
    followed: int
    since: datetime | None


@frozen
class _MissingRun:
    """A missing run.

    Attributes:
        missed_at: When the operator sent the first request that Airflow answered with "no such
            run".
        submitted_at: When the run was submitted, or None if this time is not known.
    """

    missed_at: datetime
    submitted_at: datetime | None

    def was_submitted_before(self, before: datetime | None) -> bool:
        return before is not None and self.submitted_at is not None and self.submitted_at < before


@dataclass(slots=True)
class _FollowedRuns:
    """The followed runs in one Airflow. A run is identified by the key of its MLJob.

    Attributes:
        followed: The runs that the operator follows.
        missing: The missing runs.
        unlisted: The runs that were not in the last list of all active runs, and that have not been
            found since.
        unchecked: The runs in ``unlisted`` that the operator still has to look up. Runs that were
            in ``missing`` before the last list are left out.
        lost_before: The time with which an administrator has accepted the loss of missing runs, or
            None.
        accepted: The missing runs that were submitted before ``lost_before``. These runs count as
            deleted.
        relisted_at: When the last list of all active runs was requested, or None if this process
            has requested no such list.
        vanished: True after many runs were missing at once, until each missing run is found again
            or accepted as lost. An earlier operator process may have seen that many runs were
            missing.
    """

    followed: set[Key] = field(default_factory=set)
    missing: dict[Key, _MissingRun] = field(default_factory=dict)
    unlisted: set[Key] = field(default_factory=set)
    unchecked: set[Key] = field(default_factory=set)
    lost_before: datetime | None = None
    accepted: set[Key] = field(default_factory=set)
    relisted_at: datetime | None = None
    vanished: bool = False

    @property
    def lost(self) -> int:
        return len(self.missing) - len(self.accepted)

    @property
    def expected(self) -> int:
        return len(self.followed) - len(self.accepted)

    @property
    def is_uncertain(self) -> bool:
        """Whether many runs may be missing at once. Then a missing run doesn't count as deleted,
        unless an administrator has accepted its loss.
        """
        return self.vanished or self._are_many(self.lost + len(self.unchecked), self.missing.keys() | self.unchecked)

    def _are_many(self, count: int, missing: Collection[Key]) -> bool:
        if not are_many(count, self.expected):
            return False
        namespaces = {key[0] for key in missing if key not in self.accepted}
        return len(namespaces) > 1 or all(key[0] in namespaces for key in self.followed)

    def has(self, key: Key) -> bool:
        return key in self.followed and not (key in self.missing or key in self.unlisted or key in self.unchecked)

    def update_vanished(self) -> None:
        if self._are_many(self.lost, self.missing.keys()):
            self.vanished = True
        elif self.relisted_at is not None and not self.lost and not self.unchecked:
            self.vanished = False

    def drop(self, key: Key) -> None:
        self.followed.discard(key)
        self.missing.pop(key, None)
        self.unlisted.discard(key)
        self.unchecked.discard(key)
        self.accepted.discard(key)


class MissingRuns:
    """The followed runs in each Airflow, and which of them are missing."""

    def __init__(self) -> None:
        self._airflow_of: dict[Key, str] = {}
        self._runs: defaultdict[str, _FollowedRuns] = defaultdict(_FollowedRuns)
        self._states: dict[str, tuple[bool, bool]] = {}
        self._changed: set[str] = set()

    def follow(
        self,
        key: Key,
        airflow: str,
        *,
        missed_at: datetime | None,
        answered_at: datetime | None,
        submitted_at: datetime | None,
    ) -> bool:
        """Follow the run of an MLJob, and record whether the run is missing. Return True if the
        record may have changed. The caller then has to determine the state of the MLJob again.

        Args:
            key: The namespace and the name of the MLJob.
            airflow: The name of the Airflow to which the run was submitted.
            missed_at: When the operator sent the first request that Airflow answered with "no such
                run". None if Airflow has not answered yet, or if the last answer of Airflow
                contained the run.
            answered_at: When this process sent the last answered request about the run. The time
                may be too early, but never too late. None if Airflow has not answered this process
                yet.
            submitted_at: When the run was submitted, or None if this time is not known.
        """
        runs = self._runs[airflow]
        if missed_at is None and runs.has(key):
            return False
        if self._airflow_of.get(key, airflow) != airflow:
            self.forget(key)
        self._airflow_of[key] = airflow
        runs.followed.add(key)
        if missed_at is not None:
            run = runs.missing[key] = _MissingRun(missed_at, submitted_at)
            runs.unchecked.discard(key)
            if run.was_submitted_before(runs.lost_before):
                runs.accepted.add(key)
            else:
                runs.accepted.discard(key)
        else:
            runs.missing.pop(key, None)
            runs.accepted.discard(key)
            if runs.relisted_at is not None and answered_at is not None and answered_at >= runs.relisted_at:
                runs.unlisted.discard(key)
                runs.unchecked.discard(key)
        self._update_vanished(airflow)
        return True

    def forget(self, key: Key) -> bool:
        """Stop following the run of an MLJob. Return whether the run was followed until now."""
        airflow = self._airflow_of.pop(key, None)
        if airflow is None:
            return False
        self._runs[airflow].drop(key)
        self._update_vanished(airflow)
        return True

    def relist(self, airflow: str, asked_at: datetime, unlisted: Collection[Key]) -> None:
        """Record that the operator has listed all active runs of an Airflow (a relist), and which
        followed runs were not in this list.

        Args:
            airflow: The name of the Airflow.
            asked_at: When the operator requested the list.
            unlisted: The MLJobs whose runs were not in the list. MLJobs whose run is not followed
                are ignored.
        """
        runs = self._runs[airflow]
        runs.relisted_at = asked_at
        runs.unlisted = {key for key in unlisted if key in runs.followed}
        runs.unchecked = runs.unlisted - runs.missing.keys()
        self._update_vanished(airflow)

    def assume_vanished(self, airflow: str) -> None:
        """Record that many runs were missing in an Airflow when the previous operator process
        ended. :meth:`have_vanished` then returns True, at least until this process has listed all
        active runs of the Airflow.
        """
        self._runs[airflow].vanished = True
        self._update_vanished(airflow)

    def accept(self, airflow: str, before: datetime | None) -> int:
        """Record the time with which an administrator accepts the loss of missing runs. The time
        replaces the former time of this Airflow, and also applies to runs that are found missing
        later.

        Args:
            airflow: The name of the Airflow.
            before: The loss of the missing runs that were submitted before this time is accepted.
                None if no loss is accepted.

        Returns:
            The number of runs that are missing now, and whose loss was not accepted before this
            call.
        """
        runs = self._runs[airflow]
        if runs.lost_before == before:
            return 0
        runs.lost_before = before
        already_accepted = runs.accepted
        runs.accepted = {key for key, run in runs.missing.items() if run.was_submitted_before(before)}
        self._update_vanished(airflow)
        return len(runs.accepted - already_accepted)

    def wants_relist(self, airflow: str) -> bool:
        """Return whether :meth:`needs_relist` is True for at least one missing run of this
        Airflow.
        """
        return any(self.needs_relist(key) for key in self._runs[airflow].missing)

    def withholds_absence(self, key: Key) -> bool:
        """Return whether the run of an MLJob must not count as deleted yet, even if Airflow answers
        that the run does not exist.
        """
        airflow = self._airflow_of.get(key)
        if airflow is None:
            return False
        runs = self._runs[airflow]
        if key in runs.accepted:
            return False
        return self.needs_relist(key) or runs.is_uncertain

    def needs_relist(self, key: Key) -> bool:
        """Return whether the operator must list all active runs before the run of an MLJob can
        count as deleted. Return False if the run is not followed.
        """
        airflow = self._airflow_of.get(key)
        if airflow is None:
            return False
        runs = self._runs[airflow]
        return len(runs.followed) >= MIN_VANISHED and key not in runs.unlisted

    def have_vanished(self, airflow: str) -> bool:
        """Return whether many runs have vanished from an Airflow at once. The result stays True
        until each missing run is found again or is accepted as lost.
        """
        runs = self._runs.get(airflow)
        return runs is not None and runs.vanished

    def vanished(self, airflow: str) -> Vanished | None:
        """Return a :class:`Vanished`: how many runs have vanished from an Airflow, and since when.
        Return None if :meth:`have_vanished` is False.
        """
        if not self.have_vanished(airflow):
            return None
        runs = self._runs[airflow]
        lost = [run.missed_at for key, run in runs.missing.items() if key not in runs.accepted]
        return Vanished(len(lost), len(runs.followed), min(lost, default=None))

    def missing(self, airflow: str) -> list[Key]:
        """Return the MLJobs whose runs are missing in an Airflow, including runs whose loss is
        accepted.
        """
        runs = self._runs.get(airflow)
        return list(runs.missing) if runs is not None else []

    def take_changes(self) -> list[str]:
        """Return the names of the Airflows for which one of these facts has changed since the last
        call of this method:

        - Whether many runs have vanished (:meth:`have_vanished`).
        - Whether many runs may be missing. Here, a run that the operator still has to look up
          counts as missing.
        """
        changed, self._changed = self._changed, set()
        return sorted(changed)

    def _update_vanished(self, airflow: str) -> None:
        runs = self._runs[airflow]
        runs.update_vanished()
        state = runs.vanished, runs.is_uncertain
        if self._states.get(airflow, (False, False)) != state:
            self._states[airflow] = state
            self._changed.add(airflow)


def vanished_message(airflow: str) -> str:
    """Return the message for MLJobs that wait because many runs have vanished."""
    return f"{REASON}: it no longer has the runs of many MLJobs. {_remedy(airflow)}"


def vanished_report(airflow: str, vanished: Vanished, url: str) -> str:
    """Return the message for platform administrators: how many runs have vanished, why, and what to
    do.
    """
    since = f" (since {vanished.since:%Y-%m-%d %H:%M:%S} UTC)" if vanished.since is not None else ""
    return (
        f"Airflow at {url} does not have the runs of {vanished.missing} of the {vanished.followed} MLJobs with a run in it{since}: its database was "
        f"emptied or restored, or the URL leads to another Airflow. {_remedy(airflow)}"
    )


def how_to_accept(airflow: str) -> str:
    """Return a part of a sentence: the command with which an administrator accepts the loss of the
    missing runs of an Airflow.
    """
    if airflow == SETTINGS_AIRFLOW:
        return "`helm upgrade` with the release's own chart and version, --reset-then-reuse-values and --set airflow.acceptVanishedRunsBefore=<the time now, as 2026-01-31T12:00:00Z>"
    return f'`kubectl annotate airflowinstance {airflow} --overwrite {ACCEPT_VANISHED_RUNS}="$(date -u +%FT%TZ)"`'


def _remedy(airflow: str) -> str:
    return (
        "Until the runs are found or an administrator accepts their loss, these MLJobs keep their phase, and no run is started there. If the runs come "
        f"back, the operator continues by itself. If they are lost, {how_to_accept(airflow)} makes them count as deleted."
    )
