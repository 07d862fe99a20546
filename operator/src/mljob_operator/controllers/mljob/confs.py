"""The confs of runs: how they are made, and which texts in them came from Secrets.

Two places tell what came from a Secret: the Secret itself, when a conf is made from it, and the run's conf in Airflow, which holds the values that were
submitted also when the Secret has changed or gone since. A process that has made no conf for a run reads it once, when there is a text
of the run to tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from ...core.conf.conf import Source, excess, has_secrets, merged, not_public, problems, secrets
from ...core.conf.redaction import HIDDEN, OPEN, Redaction
from ...core.mljob.job import Job
from ...core.mljob.spec_change import SpecChange
from ...core.mljob.state import State
from ...core.run.run_key import Key, RunKey
from ...core.status.disclosure import may_quote
from ...errors import TRIED_AGAIN, ReferenceMissing, ValidationFailed
from ...ports import Clock, DagRuns, JobStore

ASK_AGAIN_AFTER = timedelta(seconds=10)
"""When a conf that could not be read is read again."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What is known of one MLJob's Secrets.

    Attributes:
        uid: The MLJob's.
        redaction: Complete once the conf of ``run`` has been read.
        run: The run whose conf has been read.
        asked_at: When that was last tried.
    """

    uid: str
    redaction: Redaction = field(default_factory=lambda: Redaction(complete=False))
    run: RunKey | None = None
    asked_at: datetime | None = None


class Confs:
    """Makes confs, and remembers what of them must not be told.

    Args:
        jobs: Where ConfigMaps and Secrets are.
    """

    def __init__(self, jobs: JobStore, clock: Clock) -> None:
        self._jobs = jobs
        self._clock = clock
        self._known: dict[Key, _Known] = {}

    async def make(self, s: State, dag_runs: DagRuns) -> dict[str, Any]:
        """The conf that the spec asks for, found to fit the DAG's params.

        Raises:
            ReferenceMissing: What ``spec.confFrom`` names is not there, or holds what it should not.
            ValidationFailed: The conf exceeds its bounds, or does not fit the params.
            AirflowError: Airflow can't be asked for the params.
        """
        job, dag_id = s.job, s.run.dag_id
        self._of_run(s)
        sources = [
            source for ref in job.spec.conf_from if (source := await self._jobs.source(job.namespace, ref)) is not None
        ]
        self._learn(job, secrets(sources))
        try:
            conf = merged(job.spec.conf, sources)
        except ValueError as error:
            raise ReferenceMissing(str(error)) from error
        if (over := excess(conf, sources)) is not None:
            raise ValidationFailed(over)
        if found := problems(conf, await dag_runs.params(dag_id)):
            raise ValidationFailed(
                f"The conf does not fit the params of DAG {dag_id!r}: {'; '.join(found)}. Change it, or the DAG's params. {TRIED_AGAIN}"
            )
        return conf

    async def reuse(self, s: State, conf: Mapping[str, Any]) -> Mapping[str, Any]:
        """The conf of an earlier run, to be submitted again."""
        await self._learn_from(s.job, conf)
        return conf

    async def read(self, s: State, dag_runs: DagRuns) -> None:
        """Read the conf of the run, where it has values from Secrets and was not read yet.

        Raises:
            AirflowError: Airflow can't be asked.
        """
        if self.redaction(s).complete:
            return
        self._known[s.job.key] = replace(self._of(s.job), asked_at=self._clock())
        conf = await _submitted(s, dag_runs)
        if conf is None:
            # There is no such run any more: what it had is not to be known.
            return
        await self._learn_from(s.job, conf)
        known = self._of(s.job)
        if HIDDEN in known.redaction.hidden:
            # This Airflow masks confs (3.1 to 3.3 don't), so what the run has is not known.
            return
        self._known[s.job.key] = replace(known, redaction=replace(known.redaction, complete=True), run=s.run)

    def read_at(self, s: State) -> datetime | None:
        """When the run's conf is to be read, because there is something to tell that may quote it; None: it is known, there is nothing, or the
        attempt is over.
        """
        if not s.current.open or self.redaction(s).complete or not may_quote(s):
            return None
        asked_at = self._of(s.job).asked_at
        return asked_at + ASK_AGAIN_AFTER if asked_at is not None else s.now

    def redaction(self, s: State) -> Redaction:
        """What of the run must not be told."""
        if not (self._may_have_secrets(s.job) or (s.current.submitted and s.change is not SpecChange.NONE)):
            # What the run got is what the spec says, without a Secret.
            return OPEN
        return self._of_run(s).redaction

    def redaction_of(self, job: Job | None) -> Redaction:
        """What must not be logged of an MLJob, whichever run it is about; None: it is not known which MLJob."""
        if job is None:
            return Redaction(complete=False)
        return self._of(job).redaction if self._may_have_secrets(job) else OPEN

    def forget(self, key: Key) -> None:
        """There is nothing more to tell of an MLJob."""
        self._known.pop(key, None)

    def _may_have_secrets(self, job: Job) -> bool:
        """Whether the spec names Secrets, or did when a conf was made, or may in a part that can't be read."""
        return has_secrets(job.spec) or job.problem is not None or bool(self._of(job).redaction.hidden)

    def _of_run(self, s: State) -> _Known:
        """What is known for the newest run. What an earlier one had is in no text of this one, and what the status says of that is redacted."""
        known = self._of(s.job)
        if known.run not in (None, s.run):
            known = self._known[s.job.key] = _Known(s.job.uid)
        return known

    def _of(self, job: Job) -> _Known:
        known = self._known.get(job.key)
        return known if known is not None and known.uid == job.uid else _Known(job.uid)

    async def _learn_from(self, job: Job, conf: Mapping[str, Any]) -> None:
        sources: list[Source] = []
        for reference in job.spec.conf_from:
            try:
                source = await self._jobs.source(job.namespace, reference)
            except ReferenceMissing:
                continue
            if source is not None:
                sources.append(source)
        self._learn(job, secrets(sources) | not_public(conf, job.spec.conf, sources))

    def _learn(self, job: Job, texts: Iterable[str]) -> None:
        known = self._of(job)
        hidden = known.redaction.hidden | frozenset(texts)
        if hidden != known.redaction.hidden:
            self._known[job.key] = replace(known, redaction=replace(known.redaction, hidden=hidden))


async def _submitted(s: State, dag_runs: DagRuns) -> Mapping[str, Any] | None:
    """The conf of the attempt's run, or of its backfill, as Airflow has it."""
    if s.job.is_backfill:
        found = await dag_runs.backfills.find(s.run.dag_id, s.run.run_id, s.current.number)
        return found.conf if found is not None else None
    try:
        return await dag_runs.conf(s.run.dag_id, s.run.run_id)
    except ValidationFailed:
        return None
