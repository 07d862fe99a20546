"""Places the tasks of a DAG in layers, so that each task comes after its upstream tasks.

The layer of a task is the length of the longest path to the task. Within a layer, the mean position
of a task's neighbours decides the order, so that few edges cross (Sugiyama, Tagawa and Toda, 1981).
An edge that passes a layer has a free place in this layer, so that the edge crosses no box.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

BOX_HEIGHT: Final = 46
"""The height of a box, in pixels."""
GAP: Final = (38, 14)
"""Distance of boxes along the layers and across them, in pixels."""
LANE: Final = 12
"""Space that an edge takes where it passes a layer, in pixels."""
MAX_BOXES: Final = 120
"""The maximum number of boxes of a graph that is drawn. A larger DAG is a list of tasks."""
MAX_BENDS: Final = 2_000
MAX_EDGES: Final = 1_000
"""The maximum number of edges of a graph that is drawn. More edges hide each other."""
_SWEEPS: Final = 6


@dataclass(frozen=True, slots=True)
class PlacedTask:
    """The position of a task's box in a drawing: the upper left corner, in pixels."""

    id: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Layout:
    """A drawing of a graph.

    Attributes:
        paths: For each edge, the id of the upstream task, the id of the downstream task, and the
            SVG path.
    """

    tasks: tuple[PlacedTask, ...]
    paths: tuple[tuple[str, str, str], ...]
    width: float
    height: float
    box_width: int


def layout(
    ids: Sequence[str], edges: Iterable[tuple[str, str]], box_width: int, *, is_vertical: bool = False
) -> Layout | None:
    """Place the tasks of a graph, and return the :class:`Layout`. Return None if the graph has no
    tasks or is too large to draw.

    Args:
        ids: The ids of the tasks.
        edges: Pairs of upstream and downstream task. Edges of unknown tasks, and edges that close a
            cycle, are left out.
        box_width: The width of a box, in pixels.
        is_vertical: Whether the layers are placed from top to bottom. Default: from left to right.
    """
    if not 0 < len(ids) <= MAX_BOXES:
        return None
    known = set(ids)
    kept = _acyclic(ids, {pair for pair in edges if pair[0] in known and pair[1] in known and pair[0] != pair[1]})
    if len(kept) > MAX_EDGES:
        return None
    layer_of = _layers(ids, kept)
    if sum(layer_of[end] - layer_of[start] - 1 for start, end in kept) > MAX_BENDS:
        return None
    chains = {pair: _chain(pair, layer_of) for pair in sorted(kept)}
    layers = _ordered(_filled(ids, layer_of, chains), chains)
    return _draw(layers, chains, box_width, is_vertical)


