r"""Ids of DAGs and tasks, as Airflow allows them: letters and digits of any script, ``_``, ``-`` and ``.``, at most 250 characters.

Source: ``KEY_REGEX`` and ``validate_key`` in ``airflow.sdk.definitions._internal.node`` (Airflow 3.3): ``^[\w.-]+$`` in Python, where ``\w`` is
Unicode's. The Kubernetes API server checks patterns with Go's RE2, where ``\w`` is ASCII's; Unicode's classes of letters (L) and numbers (N) are what
Python means. Pydantic's regular expressions are Rust's, which know the same classes.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

MAX_ID_LENGTH = 250
"""Characters of an id in Airflow."""
ID_PATTERN = r"^[\p{L}\p{N}_.\-]+$"
"""Of an id, for Go and for pydantic."""
GLOB_PATTERN = r"^[\p{L}\p{N}_.\-*?\[\]!]+$"
"""Of a glob of ids, likewise."""

AirflowId = Annotated[str, Field(min_length=1, max_length=MAX_ID_LENGTH, pattern=ID_PATTERN)]
"""The id of a DAG, or of a task with the ids of its task groups before it."""
