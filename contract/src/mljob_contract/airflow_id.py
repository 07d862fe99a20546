r"""The ids that Airflow allows for DAGs and tasks: letters and digits of any script, ``_``, ``-``
and ``.``, at most 250 characters.

Source: ``KEY_REGEX`` and ``validate_key`` in ``airflow.sdk.definitions._internal.node`` (Airflow
3.3), ``^[\w.-]+$``. In Python ``\w`` matches the letters and digits of any script. The Kubernetes
API server evaluates patterns with Go's RE2, where ``\w`` is ASCII only. So the patterns in this
module use Unicode's classes of letters (L) and numbers (N). These classes mean the same in Go and
in Rust, whose regular expressions pydantic uses.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

MAX_ID_LENGTH = 250
"""The maximum length of an id in Airflow's database, in characters."""
ID_PATTERN = r"^[\p{L}\p{N}_.\-]+$"
"""The pattern that an id must match. It has the same meaning in Go and in pydantic."""
GLOB_PATTERN = r"^[\p{L}\p{N}_.\-*?\[\]!]+$"
"""The pattern that a glob of ids must match. It has the same meaning in Go and in pydantic."""

AirflowId = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH, pattern=ID_PATTERN)]
"""The id of a DAG, or of a task. The id of a task in a task group begins with the group's id
(``group.task``), unless the group has ``prefix_group_id=False``.
"""
