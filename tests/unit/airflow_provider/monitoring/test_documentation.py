"""docs/monitoring.md and the provider's README say what the code says."""

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
    """Second cells by what stands in backticks in the first; a row may name several."""
    found = {}
    for first, second in re.findall(r"^ *\| (`[^|]+) \| ([^|]*)\|", text, re.MULTILINE):
        found |= dict.fromkeys(re.findall(r"`([^`]+)`", first), second.strip().strip("`"))
    return found


def test_each_threshold_is_explained_with_its_default():
    told = rows(PAGE.split("## Thresholds")[1].split("\n## ")[0])
    defaults = {name: field.default for name, field in Thresholds.model_fields.items()}
    assert told == {
        name: value.value if isinstance(value, Severity) else f"{value:g}" for name, value in defaults.items()
    }


def test_each_kind_is_explained():
    told = rows(PAGE.split("## What is found")[1].split("\n## ")[0])
    assert set(told) == set(FindingKind)


def test_each_option_is_in_the_readme_and_the_monitors_ones_on_the_page():
    options = set(get_provider_info()["config"]["mljob"]["options"])
    assert set(rows(README.split("## Configure")[1].split("\n## ")[0])) == options
    assert set(rows(PAGE.split("## Switching it on")[1].split("\n## ")[0])) <= options


def test_each_field_of_the_report_is_named():
    told = PAGE.split("## The report for programs")[1].split("\n## ")[0]
    fields = {*MonitoringReport.model_fields, *Finding.model_fields}
    assert [name for name in fields if f"`{name}`" not in told] == []
