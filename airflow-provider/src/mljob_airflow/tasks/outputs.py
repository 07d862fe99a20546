"""Publishes the outputs of a run: small results such as the path of a model, a score, or a number
of rows.

The outputs of a task are one XCom, a JSON object with the outputs by name. After the end of the
run, the operator writes the outputs of all tasks into ``.status.outputs`` of the MLJob, as far as
they fit into 16 KiB. A reserved field of the JSON object lists the names of the outputs that can't
be published. The operator writes these names into ``.status.outputsOmitted``.

A failure to publish never fails the task, because the task may already have done its work. A call in
a process that the task has forked is a mistake in the code, and raises an error.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mljob_airflow import supervisor
from mljob_airflow.compatibility import assert_supported, installed_version
from mljob_airflow.tasks import omissions
from mljob_airflow.tasks.names import status_name

assert_supported(installed_version())

log = logging.getLogger(__name__)

XCOM_KEY = "mljob_outputs"
OMITTED_KEY = "mljob_outputs_omitted"
"""The key within the XCom under which the names of omitted outputs are listed. No output can have
this name.
"""
MAX_BYTES = 8192
"""The maximum number of bytes of all outputs of a task as JSON. The status must hold the outputs of
all tasks."""
MAX_OMITTED = 100
"""The maximum number of names of omitted outputs in the XCom. The status lists at most 32 names."""
MAX_LEVELS = 32
"""The maximum number of levels of nested lists and objects, as in the status."""

_RESERVED = frozenset({"__classname__", "__id__"})
"""The keys by which Airflow's serialisation recognises its own objects. Airflow refuses an XCom
with such a key."""


@dataclass
class _Published:
    values: dict[str, Any] = field(default_factory=dict)
    omitted: list[str] = field(default_factory=list)


def publish_outputs(**outputs: Any) -> None:
    """Publish results of the running task in the MLJob's ``.status.outputs``.

    A second call in the same task adds outputs, and replaces outputs that have the same name.
    Outside of an Airflow task, the function publishes nothing.

    Outputs that can't be published are left out, and raise no exception.
    ``.status.outputsOmitted`` has at most 32 of their names. The task's log has at most 50 warnings
    about them. Further messages about them have the level DEBUG. These outputs can't be published:

    - a value that can't become JSON, such as a NumPy array with several elements;
    - a value that contains NaN, an infinity or an integer outside of the range of int64;
    - a value with more than 32 levels, with a key that Airflow reserves, or with a string that is
      not valid Unicode;
    - an output with the reserved name ``mljob_outputs_omitted``;
    - the largest values, if all outputs of the task together are more than 8,192 bytes as JSON.

    Args:
        outputs: JSON values by name. Paths become strings, and NumPy numbers become Python numbers.

    Raises:
        RuntimeError: The task has forked this process, for example as a worker of
            ``multiprocessing``. Such a process can't push an XCom (:mod:`mljob_airflow.supervisor`).
    """
    if supervisor.is_inherited():
        raise RuntimeError(
            "publish_outputs() was called in a process that the task has forked: return the values to the task's own "
            "process, and publish them there"
        )
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
    """Convert outputs to JSON values, see :func:`publish_outputs`.

    Returns:
        Two dicts by name: the JSON values, and the reasons why the other outputs can't be
            published.
    """
    values: dict[str, Any] = {}
    refused: dict[str, str] = {}
    for name, value in outputs.items():
        if name == OMITTED_KEY:
            refused[name] = "the name is reserved: choose another name"
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
            f"it has {size} bytes as JSON, and all outputs of a task together may have {MAX_BYTES}: write the data to a file, and publish its path",
        )
    omitted = [name for name in dict.fromkeys((*before.omitted, *refused, *too_much)) if name not in fitting]
    _published.clear()
    _published[str(ti.id)] = _Published(fitting, omitted)
    named = [status_name(name) for name in omitted[:MAX_OMITTED]]
    ti.xcom_push(key=XCOM_KEY, value={**fitting, OMITTED_KEY: named} if named else fitting)


def _fitting(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the smallest values that fit into ``MAX_BYTES`` of JSON together. So a large value,
    such as the weights of a model, does not displace a score.
    """
    # Each size includes two braces. In the object with all values there are no such braces, but a
    # comma and a space instead, which are as long.
    sizes = {name: len(json.dumps({name: value})) for name, value in values.items()}
    room, kept = MAX_BYTES, set()
    for name in sorted(sizes, key=lambda name: sizes[name]):
        room -= sizes[name]
        if room < 0:
            break
        kept.add(name)
    return {name: value for name, value in values.items() if name in kept}


_published: dict[str, _Published] = {}
"""The outputs that the task instance of this process has published, by the task instance's id. Each
try has a new id."""


def _plain(value: object) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    item = getattr(value, "item", None)
    if callable(item):
        # item() converts NumPy's scalars to Python numbers. For an array of more than one element,
        # item() raises an exception.
        try:
            return item()
        except Exception:
            log.debug("%s has no single item.", omissions.kind(value))
    raise TypeError(
        f"{omissions.kind(value)} is not a JSON value: publish plain numbers, or write the data to a file and publish its path"
    )


def _check(value: Any, level: int = 0) -> None:
    """Raise a ``ValueError`` if an XCom or the status of an MLJob can't store the JSON value."""
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
            raise ValueError("it has an integer outside of -2^63 to 2^63-1: publish it as a string")


def _encode(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("it has a string that is not valid Unicode (half of a surrogate pair)") from None


def _named(name: str) -> str:
    return f"publish_outputs(): {omissions.shown(name)}"
