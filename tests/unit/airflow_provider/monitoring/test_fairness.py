"""The owners of the candidates take turns."""

from __future__ import annotations

import pytest

from mljob_airflow.monitoring.fairness import in_turn
from mljob_airflow.monitoring.observations import Dag

A1, A2, B1, NONE = Dag("a1", ("a",)), Dag("a2", ("a",)), Dag("b1", ("b",)), Dag("none")
SHARED = Dag("shared", ("a", "b"))
PERSONAL = [Dag(f"a{number}", ("a", f"person-{number}")) for number in range(3)]


@pytest.mark.parametrize(
    ("dags", "expected"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([A1, A1, A1, B1], [0, 3, 1, 2], id="owners take turns"),
        pytest.param([A1, A1, A1, A2, B1], [0, 4, 3, 1, 2], id="an owner's DAGs take turns"),
        pytest.param([A1, A1, NONE], [0, 2, 1], id="no owner is like an owner"),
        pytest.param([B1, A1, B1, A1], [0, 1, 2, 3], id="a DAG keeps the order"),
        pytest.param([A1, A2, SHARED, B1], [0, 1, 3, 2], id="the latest turn of several owners"),
        pytest.param([A1, A1, SHARED, B1], [0, 2, 3, 1], id="an item uses a turn of each owner"),
        pytest.param([*PERSONAL, B1], [0, 3, 1, 2], id="other people as owners too"),
    ],
)
def test_owners_and_their_dags_take_turns(dags: list[Dag], expected: list[int]) -> None:
    assert [index for index, _ in in_turn(list(enumerate(dags)), lambda item: item[1])] == expected
