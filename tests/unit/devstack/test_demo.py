from __future__ import annotations

import pytest

from devstack import demo


def test_the_last_events_of_a_description_are_shown() -> None:
    description = "\n".join(
        [
            "Name:  digits-train",
            "Events:",
            "  Type    Reason",
            "  ----    ------",
            *(f"  Normal  E{n}" for n in range(20)),
        ]
    )
    assert demo.events_in(description, most=2) == [
        "  Type    Reason",
        "  ----    ------",
        "  Normal  E18",
        "  Normal  E19",
    ]


@pytest.mark.parametrize("description", ["", "Name: x\n", "Events:  <none>\n"], ids=["nothing", "no-heading", "none"])
def test_a_description_without_events_shows_nothing(description: str) -> None:
    assert demo.events_in(description) == []
