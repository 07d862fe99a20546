"""Hypothesis searches for actions that make the operator break one of the promises
listed in :mod:`tests.simulation.machine`.

The test has two MLJobs of the type Backfill. Usually both MLJobs name the same DAG. Airflow allows
one backfill of a DAG at a time.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from mljob_operator.core.run.run_key import Key
from tests.simulation.machine import Machine, hold, keys, moments, whiles

ranges = st.fixed_dictionaries(
    {
        "from": st.sampled_from(["2025-12-01T00:00:00Z", "2025-12-02T00:00:00Z"]),
        "to": st.sampled_from(["2025-12-02T00:00:00Z", "2025-12-03T00:00:00Z"]),
        "reprocessBehavior": st.sampled_from(["None", "Failed", "Completed"]),
        "maxActiveRuns": st.integers(1, 2),
    }
)
EDITS = st.one_of(
    st.fixed_dictionaries({"dagId": st.sampled_from(["days", "missing"])}),
    st.fixed_dictionaries({"conf": st.sampled_from([{}, {"a": 1}])}),
    st.fixed_dictionaries({"backfill": ranges}),
    st.fixed_dictionaries({"suspend": st.booleans()}),
    st.just({"cancel": True}),
    st.fixed_dictionaries({"runPolicy": st.sampled_from(["Once", "OnChange", "OncePerSpec"])}),
    st.fixed_dictionaries({"backoffLimit": st.integers(0, 2)}),
    st.fixed_dictionaries({"activeDeadlineSeconds": st.sampled_from([None, 20, 120])}),
    st.fixed_dictionaries({"preRunningDeadlineSeconds": st.sampled_from([None, 15])}),
    st.fixed_dictionaries({"ttlSecondsAfterFinished": st.sampled_from([None, 0, 30])}),
    st.fixed_dictionaries({"deletionPolicy": st.sampled_from(["Cancel", "Retain"])}),
    st.fixed_dictionaries({"cancellation": st.fixed_dictionaries({"timeoutSeconds": st.sampled_from([10, 300])})}),
)
SPECS = st.tuples(ranges, st.lists(EDITS, max_size=2)).map(
    lambda drawn: (
        {"dagId": "days", "type": "Backfill", "backfill": drawn[0]}
        | {k: v for part in drawn[1] for k, v in part.items()}
    )
)


class BackfillPromises(Machine):
    specs = SPECS
    edits = EDITS

    def __init__(self) -> None:
        super().__init__()
        self.world.airflow.daily.add("missing")

    # The user

    @precondition(lambda self: self._any(going=False))
    @rule(key=keys, seconds=whiles, down=st.booleans(), then=whiles)
    def suspend_for_a_while(self, key: Key, seconds: float, down: bool, then: float) -> None:
        self.edit(key, {"suspend": True}, seconds)
        if down:
            self.world.network.down.add("airflow")
        self.edit(key, {"suspend": False}, then)

    # Airflow

    @precondition(lambda self: self.world.airflow.backfills.made)
    @rule(then=moments)
    def the_scheduler_closes_backfills(self, then: float) -> None:
        self.world.airflow.backfills.close_ended()
        self._then("the_scheduler_closes_backfills", then)

    @rule(then=moments)
    def pause_or_unpause(self, then: float) -> None:
        self.world.airflow.paused ^= {"days"}
        self._then("pause_or_unpause", then)


def test_promises_hold() -> None:
    hold(BackfillPromises)
