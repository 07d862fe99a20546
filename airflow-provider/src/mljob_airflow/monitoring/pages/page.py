"""Makes the HTML page of a report, for a screen, a phone and paper.

The page is one file without scripts or external resources, so any web server can serve the page.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from mljob_airflow.monitoring.notifications.messages import NAMES
from mljob_airflow.monitoring.notifications.owners import PLATFORM, owners_of
from mljob_airflow.monitoring.pages import plots
from mljob_airflow.monitoring.wording import count
from mljob_contract.reports import Finding, MonitoringReport, Severity, Table

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2530; --soft: #5b6675; --ground: #f6f7f9; --card: #fff; --rule: #dde2e8; --accent: #2563c9;
  --critical: #c62828; --warning: #b35900; --info: #2563c9; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --soft: #9aa5b4; --ground: #14181d; --card: #1d232a; --rule: #323a44;
  --accent: #7aa8f5; --critical: #ff7b72; --warning: #f0a24b; --info: #7aa8f5; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.25rem 1rem 3rem; background: var(--ground); color: var(--ink);
  font: 16px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.4rem; margin: 0 0 .25rem; overflow-wrap: anywhere; } h2 { font-size: 1.1rem; margin: 2rem 0 .6rem; }
a { color: var(--accent); } .soft { color: var(--soft); font-size: .9rem; margin: .2rem 0 .6rem; }
.card { background: var(--card); border: 1px solid var(--rule); border-left: 4px solid var(--info); border-radius: 6px;
  padding: .65rem .85rem; margin: .5rem 0; overflow-wrap: anywhere; }
.card.critical { border-left-color: var(--critical); } .card.warning { border-left-color: var(--warning); }
.card b { font-weight: 600; } .card p { margin: .2rem 0 0; }
.kind { float: right; margin-left: .75rem; color: var(--soft); font-size: .8rem; white-space: nowrap; }
.gap { border-left-color: var(--soft); }
.scroll { overflow-x: auto; background: var(--card); border: 1px solid var(--rule); border-radius: 6px; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { padding: .4rem .7rem; text-align: right; white-space: nowrap; border-top: 1px solid var(--rule); font-variant-numeric: tabular-nums; }
th { border-top: 0; color: var(--soft); font-weight: 600; }
th:first-child, td:first-child { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 9rem; }
figure { margin: .75rem 0; background: var(--card); border: 1px solid var(--rule); border-radius: 6px; padding: .6rem .7rem .3rem; }
figcaption { font-size: .9rem; font-weight: 600; } figcaption span { color: var(--soft); font-weight: 400; }
svg.plot { display: block; width: 100%; height: auto; } svg.spark { display: block; width: 180px; height: 40px; margin-top: .35rem; }
svg text { font-size: 11px; fill: var(--soft); } .area { fill: var(--accent); fill-opacity: .3; stroke: var(--accent); stroke-width: 1; }
.limit { stroke: var(--critical); stroke-width: 1.2; stroke-dasharray: 4 3; fill: none; } .axis { stroke: var(--rule); fill: none; }
.line { fill: none; stroke: var(--accent); stroke-width: 1.5; } .newest { fill: var(--critical); }
@media (max-width: 34rem) { svg text { font-size: 19px; } .odd { display: none; } .kind { float: none; display: block; margin: 0; } }
@media print { body { max-width: none; background: #fff; } .card, figure { break-inside: avoid; } }
"""


def page(report: MonitoringReport) -> str:
    """Return the HTML of a report's page."""
    title = f"{report.monitor}: {_verdict(report)}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="soft">{report.at:%Y-%m-%d %H:%M} {escape(report.at.tzname() or "")} · Airflow: {escape(report.source)} · '
        f"{report.requests} requests</p>",
        *_gaps(report),
        *_findings(report),
        *_mutes(report),
        *_plots(report),
        *(_table(table) for table in report.tables if table.rows),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _verdict(report: MonitoringReport) -> str:
    muted = f", {report.muted} muted" if report.muted else ""
    if not report.findings:
        return f"no findings{muted}"
    number = {severity: sum(f.severity is severity for f in report.findings) for severity in reversed(Severity)}
    names = {Severity.CRITICAL: "critical", Severity.WARNING: "warning", Severity.INFO: "info"}
    plurals = {Severity.CRITICAL: "critical", Severity.INFO: "info"}
    counts = [count(many, names[severity], plurals.get(severity)) for severity, many in number.items() if many]
    return ", ".join(counts) + muted


