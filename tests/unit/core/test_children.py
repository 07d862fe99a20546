"""Runs that the tasks of a cancelled run have started."""

from __future__ import annotations

import pytest

from mljob_operator.core.run.children import MAX_NAMED, Child, in_words, may_be_cancelled
from mljob_operator.core.run.run_key import RunKey

PARENT = RunKey("", "train", "mljob.team-a.churn.aaaaaaaaaa-1")


@pytest.mark.parametrize(
    ("child", "allowed", "ended"),
    [
        pytest.param(Child("days", "manual__1", True), True, True, id="a task's run of a DAG that is allowed"),
        pytest.param(Child("days", "manual__1", True), False, False, id="of a DAG that is not"),
        pytest.param(Child("days", "manual__1", False), True, False, id="a person's run"),
        pytest.param(Child("days", PARENT.run_id, True), True, True, id="under its parent's id"),
        pytest.param(Child("train", PARENT.run_id, True), True, False, id="the parent itself"),
        pytest.param(Child("days", "mljob.team-b.fraud.bbbbbbbbbb-1", True), True, False, id="another MLJob's run"),
        pytest.param(
            Child("days", "east.team-b.fraud.bbbbbbbbbb-1", True), True, True, id="a run with another cluster's prefix"
        ),
    ],
)
def test_false_report_of_a_child_run_ends_no_run_of_another_mljob(child: Child, allowed: bool, ended: bool) -> None:
    assert may_be_cancelled(child, PARENT, "mljob", allowed=allowed) is ended


@pytest.mark.parametrize(
    ("count", "end"),
    [
        pytest.param(1, "manual__0 of DAG days", id="one"),
        pytest.param(MAX_NAMED, f"manual__{MAX_NAMED - 1} of DAG days", id="as many as are named"),
        pytest.param(MAX_NAMED + 2, f"manual__{MAX_NAMED - 1} of DAG days and 2 more", id="more"),
    ],
)
def test_a_message_names_the_first_runs_and_counts_the_others(count: int, end: str) -> None:
    text = in_words([Child("days", f"manual__{number}", True) for number in range(count)])
    assert text.startswith("manual__0 of DAG days")
    assert text.endswith(end)
    assert text.count("of DAG") == min(count, MAX_NAMED)
