"""Finds DAG files that can't be imported, and DAGs that are needed, but paused or stale. Airflow no
longer finds a stale DAG in its file.

Most paused DAGs are paused on purpose. So a paused or stale DAG has a finding only in these cases:

- The DAG has a schedule and ran lately.
- MLJobs ran the DAG lately.
- Runs of the DAG are waiting.
- Other DAGs are scheduled on assets that the DAG updates.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mljob_airflow.monitoring.findings.fingerprints import shortened
from mljob_airflow.monitoring.findings.mljobs import finding_fields
from mljob_airflow.monitoring.links import Links
from mljob_airflow.monitoring.observations import Asset, BrokenFile, Dag, QueuedRun
from mljob_airflow.monitoring.wording import count, joined
from mljob_contract.reports import Finding, FindingKind, Severity


@dataclass(frozen=True, slots=True)
class Need:
    """The reasons, besides a schedule, why a DAG is needed."""

    waiting: Sequence[QueuedRun] = ()
    """The DAG's queued runs, oldest first."""
    mljob_runs: Sequence[str] = ()
    """The ids of the DAG's recent runs that belong to MLJobs."""
    feeds: Collection[str] = ()
    """The ids of other DAGs that are scheduled on assets that this DAG updates."""


@dataclass(frozen=True, slots=True)
class Health:
    """The input of :func:`health_findings`.

    Attributes:
        dags: The DAGs to check, by DAG id.
        broken: The DAG files that can't be imported.
        needs: The reasons why DAGs are needed, by DAG id.
    """

    dags: Mapping[str, Dag] = field(default_factory=dict)
    broken: Sequence[BrokenFile] = ()
    needs: Mapping[str, Need] = field(default_factory=dict)


def broken_dags(dags: Iterable[Dag], broken: Iterable[BrokenFile]) -> dict[str, Dag]:
    """Return the DAGs whose file can't be imported, by DAG id."""
    files = {(file.bundle, file.file) for file in broken}
    return {dag.dag_id: dag for dag in dags if (dag.bundle, dag.file) in files}


def suspects(dags: Collection[Dag], broken: Iterable[BrokenFile]) -> list[Dag]:
    """Return the DAGs that are paused or stale, or whose file can't be imported."""
    in_broken_files = broken_dags(dags, broken)
    return [dag for dag in dags if dag.is_paused or dag.is_stale or dag.dag_id in in_broken_files]


def feeds_of(assets: Iterable[Asset]) -> dict[str, frozenset[str]]:
    """Return, for each DAG that updates assets, the ids of the other DAGs that are scheduled on
    these assets. A DAG whose assets schedule no other DAG is left out.
    """
    feeds: dict[str, set[str]] = {}
    for asset in assets:
        for producer in asset.producers:
            feeds.setdefault(producer, set()).update(asset.consumers - {producer})
    return {dag_id: frozenset(consumers) for dag_id, consumers in feeds.items() if consumers}


def health_findings(health: Health, links: Links) -> list[Finding]:
    """Return a finding for each DAG file that can't be imported, and for each paused or stale DAG
    that is needed. The DAGs of a file that can't be imported have no findings of their own.
    """
    found = []
    in_broken_files: set[str] = set()
    for file in health.broken:
        dags = [dag for dag in health.dags.values() if (dag.bundle, dag.file) == (file.bundle, file.file)]
        in_broken_files |= {dag.dag_id for dag in dags}
        found.append(_broken_file(file, dags, health.needs, links))
    for dag in health.dags.values():
        need = health.needs.get(dag.dag_id, Need())
        if dag.dag_id in in_broken_files or not (dag.is_paused or dag.is_stale):
            continue
        if dag.schedule or need.waiting or need.mljob_runs or need.feeds:
            found.append(_unavailable(dag, need, links))
    return found


