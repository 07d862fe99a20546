"""The outputs of a run, and the choice of the outputs that fit into the status of an MLJob."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from mljob_contract.mljob import OutputSource

from ..frozen import frozen
from ..text.storable import cut, storable, stored_size, whole

MAX_OUTPUTS_BYTES = 16 * 1024
MAX_OMITTED = 32
MAX_NAME_LENGTH = 100
"""The maximum length of an entry of ``Outputs.omitted``, in characters. An entry has the name of an
output, and in some cases also why the output is omitted.
"""

ALL_OUTPUTS = "all outputs"
"""The name in an entry of ``Outputs.omitted`` that stands for everything that the run published."""
RUN_DELETED = f"{ALL_OUTPUTS} (the run was deleted in Airflow before they were read)"
"""The entry of ``Outputs.omitted`` if Airflow does not have the successful run any more."""
NOT_HELD = f"{ALL_OUTPUTS} (the finalizer was removed before they were read)"
"""The entry of ``Outputs.omitted`` if somebody other than the operator removed the finalizer."""


@frozen
class Outputs:
    """The outputs that were read from Airflow, or the outputs for ``status.outputs``.

    Attributes:
        values: The outputs by name. In a status, at most 16 KiB of JSON.
        omitted: Entries about outputs that are missing in ``values``. An entry names an output or
            an XCom, in some cases with the reason in parentheses. A status has at most 32
            entries. If there are more, entry 32 gives the number of the entries that are left out.
    """

    values: Mapping[str, Any]
    omitted: tuple[str, ...] = ()


def without_task(sources: Iterable[OutputSource], read: Outputs, tasks: Collection[str]) -> list[str]:
    """Return entries for :attr:`Outputs.omitted`: one for each output in ``spec.outputs`` that was
    not read and whose task the run does not have.

    Args:
        sources: The entries of ``spec.outputs``.
        read: The outputs that were read from Airflow.
        tasks: The ids of all tasks of the run.
    """
    return [
        f"{source.name} (the run has no task {source.task_id})"
        for source in sources
        if source.task_id not in tasks and source.name not in read.values
    ]


def may_be_deleted(sources: Iterable[OutputSource], read: Outputs) -> bool:
    """Return whether somebody may have deleted the run while the operator read the outputs. For a
    deleted run, Airflow returns the same answer as for a run without XComs.

    The result is True in each of these cases:

    - No output was read.
    - An output in ``spec.outputs`` was not read.
    - ``read.omitted`` is not empty.

    Args:
        sources: The entries of ``spec.outputs``.
        read: The outputs that were read from Airflow.
    """
    return not read.values or bool(read.omitted) or any(source.name not in read.values for source in sources)


def bounded(outputs: Mapping[str, Any], too_large: Iterable[str] = ()) -> Outputs:
    """Return :class:`Outputs` for a status. ``values`` has the smallest outputs, as many as fit
    into 16 KiB of JSON. ``values`` has the same order as ``outputs``. ``omitted`` names the other
    outputs. An output whose value is null is neither in ``values`` nor in ``omitted``.

    Args:
        outputs: The outputs by name.
        too_large: More entries for ``omitted``, about outputs that are not in ``outputs``.
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
