"""What decides does no I/O and reads no clock: it can be tried with values alone."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

import mljob_airflow.monitoring

FOLDER = Path(mljob_airflow.monitoring.__file__).parent
ADAPTERS = {"__init__", "dag", "tasks", "rest_reader", "slack", "page_files", "telling"}
"""What speaks to somebody, puts it together, or logs."""
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


DECIDING = sorted(file for file in FOLDER.glob("*.py") if file.stem not in ADAPTERS)


@pytest.mark.parametrize("file", DECIDING, ids=lambda file: file.stem)
def test_a_module_that_decides_imports_nothing_that_acts(file):
    tree = ast.parse(file.read_text())
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            imported.add(node.module or "")
    tops = {name.partition(".")[0] for name in imported}
    assert not tops & OUTSIDE
    assert tops <= {*sys.stdlib_module_names, "pydantic", "mljob_airflow", "mljob_contract"}
    acting = {f"mljob_airflow.monitoring.{name}" for name in ADAPTERS}
    assert not imported & acting
    calls = {
        node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert not calls & {"now", "today", "write_text", "read_text"}
