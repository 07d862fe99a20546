from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mljob_operator.core.run.accepted_loss import AcceptedLoss

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "value",
    [
        "2026-01-31T12:00:00Z",
        "2026-01-31t12:00:00z",
        "2026-01-31 12:00:00Z",
        "2026-01-31T12:00:00.000000000Z",
        "2026-01-31T13:00:00+01:00",
        "2026-01-31T12:00:00-00:00",
    ],
)
def test_times_of_rfc_3339_are_accepted(value: str) -> None:
    assert AcceptedLoss.of(value, NOON) == AcceptedLoss(before=NOON)
