"""The versions of Airflow that the operator and the provider support. The code for the differences
between these versions is in the operator and in the provider.
"""

from __future__ import annotations

import re

Version = tuple[int, int]
"""A version of Airflow, as major and minor number."""

OLDEST: Version = (3, 1)
"""The oldest supported version. The operator and the provider refuse an older Airflow."""
NEWEST: Version = (3, 3)
"""The newest tested version. A newer Airflow is treated like this version."""
SUPPORTED = f"Airflow {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"
"""The supported versions, as text for people."""


def version_number(version: str) -> Version | None:
    """Return the major and minor number of a version such as ``3.1.0rc1``, or None if the text does
    not begin with two numbers and a dot between them.
    """
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found is not None else None
