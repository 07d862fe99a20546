"""What a look at Airflow found: the report of a monitoring DAG, as it is on Kafka and in the DAG's XCom.

One JSON object a message, keyed by the monitor's DAG id, so that a compacted topic keeps the newest report of each. The topic is one of
its own, not that of the task events; ``report_version`` is what tells a report from those. The headers are CloudEvents 1.0 attributes,
as with the events: ``ce_type`` is ``dev.mljob.monitoring.report``.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

CE_TYPE_REPORT = "dev.mljob.monitoring.report"
"""The CloudEvents ``type`` of a report."""

MAX_FINDINGS = 500
"""Findings in a report, the most severe first. What is left out is said in ``incomplete``."""


class FindingKind(StrEnum):
    """What is wrong."""

    DAG_PAUSED = "dag_paused"
    """A DAG that runs, or MLJobs, need is paused."""
    DAG_STALE = "dag_stale"
    """Airflow does not find the DAG any more: its file is gone, or no longer defines it."""
    IMPORT_ERROR = "import_error"
    """A DAG file cannot be imported."""
    RECURRING_FAILURE = "recurring_failure"
    """A task fails again and again with the same error."""
    STUCK_QUEUED = "stuck_queued"
    """A run, or a task, is not begun."""
    SLOW_TASK = "slow_task"
    """A task takes longer than it used to."""
    LONG_WAIT = "long_wait"
    """A task waits longer for a slot and a worker than it used to."""
    POOL_SATURATED = "pool_saturated"
    """A pool is full for much of the time, and tasks wait for it."""
    WORKERS_SATURATED = "workers_saturated"
    """Tasks that have a slot wait for a worker."""
    MANY_RETRIES = "many_retries"
    """A task often needs more than one try."""
    MUTE_UNREADABLE = "mute_unreadable"
    """A mute of findings can't be read, and mutes nothing."""


class Severity(StrEnum):
    """How much it matters."""

    INFO = "info"
    """For the page only."""
    WARNING = "warning"
    """Worth a message."""
    CRITICAL = "critical"
    """Work waits, or is lost, until somebody acts."""

    @property
    def rank(self) -> int:
        """0 for what matters least."""
        return list(Severity).index(self)


class _Model(BaseModel):
    # As with the events: a newer monitor may say more than this reader knows.
    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class Finding(_Model):
    """One thing that is wrong."""

    kind: FindingKind
    subject: str
    """What it is about: a DAG, ``dag.task``, a file or a pool."""
    variant: str | None = None
    """Tells findings about one subject apart: the fingerprint of an error."""
    severity: Severity = Severity.WARNING
    owners: tuple[str, ...] = ()
    """Who is told; empty: whoever runs the platform."""
    title: str
    """One line for people."""
    detail: str = ""
    """What is known beyond that, and the way out."""
    dag_id: str | None = None
    task_id: str | None = None
    since: datetime | None = None
    url: str | None = None
    """The page in Airflow's UI on which to look further."""
    numbers: dict[str, float] = Field(default_factory=dict)
    """What the title and the detail say in words. Seconds, counts and shares from 0 to 1."""
    mljobs: tuple[str, ...] = ()
    """``namespace/name`` of the MLJobs whose runs it is about, at most 10; ``numbers["mljobs"]`` is how many there are."""
    history: tuple[float, ...] = ()
    """The subject's past in seconds, oldest first and the newest last: at most 60 values."""

    @property
    def key(self) -> str:
        """The finding's identity: two reports that have it speak of the same trouble."""
        return ":".join(part for part in (self.kind.value, self.subject, self.variant) if part)


class Table(_Model):
    """Rows worth a look, for the page."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str | float, ...], ...] = ()
    links: tuple[str | None, ...] = ()
    """For each row, where its first cell leads."""
    note: str = ""
    """How to read it."""


class Series(_Model):
    """Something over time, at equal steps."""

    title: str
    start: datetime
    step_seconds: Annotated[float, Field(gt=0)]
    values: tuple[float, ...]
    limit: float | None = None
    """What the values can't exceed: a pool's slots."""
    unit: str = ""


class Mute(_Model):
    """Findings that nobody is told of."""

    place: str
    """Where it is: ``mljob_mutes[0]``, an entry of the Variable, or ``tag mljob-mute of churn``."""
    dags: tuple[str, ...] = ()
    """Globs of DAG ids."""
    kinds: tuple[FindingKind, ...] = ()
    """None: all."""
    until: datetime | None = None
    """When it ends, with a time zone; a tag has no end."""
    reason: str = ""
    ended: bool = False
    """Whether it has ended, and mutes nothing."""
    findings: int = 0
    """How many findings it mutes."""
    keys: tuple[str, ...] = ()
    """Their identities; of all mutes together at most 500."""


class MonitoringReport(_Model):
    """One look at Airflow."""

    report_version: Literal[1] = 1
    """The envelope's version. A reader refuses what it does not know."""
    monitor: str
    """The DAG that looked."""
    source: str = "airflow"
    """Which Airflow it looked at: ``[mljob] source``."""
    at: datetime
    """When it looked, with a time zone."""
    findings: tuple[Finding, ...] = ()
    """The most severe first."""
    tables: tuple[Table, ...] = ()
    series: tuple[Series, ...] = ()
    muted: int = 0
    """How many findings are muted, and not among ``findings``."""
    mutes: tuple[Mute, ...] = ()
    """What mutes them, and mutes that have ended."""
    incomplete: dict[FindingKind, str] = Field(default_factory=dict)
    """Kinds of which this report may miss some, and why: their absence here does not mean that all is well."""
    requests: int = 0
    """Requests to Airflow that the look took."""

    @cached_property
    def muted_keys(self) -> frozenset[str]:
        """The identities of the muted findings."""
        return frozenset(key for mute in self.mutes for key in mute.keys)
