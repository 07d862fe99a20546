"""A run's outputs: as they were read, and as the status holds them, as many as fit and the names of those that don't."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..text.storable import cut, storable, stored_size, whole

MAX_OUTPUTS_BYTES = 16 * 1024
MAX_OMITTED = 32
MAX_NAME_LENGTH = 100
"""Characters of the name of an output that is left out, and of the reason behind it."""


@dataclass(frozen=True, slots=True)
class Outputs:
    """What was read of a run's outputs, or what goes into ``status.outputs``.

    Attributes:
        values: By name; in a status at most 16 KiB of JSON.
        omitted: Names of those that are left out because they are too large or were not published; in a status where they are more than 32, the last says how many more.
    """

    values: Mapping[str, Any]
    omitted: tuple[str, ...] = ()


def bounded(outputs: Mapping[str, Any], too_large: Iterable[str] = ()) -> Outputs:
    """As many outputs as fit, small ones first: one that is large, a model's weights, does not push out a score.

    Args:
        outputs: By name.
        too_large: Names of those that were not even read, or not published.
    """
    sized: list[tuple[int, str, Any]] = []
    omitted = [whole(name) for name in too_large]
    for name, value in ((whole(name), value) for name, value in outputs.items()):
        try:
            kept = storable(value)
        except ValueError:
            omitted.append(name)
            continue
        if kept is not None:
            sized.append((stored_size({name: kept}), name, kept))
    room, values = MAX_OUTPUTS_BYTES, {}
    for size, name, kept in sorted(sized, key=lambda entry: entry[:2]):
        room -= size
        if room >= 0:
            values[name] = kept
        else:
            omitted.append(name)
    named = [cut(name, MAX_NAME_LENGTH) for name in sorted(omitted)]
    if len(named) > MAX_OMITTED:
        named = [*named[: MAX_OMITTED - 1], f"... and {len(named) - MAX_OMITTED + 1} more"]
    return Outputs(
        {name: values[name] for name in map(whole, outputs) if name in values},
        tuple(named),
    )