def _unavailable(dag: Dag, need: Need, links: Links) -> Finding:
    waiting = f", {count(len(need.waiting), 'run')} waiting" if need.waiting else ""
    if dag.is_stale:
        kind, title = FindingKind.DAG_STALE, f"{dag.dag_id} is stale{waiting}"
        action = f"Airflow no longer finds the DAG in {dag.file or 'its file'}. Restore the DAG, or delete it."
    else:
        kind, title = FindingKind.DAG_PAUSED, f"{dag.dag_id} is paused{waiting}"
        action = (
            "Unpause the DAG, or end the waiting runs." if need.waiting else "Unpause the DAG, or remove its schedule."
        )
        if not need.waiting and not dag.schedule:
            action = "Unpause the DAG."
    return Finding(
        kind=kind,
        subject=dag.dag_id,
        severity=Severity.CRITICAL if need.waiting else Severity.WARNING,
        owners=dag.owners,
        title=title,
        dag_id=dag.dag_id,
        since=need.waiting[0].since if need.waiting else None,
        url=links.dag(dag.dag_id),
        **finding_fields(
            _mljob_runs(need),
            f"{_reasons(dag, need)} {action}".strip(),
            {"runs_waiting": len(need.waiting)},
            lead="MLJobs run the DAG",
        ),
    )


def _reasons(dag: Dag, need: Need) -> str:
    reasons = []
    if dag.schedule:
        reasons.append(f"Schedule: {dag.schedule}.")
    if need.feeds:
        reasons.append(f"DAGs that are scheduled on its assets: {joined(sorted(need.feeds))}.")
    return " ".join(reasons)


def _broken_file(file: BrokenFile, dags: Sequence[Dag], needs: Mapping[str, Need], links: Links) -> Finding:
    waiting = [run for dag in dags for run in needs.get(dag.dag_id, Need()).waiting]
    owners = {owner: None for dag in dags for owner in dag.owners}
    affected = f" Its DAGs stay at their last version: {joined(sorted(dag.dag_id for dag in dags))}." if dags else ""
    return Finding(
        kind=FindingKind.IMPORT_ERROR,
        subject=subject_of(file.bundle, file.file),
        severity=Severity.CRITICAL if waiting else Severity.WARNING,
        owners=tuple(owners),
        title=f"{file.file} can't be imported",
        dag_id=dags[0].dag_id if dags else None,
        since=file.failed_at,
        url=links.dag(dags[0].dag_id) if dags else f"{links.base_url.rstrip('/')}/dags",
        **finding_fields(
            (run_id for dag in dags for run_id in _mljob_runs(needs.get(dag.dag_id, Need()))),
            f"{shortened(_last_line(file.traceback), 200)}.{affected}".replace("..", "."),
            {"dags": len(dags), "runs_waiting": len(waiting)},
            lead="MLJobs run its DAGs",
        ),
    )


def _mljob_runs(need: Need) -> list[str]:
    return [*(run.run_id for run in need.waiting), *need.mljob_runs]


def subject_of(bundle: str | None, file: str) -> str:
    """Return the subject of a finding about a DAG file: ``<bundle>/<path in the bundle>``, or only
    the path if the bundle is unknown.
    """
    return f"{bundle}/{file}" if bundle else file


def _last_line(traceback: str) -> str:
    lines = [line.strip() for line in traceback.splitlines() if line.strip()]
    return lines[-1] if lines else "No traceback"


def grouped_by_dag(runs: Iterable[QueuedRun]) -> dict[str, list[QueuedRun]]:
    """Return the queued runs by DAG id. Each list begins with the run that was queued first."""
    found: dict[str, list[QueuedRun]] = {}
    for run in sorted(runs, key=lambda run: run.since):
        found.setdefault(run.dag_id, []).append(run)
    return found


def minutes_since(begin: datetime, now: datetime) -> float:
    """Return the minutes from ``begin`` to ``now``."""
    return (now - begin).total_seconds() / 60
