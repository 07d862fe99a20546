"""Credentials that the Kubernetes API refuses: a moment is nothing, and for good is said and makes
the operator end.
"""

from __future__ import annotations

import logging

import pytest

from mljob_operator.adapters.authentication import PATIENCE, TOLD_AFTER, Authentication


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authentication(clock: Clock) -> Authentication:
    return Authentication("Check the ServiceAccount", clock)


def test_refused_for_good_the_credentials_are_lost_and_the_log_says_once_what_to_check(
    authentication: Authentication, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(int(PATIENCE)):
        assert not authentication.lost
        authentication.answered(401)
        clock.now += 1
    assert authentication.lost
    (told,) = caplog.records
    assert told.levelno == logging.ERROR
    assert "does not accept the operator's credentials" in told.getMessage()
    assert "Check the ServiceAccount. After 120 s of refusals /livez answers 503" in told.getMessage()


def test_a_token_that_is_renewed_in_time_is_no_news(
    authentication: Authentication, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(int(PATIENCE)):
        authentication.answered(401)
        clock.now += TOLD_AFTER - 1
        authentication.answered(200)
    assert not authentication.lost
    assert not caplog.records


@pytest.mark.parametrize("status", [200, 403, 404, 500])
def test_whatever_else_is_answered_the_credentials_count(
    authentication: Authentication, clock: Clock, status: int
) -> None:
    authentication.answered(401)
    clock.now += PATIENCE
    assert authentication.lost
    authentication.answered(status)
    assert not authentication.lost