def _acyclic(ids: Sequence[str], edges: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Return the edges without the edges that close a cycle."""
    after: dict[str, list[str]] = {task: [] for task in ids}
    for start, end in sorted(edges):
        after[start].append(end)
    kept: set[tuple[str, str]] = set()
    done: set[str] = set()
    for root in ids:
        path, stack = {root}, [(root, iter(after[root]))]
        while stack and root not in done:
            task, following = stack[-1]
            step = next(following, None)
            if step is None:
                stack.pop()
                path.discard(task)
                done.add(task)
            elif step not in path:
                kept.add((task, step))
                if step not in done:
                    path.add(step)
                    stack.append((step, iter(after[step])))
    return kept


def _layers(ids: Sequence[str], edges: set[tuple[str, str]]) -> dict[str, int]:
    before = dict.fromkeys(ids, 0)
    after: dict[str, list[str]] = {task: [] for task in ids}
    for start, end in edges:
        before[end] += 1
        after[start].append(end)
    layer_of = dict.fromkeys(ids, 0)
    ready = [task for task in ids if not before[task]]
    for task in ready:
        for following in after[task]:
            layer_of[following] = max(layer_of[following], layer_of[task] + 1)
            before[following] -= 1
            if not before[following]:
                ready.append(following)
    return layer_of


_Place = str | tuple[str, str, int]
"""An entry of a layer: a task, or the bend of an edge (its tasks and the layer)."""


def _chain(edge: tuple[str, str], layer_of: dict[str, int]) -> list[_Place]:
    start, end = edge
    return [start, *((start, end, layer) for layer in range(layer_of[start] + 1, layer_of[end])), end]


def _filled(
    ids: Sequence[str], layer_of: dict[str, int], chains: dict[tuple[str, str], list[_Place]]
) -> list[list[_Place]]:
    layers: list[list[_Place]] = [[] for _ in range(max(layer_of.values()) + 1)]
    for task in ids:
        layers[layer_of[task]].append(task)
    for chain in chains.values():
        for place in chain[1:-1]:
            layers[place[2]].append(place)  # type: ignore[index]  # a bend has its layer
    return layers


def _ordered(layers: list[list[_Place]], chains: dict[tuple[str, str], list[_Place]]) -> list[list[_Place]]:
    before: dict[_Place, list[_Place]] = {}
    after: dict[_Place, list[_Place]] = {}
    for chain in chains.values():
        for start, end in pairwise(chain):
            after.setdefault(start, []).append(end)
            before.setdefault(end, []).append(start)
    for sweep in range(_SWEEPS):
        neighbours, order = (before, layers[1:]) if sweep % 2 == 0 else (after, layers[-2::-1])
        position = {place: float(at) for layer in layers for at, place in enumerate(layer)}
        for layer in order:
            means = {place: _mean(neighbours.get(place, ()), position, position[place]) for place in layer}
            layer.sort(key=means.__getitem__)
            position.update((place, float(at)) for at, place in enumerate(layer))
    return layers


def _mean(places: Sequence[_Place], position: dict[_Place, float], otherwise: float) -> float:
    return sum(position[place] for place in places) / len(places) if places else otherwise


def _draw(
    layers: list[list[_Place]], chains: dict[tuple[str, str], list[_Place]], box_width: int, is_vertical: bool
) -> Layout:
    along, across = (BOX_HEIGHT, box_width) if is_vertical else (box_width, BOX_HEIGHT)
    gap_along, gap_across = (28, 12) if is_vertical else GAP
    extents = [sum(across if isinstance(place, str) else LANE for place in layer) for layer in layers]
    extents = [extent + gap_across * (len(layer) - 1) for extent, layer in zip(extents, layers, strict=True)]
    widest = max(extents)
    middle: dict[_Place, tuple[float, float]] = {}
    for number, (layer, extent) in enumerate(zip(layers, extents, strict=True)):
        offset = (widest - extent) / 2
        for place in layer:
            size = across if isinstance(place, str) else LANE
            middle[place] = (number * (along + gap_along), offset + size / 2)
            offset += size + gap_across
    tasks = tuple(
        PlacedTask(place, *_turned(at[0], at[1] - across / 2, is_vertical))
        for place, at in middle.items()
        if isinstance(place, str)
    )
    paths = tuple((*edge, _path(chain, middle, along, is_vertical)) for edge, chain in chains.items())
    length = len(layers) * (along + gap_along) - gap_along
    width, height = _turned(length, widest, is_vertical)
    return Layout(tasks, paths, width, height, box_width)


def _turned(along: float, across: float, is_vertical: bool) -> tuple[float, float]:
    return (across, along) if is_vertical else (along, across)


def _path(chain: list[_Place], middle: dict[_Place, tuple[float, float]], along: float, is_vertical: bool) -> str:
    """Return the SVG path of an edge, from the upstream task's box to the downstream task's box."""

    def point(at: float, across: float) -> str:
        x, y = _turned(at, across, is_vertical)
        return f"{x:g},{y:g}"

    begin, across = middle[chain[0]]
    at = begin + along
    parts = [f"M{point(at, across)}"]
    for place in chain[1:]:
        to, to_across = middle[place]
        half = (at + to) / 2
        parts.append(f"C{point(half, across)} {point(half, to_across)} {point(to, to_across)}")
        at, across = to, to_across
        if not isinstance(place, str):
            at = to + along
            parts.append(f"L{point(at, across)}")
    return "".join(parts)
