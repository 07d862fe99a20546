"""The report of a monitoring DAG. A monitoring DAG checks Airflow for problems, such as DAGs that
were paused. The DAG returns its report of these problems as an XCom. If Airflow's configuration has
a topic for reports, the DAG also sends the report to Kafka.

The value of a message is one JSON object. The key of a message is the id of the monitoring DAG, so
that a compacted topic keeps the newest report of each DAG. Another topic has the messages about
tasks and runs (:mod:`.events`). Only reports have the field ``report_version``. The headers of a
message are CloudEvents 1.0 attributes. The header ``ce_type`` is ``dev.mljob.monitoring.report``.

A monitoring DAG can also write its report as a web page.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field

from .message import Message

CE_TYPE_REPORT = "dev.mljob.monitoring.report"
"""The CloudEvents ``type`` of a report."""

MAX_FINDINGS = 500
"""The maximum number of findings in a report. A report keeps the most severe findings of each
owner, and its field ``incomplete`` names the kinds of findings that may be missing. A report that
would be too large for a Kafka message has fewer findings.
"""


class FindingKind(StrEnum):
    """The kinds of problems that a monitoring DAG can find in Airflow."""

    DAG_PAUSED = "dag_paused"
    """A paused DAG that waiting runs or MLJobs need."""
    DAG_STALE = "dag_stale"
    """A DAG that Airflow no longer finds: the DAG's file was removed, or no longer defines the
    DAG."""
    IMPORT_ERROR = "import_error"
    """A DAG file that Airflow can't import."""
    RECURRING_FAILURE = "recurring_failure"
    """A task that repeatedly fails with the same error."""
    STUCK_QUEUED = "stuck_queued"
    """A run or a task that stays queued."""
    SLOW_TASK = "slow_task"
    """A task that takes longer than in its earlier runs."""
    LONG_WAIT = "long_wait"
    """A task that waits longer for a slot and a worker than in its earlier runs."""
    POOL_SATURATED = "pool_saturated"
    """A pool that is often full while tasks wait for its slots."""
    WORKERS_SATURATED = "workers_saturated"
    """Tasks that have a slot and wait for a worker."""
    MANY_RETRIES = "many_retries"
    """A task that often needs more than one try."""
    MUTE_UNREADABLE = "mute_unreadable"
    """A mute that can't be parsed and so mutes nothing. A mute is a rule that keeps findings out of
    notifications.
    """


class Severity(StrEnum):
    """How severe the problem of a finding is."""

    INFO = "info"
    """The web page shows the finding. Nobody is notified."""
    WARNING = "warning"
    """Somebody is notified."""
    CRITICAL = "critical"
    """Work waits or is lost until somebody acts. Somebody is notified."""

    @property
    def rank(self) -> int:
        """The position of the severity in ascending order, from 0 for ``info``."""
        return list(Severity).index(self)


class Finding(Message):
    """One problem that a monitoring DAG has found in Airflow."""

    kind: FindingKind
    """The kind of problem."""
    subject: str
    """The object that has the problem: the id of a DAG, a task as ``dag.task``, a file or a pool.
    """
    variant: str | None = None
    """Distinguishes several findings of one kind about one subject:

    - for ``recurring_failure``, the fingerprint of the error, or ``unknown`` if no error was read;
    - for ``stuck_queued``, ``tasks`` if the finding is about tasks, and None if it is about runs;
    - for ``mute_unreadable``, the tag if the finding is about a DAG's tag, and otherwise None.

    None for findings of other kinds.
    """
    severity: Severity = Severity.WARNING
    """How much the problem matters."""
    owners: tuple[str, ...] = ()
    """The owners of the DAG, who are notified. If there are none, the platform team is notified."""
    title: str
    """The problem in one line."""
    detail: str = ""
    """More about the problem, and what to do about it."""
    dag_id: str | None = None
    """The DAG that the problem is about. None if the problem is not about a DAG."""
    task_id: str | None = None
    """The task that the problem is about. None if the problem is not about a task."""
    since: datetime | None = None
    """The time when the problem began. None if this time is not known."""
    url: str | None = None
    """The page in Airflow's UI that shows more."""
    numbers: dict[str, float] = Field(default_factory=dict)
    """The numbers in title and detail, by name: seconds, counts, and shares from 0 to 1."""
    mljobs: tuple[str, ...] = ()
    """The MLJobs whose runs have the problem, as ``namespace/name``, at most 10.
    ``numbers["mljobs"]`` counts all of them."""
    history: tuple[float, ...] = ()
    """Earlier values of the number that the finding is about, in seconds, oldest first: at most 60.
    Empty if the report would be too large for a Kafka message."""

    @property
    def key(self) -> str:
        """The text that identifies the problem. Findings with the same key in different reports
        describe the same problem.
        """
        return ":".join(part for part in (self.kind.value, self.subject, self.variant) if part)


