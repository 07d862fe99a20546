"""Monitoring modules do no I/O, log nothing and read no clock, except the modules in ``ADAPTERS``."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import mljob_airflow.monitoring

FOLDER = Path(mljob_airflow.monitoring.__file__).parent
ADAPTERS = {
    "dag",
    "tasks",
    "rest_reader",
    "notifications.notifier",
    "notifications.rate_limits",
    "notifications.slack",
    "pages.files",
}
"""Modules with side effects: they send requests to other systems, wait, write files or log."""
OUTSIDE = {
    "airflow",
    "airflow_client",
    "slack_sdk",
    "confluent_kafka",
    "logging",
    "os",
    "socket",
    "subprocess",
    "time",
    "urllib3",
}


def name_of(file: Path) -> str:
    return ".".join(file.relative_to(FOLDER).with_suffix("").parts)


PURE = sorted(file for file in FOLDER.rglob("*.py") if file.stem != "__init__" and name_of(file) not in ADAPTERS)


def test_each_adapter_is_a_module() -> None:
    assert {name_of(file) for file in FOLDER.rglob("*.py")} >= ADAPTERS


@pytest.mark.parametrize("file", PURE, ids=name_of)
def test_a_pure_module_imports_no_module_with_side_effects(file: Path) -> None:
    tree = ast.parse(file.read_text())
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            imported |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
    tops = {name.partition(".")[0] for name in imported}
    assert not tops & OUTSIDE
    assert tops <= {*sys.stdlib_module_names, "pydantic", "mljob_airflow", "mljob_contract"}
    assert not imported & {f"mljob_airflow.monitoring.{name}" for name in ADAPTERS}
    calls = {
        node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert not calls & {"now", "today", "write_text", "read_text"}
