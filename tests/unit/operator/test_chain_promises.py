"""A search for a violation of the operator's promises for MLJobs that take the outputs of other
MLJobs. Hypothesis plays the user, Airflow and Kubernetes in virtual time
(:mod:`tests.simulation.machine`).

The promises are:

- An MLJob runs only with outputs of runs that have succeeded.
- The status of the MLJob names these runs.
- If outputs exist, no MLJob goes on waiting for these outputs.

The specs also contain MLJobs that wait for each other in a cycle, and MLJobs that wait for an MLJob
that nobody creates.
"""

from __future__ import annotations

from hypothesis import strategies as st

from tests.simulation.machine import NAMES, Machine, hold

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
    """Hypothesis's state machine for MLJobs that take outputs of other MLJobs. The steps are those
    of :class:`.Machine`, but MLJobs have the specs and edits of this module.
    """

    specs = SPECS
    edits = EDITS


def test_promises_hold() -> None:
    """Hypothesis finds no sequence of actions that breaks a promise."""
    hold(ChainPromises)
