"""The versions of Airflow that both sides work with. What differs between them is each side's own matter."""

from __future__ import annotations

import re

Version = tuple[int, int]
"""Major and minor."""

OLDEST: Version = (3, 1)
NEWEST: Version = (3, 3)
"""The newest that was tested. A newer one is used as if it were this one."""
SUPPORTED = f"Airflow {OLDEST[0]}.{OLDEST[1]} to {NEWEST[0]}.{NEWEST[1]}"
"""For sentences."""


def version_number(version: str) -> Version | None:
    """The first two numbers of a version, as ``3.1.0rc1``; None where it does not begin with them."""
    found = re.match(r"(\d+)\.(\d+)", version)
    return (int(found[1]), int(found[2])) if found is not None else None
