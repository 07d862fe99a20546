"""docs/monitoring.md and the provider's README agree with the code."""

from __future__ import annotations

import re
from pathlib import Path

from mljob_airflow.monitoring.thresholds import Thresholds
from mljob_airflow.provider_info import get_provider_info
from mljob_contract.reports import Finding, FindingKind, MonitoringReport, Severity

ROOT = Path(__file__).resolve().parents[4]
PAGE = (ROOT / "docs" / "monitoring.md").read_text()
README = (ROOT / "airflow-provider" / "README.md").read_text()


def rows(text: str) -> dict[str, str]:
    """Return the cells in the second column of all tables in ``text``, by the names in backticks in
    the first column.
    """
    found: dict[str, str] = {}
    for first, second in re.findall(r"^ *\| (`[^|]+) \| ([^|]*)\|", text, re.MULTILINE):
        found |= dict.fromkeys(re.findall(r"`([^`]+)`", first), second.strip().strip("`"))
    return found


def test_the_page_has_each_threshold_with_its_default() -> None:
    documented = rows(PAGE.split("## Thresholds")[1].split("\n## ")[0])
    defaults = {name: field.default for name, field in Thresholds.model_fields.items()}
    assert documented == {
        name: value.value if isinstance(value, Severity) else f"{value:g}" for name, value in defaults.items()
    }


def test_the_page_has_each_kind() -> None:
    documented = rows(PAGE.split("## What is found")[1].split("\n## ")[0])
    assert set(documented) == set(FindingKind)


def test_the_readme_has_each_option_and_the_page_those_of_the_monitors() -> None:
    options = set(get_provider_info()["config"]["mljob"]["options"])
    assert set(rows(README.split("## Configure")[1].split("\n## ")[0])) == options
    assert set(rows(PAGE.split("## Switching it on")[1].split("\n## ")[0])) <= options


def test_the_page_has_each_field_of_the_report() -> None:
    documented = PAGE.split("## The report for programs")[1].split("\n## ")[0]
    fields = {*MonitoringReport.model_fields, *Finding.model_fields}
    assert [name for name in fields if f"`{name}`" not in documented] == []
