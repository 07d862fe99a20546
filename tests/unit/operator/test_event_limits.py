"""Events that wait are limited, and no namespace leaves out the Events of another."""

from __future__ import annotations

import pytest

from mljob_operator.controllers.mljob import event_limits
from mljob_operator.controllers.mljob.event_limits import EventLimits
from mljob_operator.core.status.events import NORMAL, WARNING, KubeEvent


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> EventLimits:
    monkeypatch.setattr(event_limits, "MAX_EVENTS_OF_NAMESPACE", 20)
    monkeypatch.setattr(event_limits, "MAX_EVENTS", 60)
    return EventLimits()


def begin(limits: EventLimits, namespace: str, number: int = 100, kind: str = NORMAL) -> int:
    """Begin a number of Events, and return how many were not left out."""
    return sum(limits.begin(namespace, KubeEvent(kind, "Failed", "")) for _ in range(number))


def test_namespace_has_a_limit_and_twice_the_limit_for_warnings(limits: EventLimits) -> None:
    assert (begin(limits, "a"), begin(limits, "a", kind=WARNING)) == (20, 20)
    assert (begin(limits, "b", kind=WARNING), begin(limits, "b")) == (40, 0)


def test_recorded_event_makes_room(limits: EventLimits) -> None:
    begin(limits, "a")
    for _ in range(5):
        limits.end("a")
    assert begin(limits, "a") == 5


@pytest.mark.parametrize("kind", [NORMAL, WARNING])
def test_warnings_of_many_namespaces_leave_an_equal_part_to_each_other_namespace(
    limits: EventLimits, kind: str
) -> None:
    for number in range(5):
        begin(limits, f"a{number}", kind=WARNING)
    assert begin(limits, "b", 10, kind) == 10
    assert begin(limits, "a0", kind=WARNING) == 0


def test_namespaces_beyond_an_equal_part_get_no_room_while_too_many_events_wait(limits: EventLimits) -> None:
    assert [begin(limits, name) for name in "abcd"] == [20, 20, 20, 15]
    limits.end("a")
    assert (begin(limits, "a"), begin(limits, "d")) == (0, 0)
    for _ in range(15):
        limits.end("b")
    assert begin(limits, "a", 1) == 1


def test_first_event_of_a_namespace_is_never_left_out(limits: EventLimits) -> None:
    assert [begin(limits, f"a{number}") for number in range(100)][60:] == [1] * 40
