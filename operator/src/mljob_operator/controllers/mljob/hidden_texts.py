"""Finds the texts that may have come from Secrets in a run's conf, as Airflow returns the conf."""

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
    """Return the texts of a run's conf that may have come from a Secret.

    A text counts as public if ``spec.conf``, a ConfigMap or another MLJob's outputs have the text
    now. Every other text of the conf counts as secret. If ``reads_secrets`` is true, the values
    that the Secrets have now count as secret too.

    Args:
        jobs: Reads the objects of ``spec.confFrom``.
        job: The MLJob.
        conf: The conf of its run, as Airflow has it.
        reads_secrets: Whether this process may read Secrets.

    Raises:
        StoreError: The Kubernetes API fails.
    """
    sources = [source async for source in _sources(jobs, job, reads_secrets=reads_secrets)]
    return secrets(sources) | not_public(conf, job.spec.conf, sources)


async def _sources(jobs: JobStore, job: Job, *, reads_secrets: bool) -> AsyncIterator[Source]:
    """Yield what the ConfigMaps, Secrets and outputs in ``spec.confFrom`` contain now. Objects that
    can't be read are left out, and Secrets too if ``reads_secrets`` is false. Values that are left
    out count as secret, because nothing shows that they are public.
    """
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
    """Return the outputs of another MLJob that the newest run's conf has taken. Return None if
    these outputs are not available any more: the other MLJob does not exist, or has the outputs of
    a later run.
    """
    found = await jobs.get((job.namespace, reference.name))
    upstream = Upstream.of(found) if found is not None else Upstream()
    took = upstream.run is not None and upstream.run in (job.status.upstreams or ())
    return outputs_of(reference, upstream) if took else None