def _gaps(report: MonitoringReport) -> Iterable[str]:
    reasons: dict[str, list[str]] = {}
    for kind, why in report.incomplete.items():
        reasons.setdefault(why, []).append(NAMES[kind])
    for why, kinds in reasons.items():
        yield f'<div class="card gap"><b>Findings may be missing</b> ({escape(", ".join(kinds))})<p class="soft">{escape(why)}</p></div>'


def _mutes(report: MonitoringReport) -> Iterable[str]:
    if report.mutes:
        yield f'<h2>Muted <span class="soft">{report.muted}</span></h2>'
    for mute in report.mutes:
        until = f" until {mute.until:%Y-%m-%d %H:%M} {mute.until.tzname() or ''}".rstrip() if mute.until else ""
        what = f"{', '.join(mute.dags)}: {', '.join(NAMES[kind] for kind in mute.kinds) or 'all kinds'}"
        effect = f"{count(mute.findings, 'finding')} muted{until}"
        if mute.ended:
            effect = f"This mute has ended: it was active{until}. Remove it, or set a later end"
        reason = f"<p>{escape(mute.reason)}</p>" if mute.reason else ""
        yield (
            f'<div class="card gap"><span class="kind">{escape(mute.place)}</span><b>{escape(what)}</b>{reason}'
            f'<p class="soft">{escape(effect)}</p></div>'
        )


def _findings(report: MonitoringReport) -> Iterable[str]:
    groups: dict[str, list[Finding]] = {}
    for finding in report.findings:
        for owner in owners_of(finding):
            groups.setdefault(owner, []).append(finding)
    for owner in sorted(groups, key=lambda name: (-groups[name][0].severity.rank, -len(groups[name]), name)):
        name = "The platform" if owner == PLATFORM else owner
        yield f'<h2>{escape(name)} <span class="soft">{len(groups[owner])}</span></h2>'
        yield from (_card(finding) for finding in groups[owner])


def _card(finding: Finding) -> str:
    title = escape(finding.title)
    if finding.url and finding.url.startswith(("http://", "https://")):
        title = f'<a href="{escape(finding.url, quote=True)}">{title}</a>'
    detail = f"<p>{escape(finding.detail)}</p>" if finding.detail else ""
    since = (
        f'<p class="soft">since {finding.since:%Y-%m-%d %H:%M} {escape(finding.since.tzname() or "")}</p>'
        if finding.since
        else ""
    )
    spark = plots.sparkline(finding.history, finding.numbers.get("limit_seconds"))
    return (
        f'<div class="card {finding.severity.value}"><span class="kind">{escape(NAMES[finding.kind])}</span>'
        f"<b>{title}</b>{detail}{spark}{since}</div>"
    )


def _plots(report: MonitoringReport) -> Iterable[str]:
    if report.series:
        yield "<h2>Occupied slots</h2>"
    for series in report.series:
        limit = f" of {series.limit:g}" if series.limit is not None else ""
        peak = f"at most {max(series.values, default=0):.3g}{limit} {escape(series.unit)}"
        yield f"<figure><figcaption>{escape(series.title)} <span>{peak}</span></figcaption>{plots.area(series)}</figure>"


def _table(table: Table) -> str:
    links = table.links or (None,) * len(table.rows)
    head = "".join(f"<th>{escape(column)}</th>" for column in table.columns)
    rows = "".join(
        "<tr>" + "".join(_cell(cell, link if index == 0 else None) for index, cell in enumerate(row)) + "</tr>"
        for row, link in zip(table.rows, links, strict=True)
    )
    note = f'<p class="soft">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<h2>{escape(table.title)}</h2>{note}<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _cell(value: str | float, link: str | None) -> str:
    text = escape(value if isinstance(value, str) else f"{value:,.0f}")
    if link and link.startswith(("http://", "https://")):
        text = f'<a href="{escape(link, quote=True)}">{text}</a>'
    return f"<td>{text}</td>"
