"""Detects that many runs have vanished from an Airflow at once. While many runs are missing, the
operator does not conclude from the absence of a run that the run was deleted.

For each MLJob that has a run in progress, the operator follows the run or the backfill. This means
that the operator observes the state of the run or the backfill in Airflow. Usually, a run that
Airflow no longer has was deleted, and the MLJob of the run fails. When many runs are missing at
once (:func:`are_many`), somebody emptied or restored Airflow's database, or the URL leads to
another Airflow. The runs may still be in progress then. So they don't count as deleted, and the
operator starts no run in that Airflow, until the runs are found again or an administrator accepts
their loss.

If all missing runs belong to one namespace, and the operator also follows runs of other namespaces,
the missing runs do count as deleted. Airflow has the runs of the other namespaces, so a team has
deleted its own runs. Without this rule, a team that deletes its own runs would block the MLJobs of
all other teams.

A relist is a periodic list of all active runs of an Airflow. If the operator follows three or more
runs in an Airflow, a missing run counts as deleted only after a relist that did not list the run.
Such a relist shows whether other runs are missing too. The operator then asks Airflow for each run
that the relist did not list. Until Airflow answers, such a run is treated as missing. Otherwise the
first missing runs would count as deleted before the operator knows how many runs are missing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
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
    """Return whether many runs are missing: at least three, and at least half of the followed runs.
    Nobody deletes so many runs one by one.
    """
    return missing >= MIN_VANISHED and 2 * missing >= followed


@frozen
class Vanished:
    """How many runs have vanished from an Airflow, and since when.

    Attributes:
        missing: The number of MLJobs whose run in this Airflow is missing. Runs whose loss is
            accepted are not included.
        followed: The number of all MLJobs that have a run in progress in this Airflow, including
            those whose run is missing.
        since: When the first of the runs was found missing. None if the previous operator process
            found that many runs were missing, and this process has not found any of them missing
            yet.
    """

    missing: int
    followed: int
    since: datetime | None


@dataclass(slots=True)
class _FollowedRuns:
    """The followed runs in one Airflow. A run is identified by the key of its MLJob.

    Attributes:
        followed: The runs that the operator follows.
        missing: For each missing run, when Airflow first answered that it has no such run.
        unlisted: The runs that the last relist did not list and that have not been found since.
        unchecked: The unlisted runs that were not missing before the relist, and that the operator
            has not looked up since.
        accepted: The missing runs whose loss an administrator has accepted. These runs count as
            deleted.
        relisted_at: When the last relist was requested, or None if there was no relist.
        vanished: Whether many runs were missing at once, in this process or in the previous one,
            and not all of them have been found again or accepted as lost.
    """

    followed: set[Key] = field(default_factory=set)
    missing: dict[Key, datetime] = field(default_factory=dict)
    unlisted: set[Key] = field(default_factory=set)
    unchecked: set[Key] = field(default_factory=set)
    accepted: set[Key] = field(default_factory=set)
    relisted_at: datetime | None = None
    vanished: bool = False

    @property
    def lost(self) -> int:
        """How many runs are missing. Runs whose loss is accepted do not count."""
        return len(self.missing) - len(self.accepted)

    @property
    def expected(self) -> int:
        """How many runs the operator follows. Runs whose loss is accepted do not count."""
        return len(self.followed) - len(self.accepted)

    @property
    def is_uncertain(self) -> bool:
        """Whether so many runs may be missing that no missing run counts as deleted, except the
        runs whose loss is accepted.
        """
        return self.vanished or self._are_many(self.lost + len(self.unchecked), self.missing.keys() | self.unchecked)

    def _are_many(self, count: int, missing: Collection[Key]) -> bool:
        """Return whether so many runs are missing (:func:`are_many`) that they must not count as
        deleted. Return False if all missing runs belong to one namespace, and the operator also
        follows runs of other namespaces.

        Args:
            count: The number of missing runs. Runs whose loss is accepted do not count.
            missing: The MLJobs of the missing runs. MLJobs whose run is accepted as lost are
                ignored.
        """
        if not are_many(count, self.expected):
            return False
        namespaces = {key[0] for key in missing if key not in self.accepted}
        return len(namespaces) > 1 or all(key[0] in namespaces for key in self.followed)

    def has(self, key: Key) -> bool:
        """Return whether the operator follows the run of an MLJob in this Airflow, and the run is
        present as far as the operator knows. The result is False if an answer of Airflow or a
        relist suggests that the run is missing.
        """
        return key in self.followed and not (key in self.missing or key in self.unlisted or key in self.unchecked)

    def update_vanished(self) -> None:
        """Update ``vanished``. The value becomes True when many runs are missing. It becomes False
        when this process has made a relist, has looked up all unlisted runs, and no run is missing
        any more, except runs whose loss is accepted.
        """
        if self._are_many(self.lost, self.missing.keys()):
            self.vanished = True
        elif self.relisted_at is not None and not self.lost and not self.unchecked:
            self.vanished = False

    def drop(self, key: Key) -> None:
        """Forget an MLJob that has no run in this Airflow any more."""
        self.followed.discard(key)
        self.missing.pop(key, None)
        self.unlisted.discard(key)
        self.unchecked.discard(key)
        self.accepted.discard(key)


class MissingRuns:
    """Remembers which runs the operator follows in each Airflow, and which of these runs are
    missing.

    Args:
        lost_before: A time for some of the Airflows, by the name of the Airflow. The loss of a
            missing run that was submitted before this time counts as accepted.
    """

    def __init__(self, lost_before: Mapping[str, datetime] | None = None) -> None:
        self._lost_before = lost_before or {}
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
        """Follow the run of an MLJob: record whether the run is missing. Return True if the record
        may have changed. The caller then has to determine the state of the MLJob again.

        Args:
            key: The namespace and the name of the MLJob.
            airflow: The name of the Airflow that the run is in.
            missed_at: When Airflow first answered that it has no such run. None if Airflow has not
                answered yet, or if the last answer of Airflow contained the run.
            answered_at: When the operator last asked Airflow for the run
                (``TransientState.looked_up_at``), or None if this process has not asked yet.
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
            runs.missing[key] = missed_at
            runs.unchecked.discard(key)
            before = self._lost_before.get(airflow)
            if before is not None and submitted_at is not None and submitted_at < before:
                runs.accepted.add(key)
        else:
            runs.missing.pop(key, None)
            runs.accepted.discard(key)
            if runs.relisted_at is not None and answered_at is not None and answered_at >= runs.relisted_at:
                runs.unlisted.discard(key)
                runs.unchecked.discard(key)
        self._update_vanished(airflow)
        return True

    def forget(self, key: Key) -> bool:
        """Forget an MLJob that has no run in progress. Return whether a run of this MLJob was
        followed until now.
        """
        airflow = self._airflow_of.pop(key, None)
        if airflow is None:
            return False
        self._runs[airflow].drop(key)
        self._update_vanished(airflow)
        return True

    def relist(self, airflow: str, asked_at: datetime, unlisted: Collection[Key]) -> None:
        """Record which followed runs were not in the list of all active runs (a relist).
        ``asked_at`` is the time when Airflow was asked for the list.
        """
        runs = self._runs[airflow]
        runs.relisted_at = asked_at
        runs.unlisted = {key for key in unlisted if key in runs.followed}
        runs.unchecked = runs.unlisted - runs.missing.keys()
        self._update_vanished(airflow)

    def assume_vanished(self, airflow: str) -> None:
        """Record that many runs were missing in an Airflow when the previous operator process
        ended. Many runs then count as vanished until this process has made a relist (a list of all
        active runs), and no run is missing any more, except runs whose loss is accepted.
        """
        self._runs[airflow].vanished = True
        self._update_vanished(airflow)

    def accept(self, airflow: str) -> int:
        """Accept the loss of the runs that are missing now, as an administrator has asked. Return
        how many of these runs were not accepted as lost before.
        """
        runs = self._runs[airflow]
        lost = runs.lost
        runs.accepted = set(runs.missing)
        self._update_vanished(airflow)
        return lost

    def knows_missing(self, airflow: str) -> bool:
        """Return whether the operator knows which runs are missing. For this, the operator lists
        the active runs (a relist), and then asks Airflow for each followed run that was not listed.
        """
        runs = self._runs[airflow]
        return runs.relisted_at is not None and not runs.unchecked

    def wants_relist(self, airflow: str) -> bool:
        """Return whether another relist (a list of all active runs) should be made soon, because a
        missing run in this Airflow can't count as deleted before this relist.
        """
        return any(self.needs_relist(key) for key in self._runs[airflow].missing)

    def withholds_absence(self, key: Key) -> bool:
        """Return whether this MLJob's run must not count as deleted yet, even if Airflow answers
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
        """Return whether a relist (a list of all active runs) is needed before this MLJob's run can
        count as deleted, because other runs may be missing too. Return False for an MLJob whose run
        is not followed.
        """
        airflow = self._airflow_of.get(key)
        if airflow is None:
            return False
        runs = self._runs[airflow]
        return len(runs.followed) >= MIN_VANISHED and key not in runs.unlisted

    def have_vanished(self, airflow: str) -> bool:
        """Return whether many runs have vanished from an Airflow at once, and not all of them have
        been found again or accepted as lost.
        """
        runs = self._runs.get(airflow)
        return runs is not None and runs.vanished

    def vanished(self, airflow: str) -> Vanished | None:
        """Return how many runs have vanished from an Airflow and since when, or None if not many
        runs are missing.
        """
        if not self.have_vanished(airflow):
            return None
        runs = self._runs[airflow]
        lost = [at for key, at in runs.missing.items() if key not in runs.accepted]
        return Vanished(len(lost), len(runs.followed), min(lost, default=None))

    def missing(self, airflow: str) -> list[Key]:
        """Return the MLJobs whose runs are missing in an Airflow, including runs whose loss is
        accepted.
        """
        runs = self._runs.get(airflow)
        return list(runs.missing) if runs is not None else []

    def take_changes(self) -> list[str]:
        """Return the names of the Airflows with a change since the last call of this method. There
        are two kinds of changes: the result of :meth:`have_vanished` has changed, or missing runs
        now count as deleted or no longer do.
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
    """Return the message for MLJobs that wait because many runs have vanished from their
    Airflow.
    """
    return f"{REASON}: it no longer has the runs of many MLJobs. {_remedy(airflow)}"


