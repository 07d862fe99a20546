"""Finds the texts that may be from a Secret, in the conf that Airflow returns for a run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from mljob_contract.mljob import OutputsReference

from ...core.conf.conf import Source, not_public, secrets
from ...core.mljob.resource.job import Job
from ...core.mljob.upstream import Upstream, outputs_of
from ...errors import ReferenceMissing
from ...ports import JobStore


async def hidden_texts(jobs: JobStore, job: Job, conf: Mapping[str, Any], *, reads_secrets: bool) -> set[str]:
    """Return the texts that may be from a Secret. The texts are from the conf of a run and, if
    ``reads_secrets`` is true, from the current Secrets.

    The function reads the ConfigMaps and the outputs of other MLJobs that ``spec.confFrom`` names,
    and merges their current values with ``spec.conf``. The outputs of another MLJob's run are
    ignored if this run is not in the ``status.upstreams`` of ``job``. A top-level key of the run's
    conf is public if the merged conf has the same value for this key. The result has all strings
    and numbers in the values of the other keys, as texts. If ``reads_secrets`` is true, the result
    also has all current values of the Secrets that ``spec.confFrom`` names, and each string and
    number in the JSON of their ``.json`` keys.

    Args:
        jobs: Reads the objects of ``spec.confFrom``.
        job: The MLJob.
        conf: The conf of the MLJob's run, as Airflow returns it.
        reads_secrets: Whether this process may read Secrets.

    Raises:
        StoreError: The Kubernetes API fails.
    """
    sources = [source async for source in _sources(jobs, job, reads_secrets=reads_secrets)]
    return secrets(sources) | not_public(conf, job.spec.conf, sources)


async def _sources(jobs: JobStore, job: Job, *, reads_secrets: bool) -> AsyncIterator[Source]:
    for reference in job.spec.conf_from:
        source: Source | None = None
        try:
            if reference.outputs_ref is not None:
                source = await _outputs(jobs, job, reference.outputs_ref)
            elif reference.secret_ref is None or reads_secrets:
                source = await jobs.source(job.namespace, reference)
        except ReferenceMissing:
            continue
        if source is not None:
            yield source


async def _outputs(jobs: JobStore, job: Job, reference: OutputsReference) -> Source | None:
    found = await jobs.get((job.namespace, reference.name))
    upstream = Upstream.of(found) if found is not None else Upstream()
    took = upstream.run is not None and upstream.run in (job.status.upstreams or ())
    return outputs_of(reference, upstream) if took else None
