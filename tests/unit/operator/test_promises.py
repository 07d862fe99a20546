"""Hypothesis searches for actions that make the operator break one of the promises
listed in :mod:`tests.simulation.machine`. No MLJob is a backfill.
"""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from mljob_operator.core.run.states import TERMINAL_RUN, RunState
from tests.fakes.airflow import CANCEL_DAG
from tests.simulation.airflow import CHILD
from tests.simulation.machine import Machine, hold, indexes, moments

EDITS = st.one_of(
    st.fixed_dictionaries({"dagId": st.sampled_from(["train", "predict", "missing"])}),
    st.fixed_dictionaries({"conf": st.sampled_from([{}, {"a": 1}, {"a": 2}])}),
    st.fixed_dictionaries({"suspend": st.booleans()}),
    st.just({"cancel": True}),
    st.fixed_dictionaries({"runPolicy": st.sampled_from(["Once", "OnChange", "OncePerSpec"])}),
    st.fixed_dictionaries(
        {"backoffLimit": st.integers(0, 2), "retryStrategy": st.sampled_from(["ClearFailed", "NewRun"])}
    ),
    st.fixed_dictionaries({"activeDeadlineSeconds": st.sampled_from([None, 20, 120])}),
    st.fixed_dictionaries({"preRunningDeadlineSeconds": st.sampled_from([None, 15])}),
    st.fixed_dictionaries({"ttlSecondsAfterFinished": st.sampled_from([None, 0, 30])}),
    st.fixed_dictionaries({"deletionPolicy": st.sampled_from(["Cancel", "Retain"])}),
    st.fixed_dictionaries(
        {
            "cancellation": st.fixed_dictionaries(
                {"strategy": st.sampled_from(["Dag", "Api"]), "timeoutSeconds": st.sampled_from([10, 300])}
            )
        }
    ),
)
SPECS = st.lists(EDITS, max_size=3).map(
    lambda parts: {"dagId": "train"} | {k: v for part in parts for k, v in part.items()}
)


class Promises(Machine):
    specs = SPECS
    edits = EDITS

    # The user

    @precondition(lambda self: self.world.airflow.runs)
    @rule(index=indexes, then=moments)
    def clear_in_airflow(self, index: int, then: float) -> None:
        current = {self.world.status(key).dag_run_id for key in self.world.cluster.objects}
        now = self.world.airflow_clock()
        runs = [run for run in self.world.airflow.ours() if run.run_id in current]
        if found := [run for run in runs if run.end is None or now > max(run.end, run.queued_at)]:
            run = found[index % len(found)]
            self.world.airflow.store(run.dag_id, run.run_id)
            self.world.by_hand.add(run.run_id)
            self.world.airflow.clear(run)
            self._then("clear_in_airflow", then)

    @precondition(lambda self: self.world.airflow.runs)
    @rule(index=indexes, then=moments)
    def delete_in_airflow(self, index: int, then: float) -> None:
        # Without a status that names the run, the operator can't notice that the run is missing.
        told = [run for run in self.world.airflow.ours() if run.run_id in self.world.cluster.told]
        # Airflow refuses to delete a running run.
        if found := [run for run in told if run.state is not RunState.RUNNING]:
            run = found[index % len(found)]
            self.world.airflow.unstored.pop((run.dag_id, run.run_id), None)
            del self.world.airflow.runs[run.dag_id, run.run_id]
            self._then("delete_in_airflow", then)

    @precondition(lambda self: self.world.airflow.ours())
    @rule(index=indexes, then=moments)
    def a_child_is_triggered(self, index: int, then: float) -> None:
        runs = [run for run in self.world.airflow.ours() if run.state is RunState.RUNNING]
        if runs and (CHILD, (run := runs[index % len(runs)]).run_id) not in self.world.airflow.runs:
            self.world.airflow.queue(CHILD, run.run_id, {})
            self._then("a_child_is_triggered", then)

    @precondition(lambda self: self.world.airflow.child_runs())
    @rule(what=st.sampled_from(["succeeds", "fails", "is cleared", "is deleted"]), index=indexes, then=moments)
    def a_child_goes_on(self, what: str, index: int, then: float) -> None:
        airflow, children = self.world.airflow, self.world.airflow.child_runs()
        child = children[index % len(children)]
        over = child.state in TERMINAL_RUN
        if what in ("succeeds", "fails") and not over:
            airflow.finish(child, RunState.SUCCESS if what == "succeeds" else RunState.FAILED)
        elif what == "is cleared" and over:
            airflow.clear(child)
        elif what == "is deleted" and child.state is not RunState.RUNNING:
            airflow.unstored.pop((CHILD, child.run_id), None)
            del airflow.runs[CHILD, child.run_id]
        self._then("a_child_goes_on", then)

    # Airflow

    @rule(dag_id=st.sampled_from(["train", "predict", CANCEL_DAG]), then=moments)
    def pause_or_unpause(self, dag_id: str, then: float) -> None:
        self.world.airflow.paused ^= {dag_id}
        self._then("pause_or_unpause", then)


def test_promises_hold() -> None:
    hold(Promises)
