"""The dag run id of an MLJob, computed before the first request to Airflow.

A second submission of a run has the same id, so Airflow answers 409 and starts no second run.

The id contains a hash of the MLJob's uid. So if an MLJob is deleted and created again, the new
MLJob's dag run id is different. With runPolicy OncePerSpec, the hash is of the namespace, the name
and the spec instead. So if an MLJob is deleted and created again with the same spec, the dag run id
is the same (see :func:`pin`).

Each further run of an MLJob has a new number, and so a new id. The id is also new if the earlier
run was deleted in Airflow, because an Airflow executor may still hold results of the deleted run.
"""

from __future__ import annotations

from functools import lru_cache

from mljob_contract.mljob import RunPolicy
from mljob_contract.run_id import RunId

from ..run.run_key import Key
from .resource.job import Job
from .resource.spec import digest

CANCEL_PREFIX = "cancel."


def dag_run_id(prefix: str, namespace: str, name: str, pin: str, number: int = 1) -> RunId:
    """Return the id of the ``number``-th run of an MLJob. The first run has the number 1. ``pin``
    is the result of :func:`pin`.
    """
    return RunId(prefix, namespace, name, digest_of(pin), number)


def pin(job: Job) -> str:
    """Return the text whose hash is a part of the MLJob's run ids: the MLJob's uid. With runPolicy
    OncePerSpec, the text consists of the namespace, the name and the hash of the spec.
    """
    if job.spec.run_policy is RunPolicy.ONCE_PER_SPEC:
        return f"{job.namespace}/{job.name}/{job.parsed.hash}"
    return job.uid


def has_one_spec(job: Job) -> bool:
    """Return whether the spec has never changed since the MLJob was created.

    The field ``metadata.generation`` proves this, because no client can set the field. The
    Kubernetes API server sets the generation to 1 when the MLJob is created, and adds 1 at each
    change of the spec and at the request to delete the MLJob.
    """
    return job.generation == (2 if job.deleting else 1)


def runs_current_spec(job: Job, run_id: str) -> bool:
    """Return whether the id of a run proves that the run was started with the MLJob's current spec.
    ``specHash`` in the status proves nothing, because other clients may write the status.

    With runPolicy OncePerSpec, the id contains a hash of the spec. With another runPolicy, the id
    is a proof only if the spec has never changed.
    """
    one_spec = job.spec.run_policy is RunPolicy.ONCE_PER_SPEC or has_one_spec(job)
    return one_spec and _has_pin(run_id, job.key, pin(job))


@lru_cache(maxsize=1024)  # every step asks twice, and the answer never changes
def _has_pin(run_id: str, key: Key, pin: str) -> bool:
    found = RunId.parse(run_id)
    return found is not None and (found.namespace, found.name, found.digest) == (*key, digest_of(pin))


@lru_cache(maxsize=1024)  # every step of a new MLJob asks several times, and the answer never changes
def digest_of(pin: str) -> str:
    """Return the hash in the ids of an MLJob's runs. ``pin`` is the result of :func:`pin`."""
    return digest(pin)


def cancel_run_id(run_id: str) -> str:
    """Return the id of the cancellation DAG's run that cancels ``run_id``. If the cancellation DAG
    is triggered twice for the same run, Airflow answers 409.

    The id lacks the prefix of MLJobs' run ids, so requests for runs with that prefix don't find
    this run.
    """
    return CANCEL_PREFIX + run_id
