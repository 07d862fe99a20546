"""Outputs: what a run leaves behind that its owner wants to know: a model's path, its score, how many rows.

They travel as an XCom of a fixed key; the operator collects them from all tasks when the run has ended, and shows them in
the MLJob's ``.status.outputs``. They are for small values: data itself belongs in files or tables, and its address here.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from typing import Any

from mljob_airflow.compatibility import assert_supported, installed_version

assert_supported(installed_version())

log = logging.getLogger(__name__)

XCOM_KEY = "mljob_outputs"
MAX_BYTES = 8192
"""Of all outputs of one task as JSON: they have to fit in a Kubernetes object together with everything else."""


def publish_outputs(**outputs: Any) -> None:
    """Publish results of the running task, as they are to appear in the MLJob's ``.status.outputs``.

    Calling it again in the same task adds to what was published, the newer value of a name wins. Outside of an Airflow
    task it does nothing.

    Args:
        outputs: JSON values; paths and NumPy numbers are converted.

    Raises:
        TypeError: A value can't be written as JSON.
        ValueError: All values together are larger than 8 KiB, or a number is NaN or infinite.
    """
    values = as_json(outputs)
    try:
        from airflow.sdk import get_current_context

        ti = get_current_context()["ti"]
    except Exception:
        log.debug("Not in an Airflow task: outputs %s are not published.", sorted(values))
        return

    published = {**_published.get(str(ti.id), {}), **values}
    size = len(json.dumps(published))
    if size > MAX_BYTES:
        raise ValueError(f"outputs are {size} bytes as JSON; at most {MAX_BYTES} fit: publish addresses, not data")
    ti.xcom_push(key=XCOM_KEY, value=published)
    _published.clear()
    _published[str(ti.id)] = published


def as_json(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """The outputs as JSON values: paths as texts, NumPy's numbers as Python's.

    Raises:
        TypeError: A value can't be written as JSON.
        ValueError: A number is NaN or infinite.
    """
    values: dict[str, Any] = json.loads(json.dumps(outputs, default=_plain, allow_nan=False))
    return values


_published: dict[str, dict[str, Any]] = {}
"""What the task instance that runs in this process has published so far, by its id (a new one for each try)."""


def _plain(value: object) -> Any:
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    item = getattr(value, "item", None)
    if callable(item):
        # NumPy's scalars; an array of more than one element refuses, as it should.
        return item()
    raise TypeError(f"an output must be a JSON value, not {type(value).__name__}")