def vanished_report(airflow: str, vanished: Vanished, url: str) -> str:
    """Return the message for the administrators of the platform: how many runs have vanished, why,
    and what to do.
    """
    since = f" (since {vanished.since:%Y-%m-%d %H:%M:%S} UTC)" if vanished.since is not None else ""
    return (
        f"Airflow at {url} does not have the runs of {vanished.missing} of the {vanished.followed} MLJobs with a run in it{since}: its database was "
        f"emptied or restored, or the URL leads to another Airflow. {_remedy(airflow)}"
    )


def how_to_accept(airflow: str) -> str:
    """Return how an administrator accepts that the missing runs of an Airflow are lost. The result
    is part of a sentence. For an AirflowInstance, the result is a ``kubectl annotate`` command. For
    the Airflow of the operator's settings, the result names ``helm upgrade`` and the flags.
    """
    if airflow == SETTINGS_AIRFLOW:
        return "`helm upgrade` with --reuse-values and --set airflow.acceptVanishedRunsBefore=<the time now, as 2026-01-31T12:00:00Z>"
    return f'`kubectl annotate airflowinstance {airflow} --overwrite {ACCEPT_VANISHED_RUNS}="$(date -u +%FT%TZ)"`'


def _remedy(airflow: str) -> str:
    return (
        "Until the runs are found or an administrator accepts their loss, these MLJobs keep their phase, and no run is started there. If the runs come "
        f"back, the operator continues by itself. If they are lost, {how_to_accept(airflow)} makes them count as deleted."
    )
