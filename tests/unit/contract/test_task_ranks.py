from __future__ import annotations

import pytest

from mljob_contract.task_ranks import task_ranks


@pytest.mark.parametrize(
    ("downstream", "expected"),
    [
        pytest.param({}, {}, id="no task"),
        pytest.param({"b": [], "a": []}, {"a": 0, "b": 0}, id="independent tasks"),
        pytest.param(
            {"a": ["b", "d"], "b": ["c"], "c": ["d"], "d": []},
            {"a": 0, "b": 1, "c": 2, "d": 3},
            id="the longest distance from a root counts",
        ),
        pytest.param({"a": ["b"]}, {"a": 0, "b": 1}, id="a task without an entry"),
        pytest.param({"a": ["b"], "b": ["a"], "c": []}, {}, id="a cycle"),
    ],
)
def test_rank_is_higher_than_that_of_each_upstream_task(
    downstream: dict[str, list[str]], expected: dict[str, int]
) -> None:
    assert task_ranks(downstream) == expected