class Table(Message):
    """A table on the web page of a report."""

    title: str
    """The heading."""
    columns: tuple[str, ...]
    """The names of the columns."""
    rows: tuple[tuple[str | float, ...], ...] = ()
    """The cells, row by row."""
    links: tuple[str | None, ...] = ()
    """For each row, the URL to which the first cell links, or None for no link."""
    note: str = ""
    """An explanation of the table."""


class Series(Message):
    """A plot on the web page of a report: how a number has changed over time. The times of the
    values are equally spaced.
    """

    title: str
    """The heading."""
    start: datetime
    """The time of the first value."""
    step_seconds: Annotated[float, Field(gt=0)]
    """The time between two values, in seconds."""
    values: tuple[float, ...]
    """The values, oldest first."""
    limit: float | None = None
    """The upper limit of the values, such as a pool's slots."""
    unit: str = ""
    """The unit of the values."""


class Mute(Message):
    """A rule with which people mute findings. Nobody is notified of a muted finding."""

    place: str
    """Where the mute is configured, such as ``mljob_mutes[0]`` for an entry of the Airflow
    Variable, or ``tag mljob-mute of churn`` for a tag of DAG ``churn``.
    """
    dags: tuple[str, ...] = ()
    """The DAGs whose findings are muted, as globs of their ids."""
    kinds: tuple[FindingKind, ...] = ()
    """The kinds of findings that are muted. Empty for all kinds."""
    until: datetime | None = None
    """When the mute ends, with a time zone. None for a tag, which has no end."""
    reason: str = ""
    """Why the findings are muted, in the words of the mute's author."""
    ended: bool = False
    """Whether the mute has ended and mutes nothing."""
    findings: int = 0
    """How many findings of this report the mute keeps out of notifications."""
    keys: tuple[str, ...] = ()
    """The keys of the muted findings. All mutes of a report together have at most 500 keys. Empty
    if the report would be too large for a Kafka message."""


class MonitoringReport(Message):
    """The result of one run of a monitoring DAG: the problems in Airflow (findings), the rules that
    mute some of them (mutes), and the tables and plots of the report's web page.
    """

    report_version: Literal[1] = 1
    """The version of the format. A reader refuses versions that it does not know."""
    monitor: str
    """The id of the monitoring DAG."""
    source: str = "airflow"
    """The name of the Airflow that was checked, from Airflow's configuration ``[mljob] source``."""
    at: datetime
    """The time of the check, with a time zone."""
    findings: tuple[Finding, ...] = ()
    """The problems, the most severe first."""
    tables: tuple[Table, ...] = ()
    """The tables of the web page."""
    series: tuple[Series, ...] = ()
    """The plots of the web page."""
    muted: int = 0
    """How many findings are muted. ``findings`` does not contain them."""
    mutes: tuple[Mute, ...] = ()
    """The mutes, including those that have ended."""
    incomplete: dict[FindingKind, str] = Field(default_factory=dict)
    """The kinds of findings that this report may lack, each with the reason. If such a kind has no
    finding, there may still be a problem."""
    requests: int = 0
    """How many requests to Airflow the check took."""

    @cached_property
    def muted_keys(self) -> frozenset[str]:
        """The keys of the muted findings, at most 500."""
        return frozenset(key for mute in self.mutes for key in mute.keys)
