from __future__ import annotations

import re

import pytest
import yaml

from devstack import demo
from devstack.bootstrap import ROOT


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


def test_each_manifest_of_the_next_steps_starts_another_job_than_the_demo() -> None:
    files = re.findall(r"kubectl apply -f (\S+)", demo._next_steps(".dev/env"))
    names = [yaml.safe_load((ROOT / file).read_text())["metadata"]["name"] for file in files]
    assert names
    assert "digits-train" not in names
