"""Writes the pages of reports to files ``<folder>/<monitor>/<time>.html``, where ``<monitor>`` is
the id of the monitoring DAG.

The file ``<folder>/<monitor>/latest.html`` is a copy of the page that was written last.
"""

from __future__ import annotations

import os
from pathlib import Path

from mljob_airflow.monitoring.pages.page import page
from mljob_contract.reports import MonitoringReport

KEPT = 200
"""The maximum number of pages that are kept for each monitoring DAG. A monitoring DAG that runs
every quarter of an hour writes 200 pages in two days.
"""
LATEST = "latest.html"


def name_of(report: MonitoringReport) -> str:
    """Return the name of the report's file, for example ``2026-01-31T120000.html``."""
    return f"{report.at:%Y-%m-%dT%H%M%S}.html"


def url_of(report: MonitoringReport, base_url: str) -> str | None:
    """Return the URL of the report's page, or ``None`` if ``base_url`` is empty. ``base_url`` is
    the URL of the folder that has one subfolder for each monitoring DAG.
    """
    return f"{base_url.rstrip('/')}/{report.monitor}/{name_of(report)}" if base_url else None


def write(report: MonitoringReport, folder: Path) -> Path:
    """Write the report's page, and return the path of the file. Replace ``latest.html``, and delete
    all pages of the monitoring DAG except the newest :data:`KEPT`.

    A web server never sees an incomplete file: each file is written under another name, and then
    renamed.
    """
    directory = folder / report.monitor
    directory.mkdir(parents=True, exist_ok=True)
    text = page(report)
    file = directory / name_of(report)
    for target in (file, directory / LATEST):
        temporary = target.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(target)
    for old in sorted(path for path in directory.glob("*.html") if path.name != LATEST)[:-KEPT]:
        old.unlink(missing_ok=True)
    return file
