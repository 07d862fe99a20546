"""Builds the confs of runs, and remembers which values in the confs came from Secrets.

A status, an Event or a log line must not show a value from a Secret. The operator learns these
values in two ways:

- The operator reads the Secrets when it builds a conf.
- The operator reads the conf of a submitted run from Airflow, once for each run, before it shows a
  text that may quote the conf. The conf in Airflow has the submitted values, even if the operator
  was restarted, or the Secret has changed or was deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from ...core.conf.conf import (
    Source,
    excess,
    has_secrets,
    merged,
    origins,
    problems,
    refuses_unknown_keys,
    secrets,
    unknown_keys,
)
from ...core.conf.redaction import HIDDEN, NOTHING_HIDDEN, Redaction
from ...core.frozen import frozen
from ...core.mljob.classification.state import State
from ...core.mljob.identity import has_one_spec, runs_current_spec
from ...core.mljob.resource.job import Job
from ...core.mljob.upstream import outputs_of
from ...core.run.run_key import Key, RunKey
from ...core.status.disclosure import may_quote
from ...errors import TRIED_AGAIN, ReferenceMissing, ValidationFailed
from ...ports import Clock, DagRuns, JobStore
from .hidden_texts import hidden_texts

ASK_AGAIN_AFTER = timedelta(seconds=10)
"""The time between a failed try to read a conf from Airflow and the next try."""
SUBMITTED_ANYWAY = (
    "The operator submits the run, because Airflow accepts such keys, but the tasks may ignore them. "
    "If a key is misspelt, correct it and run the job again."
)
"""The end of the message about unknown keys of a conf that is not refused."""

UNKNOWN = Redaction(complete=False)
"""The redaction of a run whose values from Secrets are not known."""


@frozen
class BuiltConf:
    """The conf of a run, built from the spec.

    Attributes:
        values: The conf.
        unknown_params: The message about keys that the DAG does not declare as params. Empty if the
            DAG declares all keys.
    """

    values: Mapping[str, Any]
    unknown_params: str


@frozen
class _KnownSecrets:
    """The values from Secrets that are known for one MLJob.

    Attributes:
        uid: The MLJob's uid.
        redaction: The values to hide. The redaction is complete if the conf of ``run`` has been
            read from Airflow, because then all values to hide are known.
        run: The run whose conf has been read from Airflow. None if no conf has been read.
        asked_at: The time of the last try to read the conf from Airflow. None if there was no try.
    """

    uid: str
    redaction: Redaction = UNKNOWN
    run: RunKey | None = None
    asked_at: datetime | None = None


class Confs:
    """Builds the confs of runs, and remembers which values in the confs came from Secrets.

    Args:
        jobs: The store that reads the ConfigMaps and Secrets of ``spec.confFrom``.
    """

    def __init__(self, jobs: JobStore, clock: Clock) -> None:
        self._jobs = jobs
        self._clock = clock
        self._known_secrets: dict[Key, _KnownSecrets] = {}

    async def make(self, s: State, dag_runs: DagRuns) -> BuiltConf:
        """Build the conf from the spec, and check it against the DAG's params.

        A DAG can say in the schemas of its params that a conf must have no other keys than the
        params. If the DAG says so, this method refuses other keys. If not, Airflow accepts other
        keys, and the result has a message about these keys.

        Raises:
            ReferenceMissing: An object of ``spec.confFrom`` does not exist or has invalid data, or
                the operator lacks the permission to read the object.
            ValidationFailed: The conf exceeds the limits of a conf, or does not fit the params.
            AirflowError: The params can't be read from Airflow.
            StoreError: The Kubernetes API fails.
        """
        job, dag_id = s.job, s.run.dag_id
        self._secrets_of_run(s)
        sources = await self._sources(s)
        self._learn(job, secrets(sources))
        try:
            conf = merged(job.spec.conf, sources)
            sources_by_key = origins(job.spec.conf, sources)
        except ValueError as error:
            raise ReferenceMissing(str(error)) from error
        if (over := excess(conf, sources)) is not None:
            raise ValidationFailed(over)
        params = await dag_runs.params(dag_id)
        invalid = problems(conf, params, sources_by_key)
        unknown = unknown_keys(conf, params, sources_by_key)
        message = f"The conf does not fit the params of DAG {dag_id!r}: {'; '.join([*unknown, *invalid])}."
        if invalid or (unknown and refuses_unknown_keys(params)):
            raise ValidationFailed(f"{message} Change it, or the DAG's params. {TRIED_AGAIN}")
        return BuiltConf(conf, f"{message} {SUBMITTED_ANYWAY}" if unknown else "")

    async def _sources(self, s: State) -> list[Source]:
        """Read the ConfigMaps, Secrets and outputs that ``spec.confFrom`` names, and return them in
        the order of the spec. Optional objects that don't exist are left out.
        """
        found = []
        for index, reference in enumerate(s.job.spec.conf_from):
            if reference.outputs_ref is None:
                source = await self._jobs.source(s.job.namespace, reference)
            else:
                # A run is submitted only if nothing blocks it, so the outputs are known and
                # checked.
                upstream = s.inputs.upstreams[reference.outputs_ref.name]
                source = outputs_of(reference.outputs_ref, upstream) if upstream is not None else None
            if source is not None:
                found.append(replace(source, field=f"spec.confFrom[{index}]"))
        return found

    async def reuse(self, s: State, conf: Mapping[str, Any]) -> Mapping[str, Any]:
        """Remember the values in ``conf`` that came from Secrets, and return ``conf`` unchanged.
        ``conf`` is the conf of an earlier run. A new run gets the same conf.

        Raises:
            StoreError: The Kubernetes API fails.
        """
        self._learn(s.job, await hidden_texts(self._jobs, s.job, conf, reads_secrets=True))
        return conf

    async def read(self, s: State, dag_runs: DagRuns) -> None:
        """Read the run's conf from Airflow, and remember the values in the conf that came from
        Secrets.

        The conf is read only if it may have values from Secrets that are still unknown. If Airflow
        does not have the run any more, or masks the values of the conf, the values stay unknown.

        Raises:
            AirflowError: The conf can't be read.
            StoreError: The Kubernetes API fails.
        """
        if self.redaction(s).complete:
            return
        self._known_secrets[s.job.key] = replace(self._secrets_of(s.job), asked_at=self._clock())
        conf = await _submitted(s, dag_runs)
        if conf is None:
            # The run does not exist any more, so its conf stays unknown.
            return
        self._learn(s.job, await hidden_texts(self._jobs, s.job, conf, reads_secrets=True))
        found = self._secrets_of(s.job)
        if HIDDEN in found.redaction.hidden:
            # The conf has *** instead of values, because this version of Airflow masks confs. (The
            # versions 3.1 to 3.3 do not.) So the run's values stay unknown.
            return
        self._known_secrets[s.job.key] = replace(found, redaction=replace(found.redaction, complete=True), run=s.run)

    def read_at(self, s: State) -> datetime | None:
        """Return the time at which the run's conf should be read from Airflow: now if this process
        has not tried yet, else ``ASK_AGAIN_AFTER`` (10 seconds) after the last try.

        Return None if the conf need not be read. That is so in any of these cases:

        - The conf has no values from Secrets, or all of these values are known.
        - The status would show no text that may quote the conf.
        - The attempt is over.
        """
        if not s.current.open or self.redaction(s).complete or not may_quote(s):
            return None
        asked_at = self._secrets_of(s.job).asked_at
        return asked_at + ASK_AGAIN_AFTER if asked_at is not None else s.now

    def redaction(self, s: State) -> Redaction:
        """Return the redaction for texts about the MLJob's run. The redaction hides values from
        Secrets. If some of these values may be unknown, the redaction is not complete, and texts
        that may quote these values must be withheld.
        """
        if runs_current_spec(s.job, s.run.run_id) and not self._may_have_secrets(s.job):
            return NOTHING_HIDDEN
        return self._secrets_of_run(s).redaction

    def redaction_of(self, job: Job | None) -> Redaction:
        """Return the redaction for log lines about an MLJob and all of its runs.

        If ``job`` is None, the MLJob was not read yet, so its values from Secrets are not known.
        The redaction then withholds all texts of the MLJob's runs.
        """
        if job is None:
            return UNKNOWN
        if has_one_spec(job) and not self._may_have_secrets(job):
            return NOTHING_HIDDEN
        return self._secrets_of(job).redaction

    def forget(self, key: Key) -> None:
        """Forget the secret values of an MLJob, because the operator writes no more texts about the
        MLJob.
        """
        self._known_secrets.pop(key, None)

    def _may_have_secrets(self, job: Job) -> bool:
        """Return whether the confs of the MLJob's runs may have values from Secrets.

        The result is True if the spec names Secrets, if the spec can't be read, or if this process
        already knows values from Secrets for the MLJob.
        """
        return has_secrets(job.spec) or job.parsed.problem is not None or bool(self._secrets_of(job).redaction.hidden)

    def _secrets_of_run(self, s: State) -> _KnownSecrets:
        """Return the values from Secrets that are known for the newest run.

        If the known values belong to an earlier run whose conf was read from Airflow, these values
        are dropped first. The texts of the earlier run are stored in redacted form already. The
        texts of the newest run are withheld until the values of this run are known.
        """
        found = self._secrets_of(s.job)
        if found.run not in (None, s.run):
            found = self._known_secrets[s.job.key] = _KnownSecrets(s.job.uid)
        return found

    def _secrets_of(self, job: Job) -> _KnownSecrets:
        found = self._known_secrets.get(job.key)
        return found if found is not None and found.uid == job.uid else _KnownSecrets(job.uid)

    def _learn(self, job: Job, texts: Iterable[str]) -> None:
        found = self._secrets_of(job)
        hidden = found.redaction.hidden | frozenset(texts)
        if hidden != found.redaction.hidden:
            self._known_secrets[job.key] = replace(found, redaction=replace(found.redaction, hidden=hidden))


async def _submitted(s: State, dag_runs: DagRuns) -> Mapping[str, Any] | None:
    """Request the conf of the attempt's run or backfill from Airflow, and return the conf. Return
    None if Airflow does not have the run or backfill.
    """
    if s.job.is_backfill:
        backfill = await dag_runs.backfills.find(s.run.dag_id, s.run.run_id, s.current.number)
        return backfill.conf if backfill is not None else None
    try:
        return await dag_runs.conf(s.run.dag_id, s.run.run_id)
    except ValidationFailed:
        return None
