"""Many runs that vanish from an Airflow at once. That they are missing does not prove that they
were deleted.

Usually, a run that Airflow no longer has was deleted, and its MLJob fails. When many runs are
missing at once, somebody emptied or restored Airflow's database, or the URL leads to another
Airflow. The runs may still be in progress then. So they don't count as deleted, and the operator
starts no run in that Airflow, until the runs are found again or an administrator accepts their
loss.

If only the runs of one namespace among several are missing, they do count as deleted. Airflow has
the runs of the other namespaces, so a team has deleted its own runs. Otherwise one team could block
all other teams.

A relist is a periodic list of all active runs of an Airflow. Where the operator follows three or
more runs in an Airflow, a missing run counts as deleted only after a relist that did not list the
run, because this relist shows whether other runs are missing too. A run that the relist did not
list is treated as missing until the operator has looked it up, so that the first look-ups alone
decide nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mljob_contract.airflow_instance import ACCEPT_VANISHED_RUNS

from .run_key import SETTINGS_AIRFLOW, Key

REASON = "RunsVanished"
"""The reason of the condition Ready of the Airflow, and in the statuses of MLJobs whose runs are
missing.
"""
AT_LEAST = 3
"""How many runs must be missing at the same time to count as many. One or two missing runs look
like runs that somebody deleted.
"""


def many(missing: int, followed: int) -> bool:
    """Return whether many runs are missing: at least three, and at least half of the followed runs.
    Nobody deletes so many runs one by one.
    """
    return missing >= AT_LEAST and 2 * missing >= followed


@dataclass(frozen=True, slots=True)
class Vanished:
    """The runs that have vanished from an Airflow.

    Attributes:
        missing: How many MLJobs have a run that Airflow does not have.
        followed: How many MLJobs have a run in this Airflow.
        since: When the first of the runs was found missing. None if the runs vanished before this
            process started, and it has found none of them missing yet.
    """

    missing: int
    followed: int
    since: datetime | None


@dataclass(slots=True)
class _Airflow:
    """The followed runs in one Airflow. A run is identified by the key of its MLJob.

    Attributes:
        followed: The runs that the operator follows.
        missing: For each missing run, when Airflow first answered that it has no such run.
        unlisted: The runs that the last relist did not list and that have not been found since.
        unanswered: The unlisted runs that the operator has not looked up since the relist.
        accepted: The missing runs whose loss an administrator has accepted.
        relisted_at: When the last relist was requested, or None if there was no relist.
        vanished: Whether many runs have been missing, and some of them still are.
    """

    followed: set[Key] = field(default_factory=set)
    missing: dict[Key, datetime] = field(default_factory=dict)
    unlisted: set[Key] = field(default_factory=set)
    unanswered: set[Key] = field(default_factory=set)
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
    def doubtful(self) -> bool:
        """Whether so many runs may be missing that no missing run counts as deleted."""
        return self.vanished or self._are_many(self.lost + len(self.unanswered), self.missing.keys() | self.unanswered)

    def _are_many(self, count: int, missing: Collection[Key]) -> bool:
        """Return whether these are many runs, and not the runs of only one namespace among
        several.
        """
        if not many(count, self.expected):
            return False
        namespaces = {key[0] for key in missing if key not in self.accepted}
        return len(namespaces) > 1 or all(key[0] in namespaces for key in self.followed)

    def has(self, key: Key) -> bool:
        """Whether this Airflow has the run of an MLJob, and nothing says otherwise."""
        return key in self.followed and not (key in self.missing or key in self.unlisted or key in self.unanswered)

    def reckon(self) -> None:
        """Update ``vanished``. It stays True until all missing runs are found again or accepted as
        lost.
        """
        if self._are_many(self.lost, self.missing.keys()):
            self.vanished = True
        elif self.relisted_at is not None and not self.lost and not self.unanswered:
            self.vanished = False

    def drop(self, key: Key) -> None:
        """Forget an MLJob that has no run in this Airflow any more."""
        self.followed.discard(key)
        self.missing.pop(key, None)
        self.unlisted.discard(key)
        self.unanswered.discard(key)
        self.accepted.discard(key)


class MissingRuns:
    """The runs that the operator follows in all Airflows, and which of them are missing.

    Args:
        lost_before: For an Airflow, the time before which a missing run must have been submitted to
            count as lost.
    """

    def __init__(self, lost_before: Mapping[str, datetime] | None = None) -> None:
        self._lost_before = lost_before or {}
        self._airflow_of: dict[Key, str] = {}
        self._airflows: defaultdict[str, _Airflow] = defaultdict(_Airflow)
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
        """Note what is known of an MLJob's run. Returns whether that may be new.

        Args:
            key: The MLJob.
            airflow: The Airflow that the run is in.
            missed_at: When Airflow first answered that it has no such run, or None if Airflow has
                the run.
            answered_at: When Airflow was last asked for the run.
            submitted_at: When the run was submitted.
        """
        there = self._airflows[airflow]
        if missed_at is None and there.has(key):
            return False
        if self._airflow_of.get(key, airflow) != airflow:
            self.forget(key)
        self._airflow_of[key] = airflow
        there.followed.add(key)
        if missed_at is not None:
            there.missing[key] = missed_at
            there.unanswered.discard(key)
            before = self._lost_before.get(airflow)
            if before is not None and submitted_at is not None and submitted_at < before:
                there.accepted.add(key)
        else:
            there.missing.pop(key, None)
            there.accepted.discard(key)
            if there.relisted_at is not None and answered_at is not None and answered_at >= there.relisted_at:
                there.unlisted.discard(key)
                there.unanswered.discard(key)
        self._reckon(airflow)
        return True

    def forget(self, key: Key) -> bool:
        """Forget an MLJob that has no run in progress. Return whether it had one."""
        airflow = self._airflow_of.pop(key, None)
        if airflow is None:
            return False
        self._airflows[airflow].drop(key)
        self._reckon(airflow)
        return True

    def relist(self, airflow: str, asked_at: datetime, unlisted: Collection[Key]) -> None:
        """Note which runs Airflow did not list. ``asked_at`` is the time when Airflow was asked for
        all active runs.
        """
        there = self._airflows[airflow]
        there.relisted_at = asked_at
        there.unlisted = {key for key in unlisted if key in there.followed}
        there.unanswered = there.unlisted - there.missing.keys()
        self._reckon(airflow)

    def hold(self, airflow: str) -> None:
        """Note that many runs were missing when the previous process ended."""
        self._airflows[airflow].vanished = True
        self._reckon(airflow)

    def accept(self, airflow: str) -> int:
        """Accept the loss of the runs that are missing now, as an administrator has asked. Return
        how many runs these are.
        """
        there = self._airflows[airflow]
        lost = there.lost
        there.accepted = set(there.missing)
        self._reckon(airflow)
        return lost

    def surveyed(self, airflow: str) -> bool:
        """Return whether the operator knows which runs are missing: there was a relist, and the
        operator has looked up the runs that it did not list.
        """
        there = self._airflows[airflow]
        return there.relisted_at is not None and not there.unanswered

    def wants_relist(self, airflow: str) -> bool:
        """Return whether a missing run can count as deleted only after another relist."""
        return any(self.needs_relist(key) for key in self._airflows[airflow].missing)

    def withholds(self, key: Key) -> bool:
        """Return whether this MLJob's run does not count as deleted although Airflow answers that
        it has no such run.
        """
        airflow = self._airflow_of.get(key)
        if airflow is None:
            return False
        there = self._airflows[airflow]
        if key in there.accepted:
            return False
        return self.needs_relist(key) or there.doubtful

    def needs_relist(self, key: Key) -> bool:
        """Return whether this MLJob's run can count as deleted only after a relist, because other
        runs may be missing too.
        """
        there = self._airflows[self._airflow_of[key]]
        return len(there.followed) >= AT_LEAST and key not in there.unlisted

    def have_vanished(self, airflow: str) -> bool:
        """Return whether many runs have vanished from an Airflow at once."""
        there = self._airflows.get(airflow)
        return there is not None and there.vanished

    def vanished(self, airflow: str) -> Vanished | None:
        """Return the runs that have vanished from an Airflow, or None if there are not many."""
        if not self.have_vanished(airflow):
            return None
        there = self._airflows[airflow]
        lost = [at for key, at in there.missing.items() if key not in there.accepted]
        return Vanished(len(lost), len(there.followed), min(lost, default=None))

    def missing(self, airflow: str) -> list[Key]:
        """Return the MLJobs whose runs are missing in an Airflow."""
        there = self._airflows.get(airflow)
        return list(there.missing) if there is not None else []

    def changes(self) -> list[str]:
        """Return the Airflows in which missing runs have begun or ceased to count as deleted since
        the last call.
        """
        changed, self._changed = self._changed, set()
        return sorted(changed)

    def _reckon(self, airflow: str) -> None:
        there = self._airflows[airflow]
        there.reckon()
        state = there.vanished, there.doubtful
        if self._states.get(airflow, (False, False)) != state:
            self._states[airflow] = state
            self._changed.add(airflow)


def explained(airflow: str) -> str:
    """Return the message for MLJobs that wait because many runs have vanished from their
    Airflow.
    """
    return f"{REASON}: it no longer has the runs of many MLJobs. {_how_to_go_on(airflow)}"


def reported(airflow: str, vanished: Vanished, url: str) -> str:
    """Return the message for the administrators of the platform: how many runs have vanished, why,
    and what to do.
    """
    since = f" (since {vanished.since:%Y-%m-%d %H:%M:%S} UTC)" if vanished.since is not None else ""
    return (
        f"Airflow at {url} does not have the runs of {vanished.missing} of the {vanished.followed} MLJobs with a run in it{since}: its database was "
        f"emptied or restored, or the URL leads to another Airflow. {_how_to_go_on(airflow)}"
    )


def _how_to_go_on(airflow: str) -> str:
    if airflow == SETTINGS_AIRFLOW:
        command = "`helm upgrade` with --reuse-values and --set airflow.acceptVanishedRunsBefore=<the time now, as 2026-01-31T12:00:00Z>"
    else:
        command = (
            f'`kubectl annotate airflowinstance {airflow} --overwrite {ACCEPT_VANISHED_RUNS}="$(date -u +%FT%TZ)"`'
        )
    return (
        "Until the runs are found or an administrator accepts their loss, these MLJobs keep their phase, and no run is started there. If the runs come "
        f"back, the operator continues by itself. If they are lost, {command} makes them count as deleted."
    )
