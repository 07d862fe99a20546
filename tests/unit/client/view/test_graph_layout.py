from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from mljob.view.pages.graph_layout import BOX_HEIGHT, MAX_BOXES, Layout, layout

WIDTH = 120
TASKS = [f"task{number}" for number in range(12)]
EDGES = st.lists(st.tuples(st.sampled_from(TASKS), st.sampled_from([*TASKS, "unknown"])), max_size=40)


def drawn(edges: list[tuple[str, str]], *, is_vertical: bool = False) -> Layout:
    found = layout(TASKS, edges, WIDTH, is_vertical=is_vertical)
    assert found is not None
    return found


@given(EDGES, st.booleans())
def test_boxes_stay_in_the_picture_and_apart(edges: list[tuple[str, str]], is_vertical: bool) -> None:
    found = drawn(edges, is_vertical=is_vertical)

    assert sorted(box.id for box in found.tasks) == sorted(TASKS)
    for box in found.tasks:
        assert 0 <= box.x <= found.width - WIDTH
        assert 0 <= box.y <= found.height - BOX_HEIGHT
    for one in found.tasks:
        for other in found.tasks:
            is_apart = abs(one.x - other.x) >= WIDTH or abs(one.y - other.y) >= BOX_HEIGHT
            assert one is other or is_apart


@given(EDGES)
def test_edges_lead_to_the_right(edges: list[tuple[str, str]]) -> None:
    found = drawn(edges)
    x = {box.id: box.x for box in found.tasks}

    for start, end, path in found.paths:
        assert (start, end) in edges
        assert x[start] < x[end]
        numbers = [float(number) for number in re.findall(r"-?[0-9.]+", path)]
        assert (numbers[0], numbers[-2]) == (x[start] + WIDTH, x[end])


def test_every_edge_without_a_cycle_is_drawn() -> None:
    edges = [("task0", "task1"), ("task1", "task2"), ("task0", "task2"), ("task2", "task3")]

    assert {(start, end) for start, end, _ in drawn(edges).paths} == set(edges)


def test_cycle_is_broken_and_drawn() -> None:
    edges = [("task0", "task1"), ("task1", "task2"), ("task2", "task0"), ("task3", "task3")]

    assert {(start, end) for start, end, _ in drawn(edges).paths} == {("task0", "task1"), ("task1", "task2")}


def test_edge_over_several_layers_crosses_no_box() -> None:
    edges = [("task0", "task1"), ("task1", "task2"), ("task2", "task3"), ("task0", "task3")]
    found = layout(TASKS[:4], edges, WIDTH)
    assert found is not None
    path = next(path for start, end, path in found.paths if (start, end) == ("task0", "task3"))
    straight = {box.id: box.y + BOX_HEIGHT / 2 for box in found.tasks}

    bends = [float(y) for y in re.findall(r"L[0-9.]+,([0-9.]+)", path)]
    assert len(bends) == 2
    assert all(abs(y - straight[task]) > BOX_HEIGHT / 2 for y, task in zip(bends, ("task1", "task2"), strict=True))


def test_graph_that_is_too_large_is_not_drawn() -> None:
    names = [f"t{number}" for number in range(MAX_BOXES + 1)]

    assert layout(names, [], WIDTH) is None
    assert layout([], [], WIDTH) is None
    assert layout(names[:-1], [(a, b) for a in names for b in names if a < b], WIDTH) is None, "too many bends"


def test_graph_with_too_many_edges_is_not_drawn() -> None:
    first, last = [f"a{number}" for number in range(40)], [f"b{number}" for number in range(40)]

    assert layout([*first, *last], [(a, b) for a in first for b in last], WIDTH) is None
    assert layout([*first, *last], zip(first, last, strict=True), WIDTH) is not None
