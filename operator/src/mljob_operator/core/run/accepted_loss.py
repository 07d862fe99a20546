"""The time with which an administrator accepts the loss of the runs that have vanished from an
Airflow. A missing run that was submitted before this time counts as deleted.

The time is a setting of the operator for the settings' Airflow, and an annotation of each
AirflowInstance. It must not lie in the future, because it would also accept the loss of runs that
nobody has submitted yet.
"""

from __future__ import annotations

from datetime import datetime

from ..frozen import frozen


@frozen
class AcceptedLoss:
    """The value of the annotation ``mljob.dev/accept-vanished-runs``.

    Attributes:
        before: Missing runs that were submitted before this time count as deleted. None if the
            annotation is absent or refused.
        problem: Why the value is refused, as the end of a sentence that begins with the value. None
            if the annotation is absent or in force.
    """

    before: datetime | None = None
    problem: str | None = None

    @classmethod
    def of(cls, value: str | None, now: datetime) -> AcceptedLoss:
        """Return the AcceptedLoss for a value of the annotation.

        Args:
            value: The value, such as 2026-01-31T12:00:00Z: a time of RFC 3339, or of another form
                that datetime.fromisoformat reads. None if the annotation is absent.
            now: The current time.
        """
        if value is None:
            return cls()
        try:
            # RFC 3339 allows lower-case letters, and fromisoformat doesn't.
            before = datetime.fromisoformat(value.upper())
        except ValueError:
            return cls(problem="is not a time")
        if before.tzinfo is None:
            return cls(problem="has no time zone")
        try:
            return cls(require_past(before, now))
        except ValueError as error:
            return cls(problem=str(error))


def require_past(before: datetime, now: datetime) -> datetime:
    """Return ``before`` if it does not lie after ``now``. Both times must have a time zone.

    Raises:
        ValueError: The time lies in the future.
    """
    if before > now:
        raise ValueError("lies in the future")
    return before
