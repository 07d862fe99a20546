"""Builds the confs of runs, and remembers which values came from Secrets. A status, an Event or a
log line must not show such a value.

The operator learns these values from two sources:

- the Secrets, when the operator builds a conf;
- the conf of the submitted run, which the operator reads from Airflow. This conf still has the
  submitted values after the operator was restarted or a Secret has changed. A value in this conf
  counts as secret unless ``spec.conf``, a ConfigMap or the outputs of another MLJob have the same
  value for the same key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from mljob_contract.mljob import RunPolicy

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
from ...core.mljob.airflow_use import is_reachable
from ...core.mljob.classification.state import State
from ...core.mljob.identity import has_one_spec, runs_current_spec
from ...core.mljob.resource.job import Job
from ...core.mljob.upstream import outputs_of
from ...core.run.run_key import Key, RunKey
from ...core.status.disclosure import may_quote
from ...errors import TRIED_AGAIN, ReferenceMissing, ValidationFailed
from ...ports import Clock, DagRuns, JobStore
from .hidden_texts import hidden_texts
from .recent_params import RecentParams

ASK_AGAIN_AFTER = timedelta(seconds=10)
"""The time between a failed try to read a conf from Airflow and the next try."""
SUBMITTED_ANYWAY = "The operator submits the run, because Airflow accepts such keys, but the tasks may ignore them."
"""The sentence after the unknown keys of a conf that is not refused."""
CORRECT = (
    "If a key is misspelt, create an MLJob with another name, or delete this one and apply it corrected: "
    "runPolicy Once refuses a change of the conf after the submission."
)
"""What to do about a misspelt key with runPolicy Once."""
CORRECT_AND_RUN = "If a key is misspelt, correct the key: the corrected conf runs again."
"""What to do about a misspelt key with another runPolicy."""

UNKNOWN = Redaction(complete=False)
"""The redaction of a run whose values from Secrets are not known."""


@frozen
class BuiltConf:
    """The conf of a run, built from the spec.

    Attributes:
        values: The conf.
        unknown_params: The warning about keys that the DAG does not declare as params. Empty if
            there is no warning.
    """

    values: Mapping[str, Any]
    unknown_params: str


@frozen
class _KnownSecrets:
    """The values from Secrets that this process has found for one MLJob.

    Attributes:
        uid: The MLJob's uid.
        redaction: The values to hide. If ``run`` is None, some values may be missing, and
            ``redaction.complete`` is False. Otherwise ``redaction.complete`` is True.
        run: The run whose conf this process has read from Airflow. None if this process has read no
            conf, or only a conf in which Airflow masks values.
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
        self._recent_params = RecentParams(clock)
        self._known_secrets: dict[Key, _KnownSecrets] = {}

    async def make(self, s: State, dag_runs: DagRuns) -> BuiltConf:
        """Build the conf from the MLJob's spec, and check the conf against the DAG's params.

        The conf may have keys that the DAG does not declare as params. These keys are an error if
        at least one param's schema has ``x-mljob-additional-params: false``. Otherwise the result
        has a warning about these keys.

        Raises:
            ReferenceMissing: An object of ``spec.confFrom`` does not exist or has invalid data, or
                the operator may not read the object.
            ValidationFailed: The conf is too large or too deep, or does not fit the params.
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
        # A conf that does not fit the params of a moment ago is checked against the current params,
        # so nobody has to wait after a change of the DAG.
        params = self._recent_params.of(dag_runs, dag_id)
        if params is None or problems(conf, params, sources_by_key) or unknown_keys(conf, params, sources_by_key):
            params = await self._recent_params.read(dag_runs, dag_id)
        invalid = problems(conf, params, sources_by_key)
        unknown = unknown_keys(conf, params, sources_by_key)
        message = f"The conf does not fit the params of DAG {dag_id!r}: {'; '.join([*unknown, *invalid])}."
        if invalid or (unknown and refuses_unknown_keys(params)):
            raise ValidationFailed(f"{message} Change it, or the DAG's params. {TRIED_AGAIN}")
        correct = CORRECT if job.spec.run_policy is RunPolicy.ONCE else CORRECT_AND_RUN
        return BuiltConf(conf, f"{message} {SUBMITTED_ANYWAY} {correct}" if unknown else "")

    async def _sources(self, s: State) -> list[Source]:
        """Return a :class:`.Source` for each entry of ``spec.confFrom``: a ConfigMap, a Secret, or
        the outputs of another MLJob. The list has the order of the spec. Optional objects that
        don't exist are left out.
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
        """Return ``conf``, the conf of an earlier run, for a new run. Remember which values in
        ``conf`` came from Secrets.

        Raises:
            StoreError: The Kubernetes API fails.
        """
        self._learn(s.job, await hidden_texts(self._jobs, s.job, conf, reads_secrets=True))
        return conf

    async def read(self, s: State, dag_runs: DagRuns) -> None:
        """Read the run's conf from Airflow, and remember which values came from Secrets. Do nothing
        if all of these values are known already. If Airflow does not have the run any more or masks
        the conf, the values stay unknown.

        Raises:
            AirflowError: The conf can't be read.
            StoreError: The Kubernetes API fails.
        """
        if self.redaction(s).complete:
            return
        self.begin_read(s)
        conf = await _submitted_conf(s, dag_runs)
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

    def begin_read(self, s: State) -> None:
        """Remember that the operator tries to read the run's conf now (:meth:`read_at`)."""
        self._known_secrets[s.job.key] = replace(self._secrets_of(s.job), asked_at=self._clock())

    def read_at(self, s: State) -> datetime | None:
        """Return when the run's conf should be read from Airflow: ``ASK_AGAIN_AFTER`` (10 seconds)
        after the last try, or now if there was no try. While Airflow can't be reached, return
        ``ASK_AGAIN_AFTER`` from now.

        Return None in any of these cases:

        - All values from Secrets are known.
        - There is no text about the run, such as an error, that could quote the conf.
        - The attempt is over.
        """
        if not s.current.open or self.redaction(s).complete or not may_quote(s):
            return None
        asked_at = self._secrets_of(s.job).asked_at if is_reachable(s) else s.now
        return asked_at + ASK_AGAIN_AFTER if asked_at is not None else s.now

    def redaction(self, s: State) -> Redaction:
        """Return the redaction that hides values from Secrets in texts about the MLJob's run. If
        the redaction is not complete, texts that may quote the conf must be withheld.
        """
        if runs_current_spec(s.job, s.run.run_id) and not self._may_have_secrets(s.job):
            return NOTHING_HIDDEN
        return self._secrets_of_run(s).redaction

    def redaction_of(self, job: Job | None) -> Redaction:
        """Return the redaction for log lines about any run of an MLJob. ``job`` is None if the
        MLJob was not read yet. Then the redaction is not complete, so texts that may quote a conf
        must be withheld.
        """
        if job is None:
            return UNKNOWN
        if has_one_spec(job) and not self._may_have_secrets(job):
            return NOTHING_HIDDEN
        return self._secrets_of(job).redaction

    def forget(self, key: Key) -> None:
        """Forget an MLJob's values from Secrets."""
        self._known_secrets.pop(key, None)

    def _may_have_secrets(self, job: Job) -> bool:
        return has_secrets(job.spec) or job.parsed.problem is not None or bool(self._secrets_of(job).redaction.hidden)

    def _secrets_of_run(self, s: State) -> _KnownSecrets:
        """Return the :class:`_KnownSecrets` for the newest run. If the known values are from the
        conf of an earlier run, drop these values first. The texts about the earlier run are already
        stored in redacted form.
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


async def _submitted_conf(s: State, dag_runs: DagRuns) -> Mapping[str, Any] | None:
    if s.job.is_backfill:
        backfill = await dag_runs.backfills.find(s.run.dag_id, s.run.run_id, s.current.number)
        return backfill.conf if backfill is not None else None
    try:
        return (await dag_runs.inputs(s.run.dag_id, s.run.run_id)).conf
    except ValidationFailed:
        return None
