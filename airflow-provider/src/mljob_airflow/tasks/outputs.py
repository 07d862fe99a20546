"""Outputs: what a run leaves behind that its owner wants to know: a model's path, its score, how many rows.

They travel as an XCom of a fixed key; the operator collects them from all tasks when the run has ended, and shows them in
the MLJob's ``.status.outputs``. They are for small values: data itself belongs in files or tables, and its address here.

A value that can't be published is left out: the log warns, and the XCom names it under a reserved key, which the operator shows in
``.status.outputsOmitted``. It never fails the task, whose work is done by then.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mljob_airflow.compatibility import assert_supported, installed_version
from mljob_airflow.tasks import omissions

assert_supported(installed_version())

log = logging.getLogger(__name__)

XCOM_KEY = "mljob_outputs"
OMITTED_KEY = "mljob_outputs_omitted"
"""Within the XCom: the list of the names of what is left out. No output can have this name."""
MAX_BYTES = 8192
"""Of all outputs of one task as JSON: they have to fit in a Kubernetes object together with everything else."""
MAX_OMITTED = 100
"""Names of outputs that are left out. The status has 32."""
MAX_NAME_LENGTH = 63
"""Characters of such a name, as the status has them."""
MAX_LEVELS = 32
"""Of lists and objects within each other, as the status has them."""

_RESERVED = frozenset({"__classname__", "__id__"})
"""Keys by which Airflow's serialisation tells its own objects; it refuses an XCom that has one."""


@dataclass
class _Published:
    """What a task instance has published so far."""

    values: dict[str, Any] = field(default_factory=dict)
    omitted: list[str] = field(default_factory=list)


def publish_outputs(**outputs: Any) -> None:
    """Publish results of the running task, as they are to appear in the MLJob's ``.status.outputs``.

    Calling it again in the same task adds to what was published, the newer value of a name wins. Outside of an Airflow
    task it publishes nothing.

    It never raises. What can't be published is left out, with a warning in the task's log, and named in the MLJob's
    ``.status.outputsOmitted``; the other outputs are published:

    - a value that is not JSON, such as an array, or has NaN, an infinity or a whole number of more than 64 bits in it;
    - the largest values, where all outputs of the task together are more than 8,192 bytes as JSON.

    Args:
        outputs: JSON values; paths and NumPy numbers are converted.
    """
    values, refused = as_json(outputs)
    for name, why in refused.items():
        omissions.warn(_named(name), why)
    try:
        from airflow.sdk import get_current_context

        ti = get_current_context()["ti"]
    except Exception:
        log.debug("Not in an Airflow task: outputs %s are not published.", sorted(values))
        return
    try:
        _publish(ti, values, list(refused))
    except Exception as error:
        omissions.warn(
            f"publish_outputs(): all of {omissions.shown(sorted(values))}", f"{type(error).__name__}: {error}"
        )


def as_json(outputs: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The outputs as JSON values, paths as texts and NumPy's numbers as Python's; and why each of the others can't be published, by name."""
    values: dict[str, Any] = {}
    refused: dict[str, str] = {}
    for name, value in outputs.items():
        if name == OMITTED_KEY:
            refused[name] = "the name is reserved: publish it under another"
            continue
        try:
            plain = json.loads(json.dumps(value, default=_plain, allow_nan=False))
            _check({name: plain})
        except RecursionError:
            refused[name] = f"it has more than {MAX_LEVELS} levels"
        except Exception as error:
            refused[name] = str(error) or type(error).__name__
        else:
            values[name] = plain
    return values, refused


def _publish(ti: Any, values: Mapping[str, Any], refused: list[str]) -> None:
    before = _published.get(str(ti.id), _Published())
    merged = {name: value for name, value in {**before.values, **values}.items() if name not in refused}
    fitting = _fitting(merged)
    too_much = [name for name in merged if name not in fitting]
    for name in too_much:
        size = len(json.dumps(merged[name]))
        omissions.warn(
            _named(name),
            f"it has {size} bytes as JSON, and all outputs of a task together may have {MAX_BYTES}: publish the path of a file with the data",
        )
    omitted = [name for name in dict.fromkeys((*before.omitted, *refused, *too_much)) if name not in fitting]
    _published.clear()
    _published[str(ti.id)] = _Published(fitting, omitted)
    named = [_name(name) for name in omitted[:MAX_OMITTED]]
    ti.xcom_push(key=XCOM_KEY, value={**fitting, OMITTED_KEY: named} if named else fitting)


def _fitting(values: Mapping[str, Any]) -> dict[str, Any]:
    """As many as fit, small ones first: a model's weights do not push out its score."""
    # With the colon, the comma and the braces that it takes among the others.
    sizes = {name: len(json.dumps({name: value})) for name, value in values.items()}
    room, kept = MAX_BYTES, set()
    for name in sorted(sizes, key=lambda name: sizes[name]):
        room -= sizes[name]
        if room < 0:
            break
        kept.add(name)
    return {name: value for name, value in values.items() if name in kept}


_published: dict[str, _Published] = {}
"""Of the task instance that runs in this process, by its id (a new one for each try)."""


def _plain(value: object) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    item = getattr(value, "item", None)
    if callable(item):
        # NumPy's scalars; an array of more than one element refuses, as it should.
        try:
            return item()
        except Exception:
            log.debug("%s has no single item.", omissions.kind(value))
    raise TypeError(
        f"{omissions.kind(value)} is no JSON value: publish the path of a file with the data, or plain numbers"
    )


def _check(value: Any, level: int = 0) -> None:
    """Refuse what is JSON to Python, and can't be stored as an XCom or in the status.

    Raises:
        ValueError: Why.
    """
    if level > MAX_LEVELS:
        raise ValueError(f"it has more than {MAX_LEVELS} levels")
    match value:
        case dict():
            if found := _RESERVED & value.keys():
                raise ValueError(f"Airflow reserves the key {min(found)}")
            for key, child in value.items():
                _check(key)
                _check(child, level + 1)
        case list():
            for child in value:
                _check(child, level + 1)
        case str():
            if not value.isascii():
                _encode(value)
        case int() if not -(2**63) <= value < 2**63:
            raise ValueError("it has a whole number of more than 64 bits: publish it as a text")


def _encode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("it has a text that is not Unicode (half of a surrogate pair)") from None


def _named(name: str) -> str:
    return f"publish_outputs(): {omissions.shown(name)}"


def _name(name: str) -> str:
    """A name as it can be stored, whatever it is."""
    return name.encode("utf-8", "replace").decode()[:MAX_NAME_LENGTH]
