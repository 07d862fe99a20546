"""Orders the candidates for a limited number of places, so that one owner with many problems does
not take the places of all other owners.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import TypeVar

from mljob_airflow.monitoring.observations import Dag

Item = TypeVar("Item")


def in_turn(items: Iterable[Item], dag_of: Callable[[Item], Dag]) -> list[Item]:
    """Return the items so that the owners take turns, and within an owner the owner's DAGs.

    The first turn has the first item of each owner, the second turn has the second item, and so on.
    An item with several owners has its place in the latest turn of its owners, and uses a turn of
    each. So an owner does not get more places by naming other people as owners too. The items
    without an owner take turns as if they had an owner of their own. The items of a DAG keep their
    order.

    Args:
        items: The items, the most important first.
        dag_of: Returns the DAG that an item is about. Only the DAG's id and owners are used.
    """
    by_dag = _in_turn(items, lambda item: (dag_of(item).dag_id,))
    return _in_turn(by_dag, lambda item: dag_of(item).owners or ("",))


def _in_turn(items: Iterable[Item], groups_of: Callable[[Item], Collection[str]]) -> list[Item]:
    taken: Counter[str] = Counter()
    turns: list[tuple[int, Item]] = []
    for item in items:
        groups = groups_of(item)
        turns.append((max(taken[group] for group in groups), item))
        taken.update(groups)
    return [item for _, item in sorted(turns, key=lambda turn: turn[0])]
