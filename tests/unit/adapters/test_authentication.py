"""What the operator does if the Kubernetes API refuses the operator's credentials."""

from __future__ import annotations

import logging

import pytest

from mljob_operator.adapters.authentication import LOGGED_AFTER, RESTART_AFTER, Authentication


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


def test_credentials_count_as_lost_after_a_lasting_refusal_that_is_logged_once(
    authentication: Authentication, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(int(RESTART_AFTER)):
        assert not authentication.must_restart
        authentication.answered(401)
        clock.now += 1
    assert authentication.must_restart
    (told,) = caplog.records
    assert told.levelno == logging.ERROR
    assert "does not accept the operator's credentials" in told.getMessage()
    assert "Check the ServiceAccount. After 120 s of refusals /livez answers 503" in told.getMessage()


def test_short_refusals_until_a_token_is_renewed_are_ignored(
    authentication: Authentication, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(int(RESTART_AFTER)):
        authentication.answered(401)
        clock.now += LOGGED_AFTER - 1
        authentication.answered(200)
    assert not authentication.must_restart
    assert not caplog.records


@pytest.mark.parametrize("status", [200, 403, 404, 500])
def test_other_answers_prove_that_the_credentials_are_valid(
    authentication: Authentication, clock: Clock, status: int
) -> None:
    authentication.answered(401)
    clock.now += RESTART_AFTER
    assert authentication.must_restart
    authentication.answered(status)
    assert not authentication.must_restart
