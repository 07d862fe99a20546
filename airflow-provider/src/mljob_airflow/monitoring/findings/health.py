"""DAGs that are paused, stale or broken while something needs them.

Airflow says nothing of these: a run of a paused DAG waits, a schedule of a stale one just stops. Most paused DAGs are meant to be, so what
counts is need: the DAG has a schedule and ran lately, MLJobs run it, runs of it wait, or other DAGs' schedules wait for assets that it makes.
One cause is one finding: the DAGs of a file that can't be imported are told with the file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mljob_airflow.monitoring.findings.fingerprints import shortened
from mljob_airflow.monitoring.findings.mljobs import about
from mljob_airflow.monitoring.links import Links
from mljob_airflow.monitoring.observations import BrokenFile, Dag, QueuedRun
from mljob_airflow.monitoring.wording import count, some
from mljob_contract.reports import Finding, FindingKind, Severity


@dataclass(frozen=True, slots=True)
class Need:
    """Why a DAG would be missed."""

    waiting: Sequence[QueuedRun] = ()
    """Runs of it that have not begun, the oldest first."""
    mljob_runs: Sequence[str] = ()
    """Ids of runs of it that MLJobs made lately."""
    feeds: Collection[str] = ()
    """DAGs whose schedules wait for assets that it makes."""


@dataclass(frozen=True, slots=True)
class Health:
    """What is known of the DAGs in use."""

    dags: Mapping[str, Dag] = field(default_factory=dict)
    broken: Sequence[BrokenFile] = ()
    needs: Mapping[str, Need] = field(default_factory=dict)


def suspects(dags: Iterable[Dag], broken: Iterable[BrokenFile]) -> list[Dag]:
    """The DAGs of which it has to be known who needs them."""
    files = {(file.bundle, file.file) for file in broken}
    return [dag for dag in dags if dag.is_paused or dag.is_stale or (dag.bundle, dag.file) in files]


def health_findings(health: Health, links: Links) -> list[Finding]:
    """What is wrong with DAGs that somebody needs."""
    found = []
    told: set[str] = set()
    for file in health.broken:
        dags = [dag for dag in health.dags.values() if (dag.bundle, dag.file) == (file.bundle, file.file)]
        told |= {dag.dag_id for dag in dags}
        found.append(_broken_file(file, dags, health.needs, links))
    for dag in health.dags.values():
        need = health.needs.get(dag.dag_id, Need())
        if dag.dag_id in told or not (dag.is_paused or dag.is_stale):
            continue
        if dag.schedule or need.waiting or need.mljob_runs or need.feeds:
            found.append(_unavailable(dag, need, links))
    return found


def _unavailable(dag: Dag, need: Need, links: Links) -> Finding:
    waiting = f", {count(len(need.waiting), 'run')} waiting" if need.waiting else ""
    if dag.is_stale:
        kind, title = FindingKind.DAG_STALE, f"{dag.dag_id} is stale{waiting}"
        cause = f"Airflow no longer finds it in {dag.file or 'its file'}. Bring it back, or delete the DAG."
    else:
        kind, title = FindingKind.DAG_PAUSED, f"{dag.dag_id} is paused{waiting}"
        cause = "Unpause it, or end what waits." if need.waiting else "Unpause it, or take its schedule away."
        if not need.waiting and not dag.schedule:
            cause = "Unpause it."
    return Finding(
        kind=kind,
        subject=dag.dag_id,
        severity=Severity.CRITICAL if need.waiting else Severity.WARNING,
        owners=dag.owners,
        title=title,
        dag_id=dag.dag_id,
        since=need.waiting[0].since if need.waiting else None,
        url=links.dag(dag.dag_id),
        **about(
            _mljob_runs(need),
            f"{_reasons(dag, need)} {cause}".strip(),
            {"runs_waiting": len(need.waiting)},
            lead="MLJobs run it",
        ),
    )


def _reasons(dag: Dag, need: Need) -> str:
    said = []
    if dag.schedule:
        said.append(f"Schedule: {dag.schedule}.")
    if need.feeds:
        said.append(f"Schedules depend on it: {some(sorted(need.feeds))}.")
    return " ".join(said)


def _broken_file(file: BrokenFile, dags: Sequence[Dag], needs: Mapping[str, Need], links: Links) -> Finding:
    waiting = [run for dag in dags for run in needs.get(dag.dag_id, Need()).waiting]
    owners = {owner: None for dag in dags for owner in dag.owners}
    affected = f" Its DAGs keep their last version: {some(sorted(dag.dag_id for dag in dags))}." if dags else ""
    return Finding(
        kind=FindingKind.IMPORT_ERROR,
        subject=subject_of(file.bundle, file.file),
        severity=Severity.CRITICAL if waiting else Severity.WARNING,
        owners=tuple(owners),
        title=f"{file.file} can't be imported",
        dag_id=dags[0].dag_id if dags else None,
        since=file.at,
        url=links.dag(dags[0].dag_id) if dags else f"{links.base_url.rstrip('/')}/dags",
        **about(
            (run_id for dag in dags for run_id in _mljob_runs(needs.get(dag.dag_id, Need()))),
            f"{shortened(_last_line(file.text), 200)}.{affected}".replace("..", "."),
            {"dags": len(dags), "runs_waiting": len(waiting)},
            lead="MLJobs run its DAGs",
        ),
    )


def _mljob_runs(need: Need) -> list[str]:
    """Runs that may be MLJobs', those that wait first."""
    return [*(run.run_id for run in need.waiting), *need.mljob_runs]


def subject_of(bundle: str | None, file: str) -> str:
    """What a finding about a DAG file names."""
    return f"{bundle}/{file}" if bundle else file


def _last_line(traceback: str) -> str:
    lines = [line.strip() for line in traceback.splitlines() if line.strip()]
    return lines[-1] if lines else "No traceback"


def grouped_by_dag(runs: Iterable[QueuedRun]) -> dict[str, list[QueuedRun]]:
    """Waiting runs of each DAG, the oldest first."""
    found: dict[str, list[QueuedRun]] = {}
    for run in sorted(runs, key=lambda run: run.since):
        found.setdefault(run.dag_id, []).append(run)
    return found


def minutes_since(begin: datetime, now: datetime) -> float:
    """Minutes from one to the other."""
    return (now - begin).total_seconds() / 60
