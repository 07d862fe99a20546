"""Where pages of reports are kept: ``<folder>/<monitor>/<time>.html``, and the newest as ``latest.html``.

The folder is one that a web server shows, or a mounted bucket. It stays small: the oldest pages go.
"""

from __future__ import annotations

import os
from pathlib import Path

from mljob_airflow.monitoring.pages.page import page
from mljob_contract.reports import MonitoringReport

KEPT = 200
"""Pages of each monitor: two days of one that looks every quarter of an hour."""
LATEST = "latest.html"


def name_of(report: MonitoringReport) -> str:
    """The file's name: when the report was made."""
    return f"{report.at:%Y-%m-%dT%H%M%S}.html"


def address_of(report: MonitoringReport, base_url: str) -> str | None:
    """The page's address; ``None`` where no base URL says how people reach the folder."""
    return f"{base_url.rstrip('/')}/{report.monitor}/{name_of(report)}" if base_url else None


def write(report: MonitoringReport, folder: Path) -> Path:
    """Write the page; its file. Readers never see half of it."""
    place = folder / report.monitor
    place.mkdir(parents=True, exist_ok=True)
    text = page(report)
    file = place / name_of(report)
    for target in (file, place / LATEST):
        beside = target.with_suffix(f".{os.getpid()}.tmp")
        beside.write_text(text, encoding="utf-8")
        beside.replace(target)
    for old in sorted(path for path in place.glob("*.html") if path.name != LATEST)[:-KEPT]:
        old.unlink(missing_ok=True)
    return file
