"""Cuts times to whole seconds, the precision of times in Kubernetes objects."""

from __future__ import annotations

from datetime import datetime


def whole_seconds(at: datetime | None) -> datetime | None:
    """Return the time without microseconds (see ``metav1.Time`` of Kubernetes). Return None for
    None.
    """
    return at.replace(microsecond=0) if at else None
