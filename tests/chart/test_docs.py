"""The chart accepts the Helm options and the YAML values in the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests import libyaml
from tests.chart.conftest import Render
from tests.chart.rendering import CHART
from tests.page_runners import Runner, lines_of
from tests.pages import PAGES, blocks, commands_in

KEYS = libyaml.load((CHART / "values.yaml").read_text()).keys()


def installations() -> list[Any]:
    return [
        pytest.param(words, id=f"{block.where}: helm {words[1]}")
        for _, block, line in lines_of(Runner.CHART)
        for words in commands_in(line)
    ]


def files_of_values() -> list[Any]:
    documents = [
        (block.where, libyaml.load(block.text))
        for page in PAGES
        for block in blocks(page, "yaml")
        if "\n---" not in block.text
    ]
    return [
        pytest.param(values, id=where)
        for where, values in documents
        if values.keys() <= KEYS and not values.keys() <= {"spec", "status"}
    ]


@pytest.mark.parametrize("words", installations())
def test_a_documented_installation_renders(words: Sequence[str], render: Render) -> None:
    options = [
        f"{name}={value}"
        for name, value in zip(words, [*words[1:], ""], strict=True)
        if name in ("--set", "--values")
        # The shell replaces this part with the current time.
        if "$(" not in value
    ]

    assert render(options=tuple(_from_root(option) for option in options)).all("Deployment")


def _from_root(option: str) -> str:
    name, _, value = option.partition("=")
    return f"{name}={Path(CHART.parents[1], value)}" if name == "--values" else option


@pytest.mark.parametrize("values", files_of_values())
def test_documented_values_render(values: dict[str, Any], render: Render) -> None:
    assert render(values).all("Deployment")
