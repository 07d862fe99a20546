from __future__ import annotations

from contextlib import ExitStack, suppress

import pytest

from mljob_operator.api.errors import Refusal
from mljob_operator.api.request_limits import RequestLimits


def fill(limits: RequestLimits, taken: ExitStack, namespace: str) -> int:
    """Open requests for a namespace, each of another user, until one is refused. Return the number
    of open requests.
    """
    before = limits.open
    with suppress(Refusal):
        for number in range(1000):
            taken.enter_context(limits.admit(f"system:serviceaccount:{namespace}:{number}", namespace))
    with pytest.raises(Refusal, match=f"For MLJobs of namespace {namespace}"), limits.admit("eve", namespace):
        pass
    return limits.open - before


def test_users_of_some_namespaces_leave_requests_to_others() -> None:
    limits = RequestLimits(200)
    with ExitStack() as taken:
        assert [fill(limits, taken, namespace) for namespace in ("team-a", "team-b", "team-c")] == [100, 50, 25]
        with limits.admit("bob", "team-d"):
            assert limits.open == 176
    assert limits.open == 0
    with ExitStack() as taken:
        assert fill(limits, taken, "team-b") == 100


def test_one_user_has_a_quarter_in_all_namespaces_together() -> None:
    limits = RequestLimits(8, "readers of events")
    with limits.admit("ada", "team-a"), limits.admit("ada", "team-b"):
        with pytest.raises(Refusal, match="You have 2 readers of events open"), limits.admit("ada", "team-c"):
            pass
        with limits.admit("bob", "team-c"):
            pass


def test_all_users_together_are_limited() -> None:
    limits = RequestLimits(1)
    with (
        limits.admit("ada", "team-a"),
        pytest.raises(Refusal, match="mljob-api has 1 requests open"),
        limits.admit("bob", "team-b"),
    ):
        pass
