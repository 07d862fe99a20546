"""Kubernetes Events on the pages of the view."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from mljob.view.pages.occurrences import MAX_EVENTS, event_of, newest


def event(name: str, at: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "involvedObject": {"uid": "u"}, "reason": name, "lastTimestamp": at, **more}


def test_newest_events_are_shown_however_many_there_are() -> None:
    flood = [event_of(event(f"old-{number}", "2026-01-01T00:00:00Z")) for number in range(2_000)]

    shown = newest([*flood, event_of(event("new", "2026-01-02T00:00:00Z"))])

    assert shown[0].name == "new"
    assert len(shown) == MAX_EVENTS


def test_only_what_is_shown_of_an_event_is_kept() -> None:
    kept = event_of(event("n", "2026-01-01T00:00:00Z", message="x" * 1_000_000, action="y" * 1_000_000))

    assert sys.getsizeof(kept.shown.message) < 8_000
    assert (kept.name, kept.uid, kept.shown.name) == ("n", "u", "n")


@pytest.mark.parametrize("odd", [None, 1, [], "text"])
def test_odd_event_is_no_error(odd: Any) -> None:
    assert event_of({"metadata": odd, "involvedObject": odd, "series": odd, "count": odd}).uid == ""
