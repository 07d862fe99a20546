"""The order in which a cancellation sets the tasks of a run to failed."""

from __future__ import annotations

from mljob_operator.core.run.task_order import upstream_first

DIAMOND = {"start": ["left", "right"], "left": ["end"], "right": ["between"], "between": ["end"], "end": []}


def test_each_group_is_upstream_of_the_next() -> None:
    instances = [(task_id, -1) for task_id in ("end", "left", "between", "right", "start")]

    assert upstream_first(instances, DIAMOND) == [
        [("start", -1)],
        [("left", -1), ("right", -1)],
        [("between", -1)],
        [("end", -1)],
    ]


def test_mapped_instances_of_a_task_go_together() -> None:
    assert upstream_first([("end", -1), ("left", 1), ("left", 0)], DIAMOND) == [
        [("left", 0), ("left", 1)],
        [("end", -1)],
    ]


def test_tasks_that_the_dag_does_not_have_come_last() -> None:
    assert upstream_first([("removed", -1), ("end", -1)], DIAMOND) == [[("end", -1)], [("removed", -1)]]


def test_without_the_dag_all_tasks_are_one_group() -> None:
    assert upstream_first([("b", -1), ("a", -1)], {}) == [[("a", -1), ("b", -1)]]


def test_a_cyclic_graph_is_one_group() -> None:
    assert upstream_first([("b", -1), ("a", -1)], {"a": ["b"], "b": ["a"]}) == [[("a", -1), ("b", -1)]]
