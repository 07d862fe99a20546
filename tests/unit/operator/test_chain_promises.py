"""Hypothesis searches for a sequence of steps after which the operator breaks a promise, such as
the promise that an MLJob has at most one active run. :mod:`tests.simulation.machine` lists the
promises. In this test, MLJobs use outputs of other MLJobs.
"""

from __future__ import annotations

from hypothesis import strategies as st

from mljob_operator.core.mljob.upstream import READ_AGAIN_AFTER
from tests.simulation.machine import NAMES, ROUND, Machine, hold

OTHERS = st.lists(st.sampled_from([*NAMES, *NAMES, "nobody"]), max_size=2, unique=True).map(
    lambda names: {"confFrom": [{"outputsRef": {"name": name}} for name in names]}
)
FIRST = st.just({"confFrom": [{"outputsRef": {"name": NAMES[1]}}]})
EDITS = st.one_of(
    OTHERS,
    FIRST,
    st.fixed_dictionaries({"dagId": st.sampled_from(["train", "predict", "missing"])}),
    st.fixed_dictionaries({"conf": st.sampled_from([{}, {"a": 1}])}),
    st.fixed_dictionaries({"suspend": st.booleans()}),
    st.just({"cancel": True}),
    st.fixed_dictionaries({"runPolicy": st.sampled_from(["Once", "OnChange", "OnChange", "OncePerSpec"])}),
    st.fixed_dictionaries(
        {"backoffLimit": st.integers(0, 1), "retryStrategy": st.sampled_from(["ClearFailed", "NewRun"])}
    ),
    st.fixed_dictionaries({"activeDeadlineSeconds": st.sampled_from([None, 120])}),
    st.fixed_dictionaries({"ttlSecondsAfterFinished": st.sampled_from([None, 30])}),
)
SPECS = st.lists(EDITS, max_size=3).map(
    lambda parts: {"dagId": "train"} | {k: v for part in parts for k, v in part.items()}
)


class ChainPromises(Machine):
    specs = SPECS
    edits = EDITS
    # If the operator has read an old version of an upstream MLJob that was deleted before the watch
    # began, only the next read shows the deletion.
    rounds_at_least = int(READ_AGAIN_AFTER.total_seconds()) // ROUND + 3


def test_promises_hold() -> None:
    hold(ChainPromises)
